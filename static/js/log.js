// Appends a run's log lines and states as they come, without touching what is selected or scrolled.

const SHOWN = new Set(["log", "state", "result", "checkpoint"]);
const MAX_LINES = 500;

/** @param {HTMLElement} node */
export function start(node) {
  const seen = Number(node.dataset.log || 0);
  document.addEventListener("sse:run", (event) => {
    const { seq, type, data, at } = event.detail;
    if (!SHOWN.has(type) || seq <= seen) return;
    const atEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 40;
    node.append(line(at, type, data));
    while (node.childElementCount > MAX_LINES) node.firstElementChild.remove();
    if (atEnd) node.scrollTop = node.scrollHeight;
  });
  node.scrollTop = node.scrollHeight;
  const filter = node.closest(".card")?.querySelector("[data-log-filter]");
  if (!filter) return;
  filter.hidden = false;
  filter.addEventListener("change", (event) => {
    node.dataset.level = event.target.value;
    node.scrollTop = node.scrollHeight;
  });
}

/** @param {string} at @param {string} type @param {Record<string, any>} data */
function line(at, type, data) {
  const row = document.createElement("li");
  row.className = data.level ?? type;
  const time = document.createElement("span");
  time.className = "at";
  time.textContent = new Date(at).toLocaleTimeString([], { hour12: false });
  row.append(time, document.createTextNode(words(type, data)));
  return row;
}

/** @param {string} type @param {Record<string, any>} data */
function words(type, data) {
  if (type === "log") return data.message;
  if (type === "state") return `${data.was} → ${data.state}${data.error ? `: ${data.error.message}` : ""}`;
  if (type === "checkpoint") return `checkpoint at step ${data.step}`;
  return data.ok ? "finished" : `failed: ${data.error?.message ?? "unknown"}`;
}
