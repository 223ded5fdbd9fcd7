// Two stored games in step: one scrubber moves both, a game that is over stays at its last picture.
import { drawView, onSprites, readView } from "./sprites.js";
import { fetchSteps } from "./steps.js";
import { isTyping } from "./keys.js";
import { drawVitals } from "./vitals.js";

const STEP_MS = 400;

/** @param {HTMLElement} root */
export function start(root) {
  const duel = new Duel(root);
  onSprites(() => duel.load());
}

class Duel {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.range = root.querySelector('[data-part="range"]');
    this.sides = [...root.querySelectorAll("[data-side]")].map((node) => ({ node, steps: [] }));
    this.at = 0;
    this.timer = 0;
    this.range.addEventListener("input", () => this.pauseAt(Number(this.range.value)));
    for (const button of root.querySelectorAll("[data-do]")) button.addEventListener("click", () => this.act(button.dataset.do));
    for (const mark of root.querySelectorAll("[data-step]")) mark.addEventListener("click", () => this.pauseAt(Number(mark.dataset.step)));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  async load() {
    await Promise.all(this.sides.map(async (side) => {
      side.steps = (await fetchSteps(side.node.dataset.side)) ?? [];
    }));
    this.range.max = String(this.last);
    this.root.dataset.ready = "yes";
    this.seek(Number(new URLSearchParams(location.search).get("step") ?? 0));
  }

  get last() {
    return Math.max(0, ...this.sides.map((side) => side.steps.length - 1));
  }

  /** @param {number} step */
  seek(step) {
    this.at = Math.max(0, Math.min(this.last, Math.round(step) || 0));
    this.range.value = String(this.at);
    for (const { node, steps } of this.sides) if (steps.length) show(node, steps, this.at);
    const url = new URL(location.href);
    url.searchParams.set("step", String(this.at));
    history.replaceState(history.state, "", url);
  }

  /** @param {number} step */
  pauseAt(step) {
    this.pause();
    this.seek(step);
  }

  /** @param {string} what */
  act(what) {
    if (what === "play") return this.timer ? this.pause() : this.play();
    return this.pauseAt(this.at + (what === "on" ? 1 : -1));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (isTyping(event)) return;
    const what = { " ": "play", ArrowLeft: "back", ArrowRight: "on" }[event.key];
    if (!what || (event.key === " " && event.target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    this.act(what);
  }

  play() {
    if (this.at >= this.last) this.seek(0);
    this.timer = setInterval(() => (this.at >= this.last ? this.pause() : this.seek(this.at + 1)), STEP_MS);
    this.tell("Pause", "true");
  }

  pause() {
    clearInterval(this.timer);
    this.timer = 0;
    this.tell("Play", "false");
  }

  tell(word, pressed) {
    const button = this.root.querySelector('[data-do="play"]');
    button.textContent = word;
    button.setAttribute("aria-pressed", pressed);
  }
}

/** One side at a step. @param {HTMLElement} node @param {any[]} steps @param {number} at */
function show(node, steps, at) {
  const part = (name) => node.querySelector(`[data-part="${name}"]`);
  const step = Math.min(at, steps.length - 1);
  const now = steps[step];
  drawView(part("game"), now.view);
  drawVitals(part("vitals"), readView(now.view));
  part("where").textContent = `step ${step} of ${steps.length - 1}`;
  part("action").textContent = at > step ? "over" : (now.action || "the fresh world").replaceAll("_", " ");
  part("gain").textContent = at === step && now.unlocked.length ? now.unlocked.join(", ").replaceAll("_", " ") : "";
  node.querySelector("[data-open]").search = `?step=${step}`;
}
