// What happens, told to this page. Topics stand in `data-topics`; what comes is told as DOM events
// `sse:run`, `sse:live` and `sse:pages` on the document, with the parsed JSON as detail, and
// `sse:again` when the stream was away for a while.
// Browsers allow six connections a host, so the visible tabs share one stream (`tabs.js`). A hidden
// tab lets go; on return it catches up from the last event that it was told.
import { Tabs } from "./tabs.js";

const LOST_MS = 4000;

/** Last seq told to this page, by run. @type {Map<string, number>} */
const heard = new Map();
let lostTimer = 0;

/** Listen when some element asks for topics. */
export function startStream() {
  if (!topics().length) return;
  const tabs = new Tabs(topics, { message, again, lost: showLost });
  document.addEventListener("visibilitychange", () => (document.hidden ? tabs.leave() : tabs.join()));
  window.addEventListener("pagehide", () => tabs.leave());
  window.addEventListener("pageshow", () => tabs.join());
  if (!document.hidden) tabs.join();
}

/** What this page wants to hear, each run from the event that it heard last. @returns {string[]} */
function topics() {
  const asked = [...document.querySelectorAll("[data-topics]")].flatMap((node) =>
    node.dataset.topics.split(" ").filter(Boolean),
  );
  return [...new Set(asked)].map((topic) => {
    const [word, run, seq] = topic.split(":");
    if (word !== "run") return topic;
    if (!heard.has(run)) heard.set(run, Number(seq ?? 0));
    return `run:${run}:${heard.get(run)}`;
  });
}

/** One message of the shared stream: told if it is for this page, and only once.
 * @param {string} name @param {any} detail */
function message(name, detail) {
  const wanted = topics();
  const run = String(detail.run_id ?? "");
  if (name === "run") {
    if (!heard.has(run) || detail.seq <= heard.get(run)) return;
    heard.set(run, detail.seq);
  } else if (name === "live" && !wanted.includes("live") && !wanted.includes(`live:${run}`)) return;
  document.dispatchEvent(new CustomEvent(`sse:${name}`, { detail }));
}

function again() {
  document.dispatchEvent(new CustomEvent("sse:again"));
}

/** Say that the page is behind, but only when it stays so. @param {boolean} lost */
function showLost(lost) {
  clearTimeout(lostTimer);
  const note = document.querySelector(".lost");
  if (!lost) note?.remove();
  else if (!note) lostTimer = setTimeout(drawLost, LOST_MS);
}

function drawLost() {
  const note = document.createElement("div");
  note.className = "lost";
  note.setAttribute("role", "status");
  note.textContent = "Connection lost. This page catches up when it is back.";
  document.body.append(note);
}
