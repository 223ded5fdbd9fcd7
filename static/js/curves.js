// Live curves. Each `figure[data-series]` is one uPlot; history comes once from the server (reduced,
// min and max kept), new points are appended as they arrive. Nothing is redrawn by htmx, so zoom
// and cursor survive. Faint raw line under a smoothed one; a drag zooms, a double click resets.
import { token } from "./theme.js";

const HEIGHT = 190;
const SMOOTH = 0.8;

/** @typedef {{steps: number[], values: number[], plot: any, node: HTMLElement, zoomed: boolean}} Curve */

/** @param {HTMLElement} root */
export async function start(root) {
  /** @type {Map<string, Curve>} */
  const curves = new Map();
  const url = root.dataset.curves;
  const sync = window.uPlot.sync(`run-${root.dataset.run}`);
  for (const node of root.querySelectorAll("[data-series]")) curves.set(node.dataset.series, make(node, sync));

  let after = 0;
  const load = async () => {
    const answer = await fetch(`${url}?after=${after}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { series, last_seq: last } = await answer.json();
    after = Math.max(after, last);
    for (const { name, points } of series) {
      const curve = curves.get(name) ?? add(root, curves, name, sync);
      for (const [step, value] of points) push(curve, step, value);
      draw(curve);
    }
  };

  document.addEventListener("sse:run", ({ detail: { type, data, seq } }) => {
    if (type !== "metric" || seq <= after) return;
    after = seq;
    for (const [name, value] of Object.entries(data.values)) {
      const curve = curves.get(name) ?? add(root, curves, name, sync);
      push(curve, data.step, value);
      draw(curve);
    }
  });
  document.addEventListener("sse:again", load);
  document.addEventListener("theme", () => curves.forEach((curve) => curve.plot.redraw(false)));
  new ResizeObserver(() => curves.forEach(fit)).observe(root);
  await load();
}

/** @param {HTMLElement} root @param {Map<string, Curve>} curves @param {string} name */
function add(root, curves, name, sync) {
  const node = document.createElement("figure");
  node.className = "curve";
  node.dataset.series = name;
  const title = document.createElement("figcaption");
  title.append(document.createElement("span"), document.createElement("span"));
  title.firstElementChild.className = "strong";
  title.lastElementChild.className = "last";
  title.firstElementChild.textContent = name;
  node.append(title);
  root.append(node);
  root.hidden = false;
  document.querySelector("[data-no-curves]")?.remove();
  const curve = make(node, sync);
  curves.set(name, curve);
  return curve;
}

/** @param {HTMLElement} node @returns {Curve} */
function make(node, sync) {
  const curve = { steps: [], values: [], plot: null, node, zoomed: false };
  const axis = {
    stroke: () => token("--faint"),
    grid: { stroke: () => token("--line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui",
  };
  const options = {
    width: Math.max(200, node.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: sync.key, setSeries: false }, points: { size: 6 }, drag: { x: true, y: false } },
    scales: { x: { time: false } },
    axes: [{ ...axis, size: 26 }, { ...axis, size: 48 }],
    series: [
      {},
      { stroke: () => `${token("--accent")}55`, width: 1, points: { show: false } },
      { stroke: () => token("--accent"), width: 2, points: { show: false } },
    ],
    hooks: {
      setCursor: [(plot) => tellValue(curve, plot.cursor.idx)],
      setSelect: [(plot) => { if (plot.select.width > 0) curve.zoomed = true; }],
    },
  };
  curve.plot = new window.uPlot(options, [[], [], []], node);
  curve.plot.root.addEventListener("dblclick", () => { curve.zoomed = false; draw(curve); });
  return curve;
}

/** Append in order of steps; a step that is there already (a resumed run) is replaced. */
function push(curve, step, value) {
  const { steps, values } = curve;
  let at = steps.length;
  while (at > 0 && steps[at - 1] > step) at -= 1;
  if (at > 0 && steps[at - 1] === step) values[at - 1] = value;
  else {
    steps.splice(at, 0, step);
    values.splice(at, 0, value);
  }
}

/** @param {Curve} curve */
function draw(curve) {
  let mean = curve.values[0];
  const few = curve.values.length < 12;
  const smooth = curve.values.map((value) => (few ? value : (mean = SMOOTH * mean + (1 - SMOOTH) * value)));
  curve.plot.setData([curve.steps, curve.values, smooth], !curve.zoomed);
  if (curve.zoomed) curve.plot.redraw();
  tellValue(curve, null);
}

/** The number under the cursor, or the last one. @param {Curve} curve @param {number | null} at */
function tellValue(curve, at) {
  const last = curve.node.querySelector(".last");
  const i = at ?? curve.values.length - 1;
  if (!last || i < 0 || curve.values[i] === undefined) return;
  last.textContent = `${format(curve.values[i])} at step ${curve.steps[i].toLocaleString("en")}`;
}

/** @param {number} value */
function format(value) {
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(2) : value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

/** @param {Curve} curve */
function fit(curve) {
  const width = curve.node.clientWidth;
  if (width > 0 && Math.abs(width - curve.plot.width) > 2) curve.plot.setSize({ width, height: HEIGHT });
}
