// A game replayed step by step beside its transcript. The step stands in the address (?step=), so
// that a moment can be shared. While the game still plays, new steps come over the stream.
import { drawView, onSprites, readView } from "./sprites.js";
import { actionsOf, fetchSteps, filled, merged } from "./steps.js";
import { isTyping } from "./keys.js";
import { Transcript } from "./transcript.js";
import { drawVitals } from "./vitals.js";
import { iconClass } from "./icons.js";

const SPEEDS = [0.5, 1, 2, 4, 8, 16, 32];
const STEPS_A_SECOND = 2;

/** @param {HTMLElement} root */
export function start(root) {
  const replay = new Replay(root);
  onSprites(() => replay.open());
  replay.load();
}

const sprites = new Promise(onSprites);

class Replay {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.canvas = this.part("game");
    this.range = this.part("range");
    /** @type {import("./steps.js").Step[]} steps[0] is the fresh world */
    this.steps = [];
    this.at = 0;
    this.speed = 1;
    this.playing = false;
    this.following = root.dataset.playing === "yes";
    // Only a running game needs it: a stored one must not wait for it.
    this.teller = this.following ? import("./following.js") : null;
    this.transcript = new Transcript(root, (step) => this.seek(step));
    this.listen();
  }

  listen() {
    this.range.addEventListener("input", () => this.seek(Number(this.range.value)));
    for (const button of this.root.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this.act(button.dataset.do));
    }
    this.part("speed").addEventListener("change", (event) => this.setSpeed(Number(event.target.value)));
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("sse:live", ({ detail }) => {
      if (String(detail.id) === this.root.dataset.liveId) this.grow(detail);
    });
    document.addEventListener("sse:again", () => this.following && this.load());
  }

  /** The picture that came with the page, until the steps are there. */
  open() {
    if (!this.steps.length) this.draw(this.canvas.dataset.now);
  }

  /** Fetch all steps, then stand where the address says. */
  async load() {
    const steps = await fetchSteps(this.root.dataset.replay);
    if (!steps) return;
    await sprites;
    this.steps = this.following ? merged(this.steps, steps) : steps;
    const asked = new URLSearchParams(location.search).get("step");
    this.stretch();
    this.root.dataset.ready = "yes";
    this.seek(asked === null && this.following ? this.last : Number(asked ?? this.range.value), false);
  }

  get last() {
    return this.steps.length - 1;
  }

  /** Steps of a game that is still played. @param {any} detail */
  grow(detail) {
    const atEnd = this.at >= this.last;
    if (detail.gone) {
      location.assign(this.root.dataset.over + (atEnd ? "" : `&step=${this.at}`));
      return;
    }
    if (!detail.first_step) this.steps = []; // from the fresh world on: a new attempt plays it
    const turns = new Map();
    for (const [turn, call, first, n] of detail.turns) {
      actionsOf(call).slice(0, n).forEach((action, i) => turns.set(first + i, { turn, action }));
    }
    detail.views.forEach((view, i) => {
      const index = detail.first_step + i;
      const unlocked = detail.unlocks.filter(([, step]) => step === index).map(([name]) => name);
      this.steps[index] ??= { turn: -1, action: "", ...turns.get(index), view, unlocked };
    });
    this.teller?.then(({ tell }) => tell(this.root, detail));
    if (!this.steps[0]) return; // the snapshot is on its way
    filled(this.steps);
    this.stretch();
    if (atEnd) this.seek(this.last, false);
  }

  /** Fit the scrubber and its marks to the number of steps. */
  stretch() {
    this.range.max = String(this.last);
    const marks = this.part("marks");
    marks.replaceChildren();
    this.steps.forEach((step, i) => {
      for (const name of step.unlocked) marks.append(mark(i / Math.max(1, this.last), name, i, () => this.seek(i)));
    });
  }

  /** @param {number} step @param {boolean} [share] */
  seek(step, share = true) {
    if (!this.steps.length) return;
    this.at = Math.max(0, Math.min(this.last, Math.round(step) || 0));
    const now = this.steps[this.at];
    this.draw(now.view);
    this.range.value = String(this.at);
    this.part("where").textContent = `step ${this.at} of ${this.last}`;
    this.part("action").textContent = this.at ? now.action.replaceAll("_", " ") : "the fresh world";
    this.part("gain").textContent = now.unlocked.length ? `unlocked ${now.unlocked.join(", ").replaceAll("_", " ")}` : "";
    this.range.setAttribute("aria-valuetext", `step ${this.at}${now.action && `: ${now.action}`}`);
    this.transcript.show(now.turn, this.at);
    const forkStep = this.part("fork-step");
    if (forkStep && document.activeElement !== forkStep) forkStep.value = String(this.at);
    if (share) this.share();
  }

  /** @param {string | Uint8Array} view */
  draw(view) {
    drawView(this.canvas, view);
    drawVitals(this.part("vitals"), readView(view));
  }

  /** Keep the address in step, at most a few times a second (browsers limit it). */
  share() {
    clearTimeout(this.shareTimer);
    this.shareTimer = setTimeout(() => {
      const url = new URL(location.href);
      url.searchParams.set("step", String(this.at));
      history.replaceState(history.state, "", url);
    }, 250);
  }

  /** @param {string} what */
  act(what) {
    const deeds = {
      play: () => this.toggle(),
      back: () => this.pauseAt(this.at - 1),
      on: () => this.pauseAt(this.at + 1),
      first: () => this.pauseAt(0),
      last: () => this.pauseAt(this.last),
      "unlock-back": () => this.pauseAt(this.unlock(-1)),
      "unlock-on": () => this.pauseAt(this.unlock(1)),
      slower: () => this.setSpeed(SPEEDS[Math.max(0, SPEEDS.indexOf(this.speed) - 1)]),
      faster: () => this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + 1)]),
    };
    deeds[what]?.();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (isTyping(event) && event.target !== this.range) return;
    if (event.key === "f") {
      this.part("fork-step")?.form.querySelector("select").focus();
      event.preventDefault();
      return;
    }
    const keys = {
      " ": "play", ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last",
      "[": "unlock-back", "]": "unlock-on", ",": "slower", ".": "faster",
    };
    const what = keys[event.key];
    if (!what || (event.key === " " && event.target instanceof HTMLButtonElement)) return;
    event.preventDefault();
    this.act(what);
  }

  /** @param {number} step */
  pauseAt(step) {
    this.pause();
    this.seek(step);
  }

  /** The nearest step with an unlock in a direction. @param {number} way */
  unlock(way) {
    for (let i = this.at + way; i > 0 && i <= this.last; i += way) if (this.steps[i].unlocked.length) return i;
    return way > 0 ? this.last : 0;
  }

  /** @param {number} speed */
  setSpeed(speed) {
    this.speed = speed;
    this.part("speed").value = String(speed);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.at >= this.last) this.seek(0);
    this.playing = true;
    this.drawButton();
    let before = performance.now();
    let due = 0;
    const frame = (now) => {
      if (!this.playing) return;
      due += ((now - before) / 1000) * STEPS_A_SECOND * this.speed;
      before = now;
      if (due >= 1) {
        this.seek(this.at + Math.floor(due));
        due %= 1;
      }
      if (this.at >= this.last) this.pause();
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  pause() {
    this.playing = false;
    this.drawButton();
  }

  drawButton() {
    const button = this.root.querySelector('[data-do="play"]');
    button.textContent = this.playing ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(this.playing));
  }
}

/** A mark over the scrubber: for the mouse; the list of unlocks and the keys do the same. @param {number} share @param {string} name @param {number} step @param {() => void} go */
function mark(share, name, step, go) {
  const node = document.createElement("span");
  node.className = `mark tex ${iconClass(name)}`;
  node.title = `${name.replaceAll("_", " ")} at step ${step}`;
  node.ariaHidden = "true";
  node.style.left = `${share * 100}%`;
  node.addEventListener("click", go);
  return node;
}
