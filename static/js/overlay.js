// Curves of several runs over each other. Every line keeps its colour and dashes, made from the
// run's id; extremes lie as a band behind the mean. Zoom, names and smoothing stand in the address.
// New points of running runs are fetched, at most once a second; zoom and cursor stay.
import { span } from "./nodes.js";
import { format } from "./numbers.js";
import { token } from "./theme.js";

const HEIGHT = 220;
const PAUSE_MS = 1000;
const FEW = 12; // points that are hardly smoothed, so that the line does not lag
const DASHES = [[], [6, 4], [2, 3], [10, 4, 2, 4]];

/** @param {HTMLElement} root */
export function start(root) {
  new Overlay(root).begin();
}

class Overlay {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.runs = root.dataset.runs.split(",").filter(Boolean);
    /** @type {Map<string, {node: HTMLElement, plot: any, lines: any[]}>} */
    this.charts = new Map();
    this.sync = window.uPlot.sync("overlay");
    const address = new URLSearchParams(location.search);
    this.zoom = address.has("from") ? [Number(address.get("from")), Number(address.get("to"))] : null;
    this.smooth = root.querySelector("[data-smooth]");
    this.log = root.querySelector("[data-log]");
    if (address.has("smooth")) this.smooth.value = address.get("smooth");
    this.log.checked = address.get("log") === "1";
  }

  begin() {
    for (const node of this.root.querySelectorAll("[data-swatch]")) paint(node, node.dataset.swatch);
    for (const node of this.root.querySelectorAll("[data-metric]")) this.add(node);
    this.root.addEventListener("change", (event) => this.change(event.target));
    this.smooth.addEventListener("input", () => this.redraw());
    this.root.querySelector("[data-find]")?.addEventListener("input", (event) => this.find(event.target.value));
    document.addEventListener("sse:run", ({ detail }) => detail.type === "metric" && this.soon());
    document.addEventListener("theme", () => this.redraw());
    new ResizeObserver(() => this.charts.forEach(fit)).observe(this.root);
    this.load([...this.charts.keys()]);
  }

  /** A box was ticked. @param {HTMLInputElement} box */
  change(box) {
    if (box.name === "runs" || box.name === "x") return this.root.requestSubmit();
    if (box === this.log) this.rebuild();
    if (box.name !== "name") return this.share();
    if (box.checked) {
      const node = document.createElement("figure");
      node.className = "curve";
      node.dataset.metric = box.value;
      const caption = node.appendChild(document.createElement("figcaption"));
      caption.append(span("strong", box.value), span("last", ""));
      this.root.querySelector("[data-charts]").append(node);
      this.add(node);
      this.load([box.value]);
    } else {
      this.charts.get(box.value)?.node.remove();
      this.charts.delete(box.value);
    }
    return this.share();
  }

  /** @param {string} words */
  find(words) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of this.root.querySelectorAll("[data-name]")) {
      row.hidden = !wanted.every((word) => row.dataset.name.toLowerCase().includes(word));
    }
  }

  /** @param {HTMLElement} node */
  add(node) {
    this.charts.set(node.dataset.metric, { node, plot: null, lines: [] });
  }

  soon() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.load([...this.charts.keys()]);
    }, PAUSE_MS);
  }

  /** @param {string[]} names */
  async load(names) {
    if (!names.length || !this.runs.length) return;
    const query = new URLSearchParams([["runs", this.runs.join(",")], ["x", this.root.querySelector("#x").value]]);
    names.forEach((name) => query.append("name", name));
    const answer = await fetch(`${this.root.dataset.overlay}?${query}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { lines } = await answer.json();
    for (const name of names) {
      const chart = this.charts.get(name);
      if (!chart) continue;
      chart.lines = lines.filter((line) => line.name === name);
      this.draw(chart);
    }
    this.table();
    this.root.dataset.ready = "yes";
  }

  redraw() {
    this.charts.forEach((chart) => this.draw(chart));
    this.share();
  }

  rebuild() {
    for (const chart of this.charts.values()) {
      chart.plot?.destroy();
      chart.plot = null;
    }
    this.redraw();
  }

  /** Lines joined on one axis of x; a chart is built again only when its runs change. */
  draw(chart) {
    if (!chart.lines.length) return;
    const runs = chart.lines.map((line) => line.run).join();
    const weight = Number(this.smooth.value);
    const tables = chart.lines.map((line) => [line.x, smoothed(line.y, weight * Math.max(0, 1 - FEW / line.y.length)), line.low ?? line.y, line.high ?? line.y]);
    const data = window.uPlot.join(tables);
    if (chart.plot && chart.runs === runs) chart.plot.setData(data, !this.zoom);
    else {
      chart.plot?.destroy();
      chart.runs = runs;
      chart.plot = new window.uPlot(this.options(chart), data, chart.node);
      chart.plot.root.addEventListener("dblclick", () => this.zoomTo(null));
    }
    if (this.zoom) chart.plot.setScale("x", { min: this.zoom[0], max: this.zoom[1] });
    tell(chart, null);
  }

  options(chart) {
    const axis = { stroke: () => token("--faint"), grid: { stroke: () => token("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const isShort = (i) => chart.lines[i]?.y.length < FEW; // hardly a line: its points are drawn too
    const series = chart.lines.flatMap(({ run }, i) => [
      { stroke: colour(run), width: 1.8, dash: dashes(run), spanGaps: true, points: { show: () => isShort(i), size: 5 } },
      { stroke: "transparent", spanGaps: true, points: { show: false } },
      { stroke: "transparent", spanGaps: true, points: { show: false } },
    ]);
    return {
      width: Math.max(200, chart.node.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: this.sync.key, setSeries: false }, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: false }, y: { distr: this.log.checked ? 3 : 1 } },
      axes: [{ ...axis, size: 26 }, { ...axis, size: 52 }],
      series: [{}, ...series],
      bands: chart.lines.map(({ run }, i) => ({ series: [3 * i + 3, 3 * i + 2], fill: `${colour(run)}22` })),
      hooks: {
        setCursor: [(plot) => tell(chart, plot.cursor.idx)],
        setSelect: [(plot) => plot.select.width > 0 && this.zoomTo([plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")])],
      },
    };
  }

  /** All charts at once. @param {number[] | null} range */
  zoomTo(range) {
    this.zoom = range;
    for (const { plot } of this.charts.values()) {
      if (!plot) continue;
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      if (range) plot.setScale("x", { min: range[0], max: range[1] });
      else plot.setData(plot.data, true);
    }
    this.share();
  }

  /** What is seen stands in the address. */
  share() {
    const url = new URL(location.href);
    url.searchParams.delete("name");
    for (const name of this.charts.keys()) url.searchParams.append("name", name);
    const parts = { from: this.zoom?.[0], to: this.zoom?.[1], smooth: this.smooth.value, log: this.log.checked ? 1 : null };
    for (const [key, value] of Object.entries(parts)) {
      if (value === null || value === undefined) url.searchParams.delete(key);
      else url.searchParams.set(key, String(value));
    }
    history.replaceState(history.state, "", url);
  }

  /** The twin of the charts for who reads numbers: last values by metric and run. */
  table() {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const word of ["Metric", ...this.runs.map((run) => `run ${run}`)]) {
      head.append(Object.assign(document.createElement("th"), { textContent: word }));
    }
    const body = table.createTBody();
    for (const [name, chart] of this.charts) {
      const row = body.insertRow();
      row.insertCell().textContent = name;
      for (const run of this.runs) {
        const line = chart.lines.find((found) => String(found.run) === run);
        const cell = row.insertCell();
        cell.className = "num";
        cell.textContent = line ? format(line.y.at(-1)) : "–";
      }
    }
    this.root.querySelector("[data-table]").replaceChildren(table);
  }
}

/** Values under the cursor, or the last ones, by run. */
function tell(chart, at) {
  const parts = chart.lines.slice(0, 6).map((line, i) => {
    const column = chart.plot?.data[3 * i + 1] ?? [];
    const value = at === null || at === undefined ? line.y.at(-1) : nearest(column, at);
    const node = span("", value === undefined ? "" : format(value));
    node.style.color = colour(line.run);
    return node;
  });
  chart.node.querySelector(".last").replaceChildren(...parts.flatMap((node, i) => (i ? [" ", node] : [node])));
}

/** The value at a place, or the one before it: runs are not measured at the same steps. */
function nearest(column, at) {
  for (let i = at; i >= 0; i -= 1) if (column[i] !== null && column[i] !== undefined) return column[i];
  return undefined;
}

/** @param {number[]} values @param {number} weight */
function smoothed(values, weight) {
  if (!weight) return values;
  let mean = values[0];
  return values.map((value) => (mean = weight * mean + (1 - weight) * value));
}

/** Runs that are compared have near numbers: six neighbours never share a colour.
 * @param {string | number} run */
function colour(run) {
  return token(`--c${Number(run) % 6}`);
}

/** @param {string | number} run */
function dashes(run) {
  return DASHES[Math.floor(Number(run) / 6) % DASHES.length];
}

/** @param {HTMLElement} node @param {string} run */
function paint(node, run) {
  node.style.background = colour(run);
}

function fit(chart) {
  const width = chart.node.clientWidth;
  if (chart.plot && width > 0 && Math.abs(width - chart.plot.width) > 2) chart.plot.setSize({ width, height: HEIGHT });
}
