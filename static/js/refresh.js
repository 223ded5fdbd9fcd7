// `data-refresh="URL" data-on="pages:runs run:progress"`: fetch the fragment and morph it in when
// one of the signals comes, at most once a second. Charts are never inside such an element.

const PAUSE_MS = 1000;

/** @param {HTMLElement} node */
export function start(node) {
  const signals = new Set((node.dataset.on ?? "").split(" "));
  const runId = Number(node.dataset.run ?? 0);
  let timer = 0;
  let last = 0;

  const refresh = () => {
    timer = 0;
    last = Date.now();
    if (!node.isConnected) return;
    window.htmx.ajax("GET", node.dataset.refresh, { source: node, target: node, swap: "morph:innerHTML" });
  };
  const ask = () => {
    if (timer) return;
    timer = setTimeout(refresh, Math.max(0, PAUSE_MS - (Date.now() - last)));
  };

  document.addEventListener("sse:pages", (event) => {
    if (event.detail.changed.some((word) => signals.has(`pages:${word}`))) ask();
  });
  document.addEventListener("sse:run", (event) => {
    const { type, run_id: run } = event.detail;
    if (signals.has(`run:${type}`) && (!run || !runId || run === runId)) ask();
  });
  document.addEventListener("sse:again", ask);
}
