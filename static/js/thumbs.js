// `canvas[data-view]`: draws the packed view that the attribute holds; again when htmx changed it.
import { drawView, onSprites } from "./sprites.js";

/** @type {WeakMap<HTMLCanvasElement, string>} */
const drawn = new WeakMap();

/** @param {HTMLCanvasElement} canvas */
export function start(canvas) {
  if (!canvas.dataset.view || drawn.get(canvas) === canvas.dataset.view) return;
  drawn.set(canvas, canvas.dataset.view);
  onSprites(() => drawView(canvas, canvas.dataset.view));
}
