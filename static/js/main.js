// Starts the behaviours that a page asks for by a data- attribute; nothing else lives here.
import { startKeys } from "./keys.js";
import { startPalette } from "./palette.js";
import { startStream } from "./sse.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";

/** Attribute → module with `start(element)`; loaded only on pages that have the attribute. */
const BEHAVIOURS = {
  "data-refresh": "./refresh.js",
  "data-curves": "./curves.js",
  "data-overlay": "./overlay.js",
  "data-view": "./thumbs.js",
  "data-wall": "./wall.js",
  "data-replay": "./replay.js",
  "data-transcript": "./turns.js",
  "data-duel": "./duel.js",
  "data-list": "./list.js",
  "data-log": "./log.js",
  "data-copy": "./copy.js",
  "data-notify": "./notify.js",
  "data-chat": "./chat.js",
  "data-upload": "./upload.js",
};

/** Start what is below `root` and has not been started yet. @param {ParentNode} root */
function startAll(root) {
  for (const [attribute, module] of Object.entries(BEHAVIOURS)) {
    const found = [...root.querySelectorAll(`[${attribute}]`)];
    if (root instanceof Element && root.hasAttribute(attribute)) found.push(root);
    const fresh = found.filter((node) => !started.has(node) || attribute === "data-view");
    if (!fresh.length) continue;
    fresh.forEach((node) => started.add(node));
    import(module).then(({ start }) => fresh.forEach((node) => start(node)));
  }
}

const started = new WeakSet();
if (window.Idiomorph) window.Idiomorph.defaults.ignoreActiveValue = true;
startTheme();
startTimes();
startKeys();
startPalette();
startAll(document);
document.body.addEventListener("htmx:afterSettle", (event) => startAll(event.target));
startStream();
