// One EventSource a page. Topics stand in `data-topics`; what comes is told as DOM events
// `sse:run`, `sse:live` and `sse:pages` on the document, with the parsed JSON as detail.
// Closed while the tab is hidden (browsers allow six connections a host); on return it catches up
// from the position of the last event.

/** @type {EventSource | null} */
let source = null;
/** Position by run, from event ids like `31:120,32:7`. @type {Map<string, string>} */
const position = new Map();
let lostTimer = 0;

/** Open the stream when some element asks for topics. */
export function startStream() {
  if (!topics().length) return;
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  if (!document.hidden) open();
}

/** @returns {string[]} */
function topics() {
  const asked = [...document.querySelectorAll("[data-topics]")].flatMap((node) =>
    node.dataset.topics.split(" ").filter(Boolean),
  );
  return [...new Set(asked)].map((topic) => {
    const [word, run] = topic.split(":");
    return word === "run" && position.has(run) ? `run:${run}:${position.get(run)}` : topic;
  });
}

function open() {
  if (source) return;
  const wasOpenBefore = open.times++ > 0;
  const query = topics().map((topic) => `topic=${encodeURIComponent(topic)}`);
  source = new EventSource(`/stream/?${query.join("&")}`);
  for (const name of ["run", "live", "pages"]) {
    source.addEventListener(name, (event) => {
      keep(event.lastEventId);
      tell(name, JSON.parse(event.data));
    });
  }
  source.onopen = () => {
    showLost(false);
    if (wasOpenBefore) document.dispatchEvent(new CustomEvent("sse:again"));
  };
  source.onerror = () => {
    showLost(true);
    if (source?.readyState === EventSource.CLOSED) {
      close();
      setTimeout(open, 3000);
    }
  };
}
open.times = 0;

function close() {
  source?.close();
  source = null;
}

/** Remember where each run's events stand. @param {string} id */
function keep(id) {
  for (const part of id.split(",")) {
    const [run, seq] = part.split(":");
    if (run && seq) position.set(run, seq);
  }
}

/** @param {string} name @param {unknown} detail */
function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(`sse:${name}`, { detail }));
}

/** Say that the page is behind, but only when it stays so. @param {boolean} lost */
function showLost(lost) {
  clearTimeout(lostTimer);
  const note = document.querySelector(".lost");
  if (!lost) note?.remove();
  else if (!note) lostTimer = setTimeout(drawLost, 4000);
}

function drawLost() {
  const note = document.createElement("div");
  note.className = "lost";
  note.setAttribute("role", "status");
  note.textContent = "Connection lost. This page catches up when it is back.";
  document.body.append(note);
}
