// Live curves. Each `figure[data-series]` is one uPlot; history comes once from the server (reduced,
// min and max kept), new points are appended as they arrive. Nothing is redrawn by htmx, so zoom
// and cursor survive. Faint raw line under a smoothed one; a drag zooms, a double click resets.
// At most 12 are open; the others, and those that never left zero, wait in a fold. `x_low` and
// `x_high` have no chart: they are the band of `x`.
import { format } from "./numbers.js";
import { token } from "./theme.js";

const HEIGHT = 190;
const SMOOTH = 0.9; // of many points; few are smoothed less, so that the line does not lag
const FEW = 12;
const OPEN = 12;
const FOLDED = /^(achievement\.|tokens|time\.)/;

/** @typedef {{steps: number[], values: number[], bounds: Map<string, Map<number, number>>, plot: any, node: HTMLElement, zoomed: boolean}} Curve */

/** @param {HTMLElement} root */
export async function start(root) {
  /** @type {Map<string, Curve>} */
  const curves = new Map();
  const url = root.dataset.curves;
  const sync = window.uPlot.sync(`run-${root.dataset.run}`);
  for (const node of root.querySelectorAll("[data-series]")) curves.set(node.dataset.series, make(node, sync));

  /** @param {string} name @param {[number, number][]} points */
  const take = (name, points) => {
    const [, of, end] = /^(.*)_(low|high)$/.exec(name) ?? [];
    const curve = curves.get(of) ?? curves.get(name) ?? add(root, curves, name, sync);
    for (const [step, value] of points) {
      if (curves.has(of)) curve.bounds.get(end).set(step, value);
      else push(curve, step, value);
    }
    draw(curve);
  };
  let after = 0;
  const load = async () => {
    const answer = await fetch(`${url}?after=${after}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { series, last_seq: last } = await answer.json();
    after = Math.max(after, last);
    for (const { name, points } of series) {
      take(name, points);
    }
  };

  document.addEventListener("sse:run", ({ detail: { type, data, seq } }) => {
    if (type !== "metric" || seq <= after) return;
    after = seq;
    for (const [name, value] of Object.entries(data.values)) {
      take(name, [[data.step, value]]);
    }
  });
  document.addEventListener("sse:again", load);
  root.querySelector("[data-folded]")?.addEventListener("toggle", () => curves.forEach(fit));
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
  const fold = root.querySelector("[data-folded]");
  fold.hidden = false;
  fold.querySelector(".curves").append(node);
  document.querySelector("[data-no-curves]")?.remove();
  const curve = make(node, sync);
  curves.set(name, curve);
  return curve;
}

/** @param {HTMLElement} node @returns {Curve} */
function make(node, sync) {
  const bounds = new Map([["low", new Map()], ["high", new Map()]]);
  const curve = { steps: [], values: [], bounds, plot: null, node, zoomed: false };
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
      { stroke: () => token("--accent"), width: 2, points: { show: (plot) => plot.data[0].length < 3 } },
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
    ],
    bands: [{ series: [4, 3], fill: () => `${token("--accent")}22` }],
    hooks: {
      setCursor: [(plot) => tellValue(curve, plot.cursor.idx)],
      setSelect: [(plot) => { if (plot.select.width > 0) curve.zoomed = true; }],
    },
  };
  curve.plot = new window.uPlot(options, [[], [], [], [], []], node);
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
  show(curve);
  let mean = curve.values[0];
  const weight = SMOOTH * Math.max(0, 1 - FEW / curve.values.length);
  const smooth = curve.values.map((value) => (mean = weight * mean + (1 - weight) * value));
  const [low, high] = [...curve.bounds.values()].map((found) => curve.steps.map((step) => found.get(step) ?? null));
  curve.plot.setData([curve.steps, curve.values, smooth, low, high], !curve.zoomed);
  if (curve.zoomed) curve.plot.redraw();
  tellValue(curve, null);
}

/** Out of the fold once a value is not zero, to its place by worth. @param {Curve} curve */
function show(curve) {
  const fold = curve.node.closest("[data-folded]");
  if (!fold || !curve.values.some(Boolean) || FOLDED.test(curve.node.dataset.series)) return;
  const shown = fold.parentElement.querySelector("[data-shown]");
  if (shown.childElementCount >= OPEN) return;
  const rank = worth(curve.node.dataset.series);
  shown.insertBefore(curve.node, [...shown.children].find((node) => worth(node.dataset.series) > rank) ?? null);
  fold.hidden = !fold.querySelector("[data-series]");
  fit(curve);
}

/** Scores and losses before rates; the page's own order is finer. @param {string} name */
function worth(name) {
  if (/^episodes\.(achievements|accuracy)$|reward|loss/.test(name)) return 0;
  return name.endsWith("per_second") ? 2 : 1;
}

/** The number under the cursor, or the last one. @param {Curve} curve @param {number | null} at */
function tellValue(curve, at) {
  const last = curve.node.querySelector(".last");
  const i = at ?? curve.values.length - 1;
  if (!last || i < 0 || curve.values[i] === undefined) return;
  const unit = curve.node.closest("[data-unit]")?.dataset.unit ?? "step";
  last.textContent = `${format(curve.values[i])} at ${unit} ${curve.steps[i].toLocaleString("en")}`;
}

/** @param {Curve} curve */
function fit(curve) {
  const width = curve.node.clientWidth;
  if (width > 0 && Math.abs(width - curve.plot.width) > 2) curve.plot.setSize({ width, height: HEIGHT });
}
