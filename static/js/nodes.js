// Small pieces of pages that several behaviours make.

/** A `<span>` with words; `part` is its `data-part`, by which it is found again. @param {string} className @param {string} text */
export function span(className, text, part = "") {
  const node = Object.assign(document.createElement("span"), { className, textContent: text });
  if (part) node.dataset.part = part;
  return node;
}
