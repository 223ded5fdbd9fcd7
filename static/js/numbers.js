// How a chart writes a number: four digits, very small and very large ones as powers of ten.

/** @param {number} value */
export function format(value) {
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}
