// The transcript beside a replay: marks the turn and action that the game shows, and seeks on click.

import { fetchTurn } from "./turns.js";

export class Transcript {
  /** @param {HTMLElement} root @param {(step: number) => void} seek */
  constructor(root, seek) {
    this.pane = root.querySelector('[data-part="transcript"]');
    this.turn = null;
    this.action = null;
    this.pane?.addEventListener("click", (event) => {
      const target = event.target.closest("[data-step]");
      if (!target) return;
      event.preventDefault();
      seek(Number(target.dataset.step));
    });
  }

  /** @param {number} turn @param {number} step */
  show(turn, step) {
    if (!this.pane) return;
    this.asked = [turn, step];
    const node = this.find(turn);
    if (!node && turn >= 0) this.wait(turn);
    if (node !== this.turn) {
      this.turn?.classList.remove("now");
      node?.classList.add("now");
      this.turn = node;
      if (node) this.bring(node);
    }
    this.action?.classList.remove("now");
    this.action = node?.querySelector(`.act[data-step="${step}"]`) ?? null;
    this.action?.classList.add("now");
  }

  /** @param {number} turn @returns {HTMLElement | null} */
  find(turn) {
    return this.pane.querySelector(`[data-turn="${turn}"]`);
  }

  /** The turn is not in the page yet: show what the game shows by the time that it is.
   * @param {number} turn */
  async wait(turn) {
    await fetchTurn(this.pane, turn);
    if (this.find(this.asked[0])) this.show(...this.asked);
  }

  /** Scroll the pane, never the page. @param {HTMLElement} node */
  bring(node) {
    const pane = this.pane;
    if (pane.scrollHeight <= pane.clientHeight + 4) return;
    const [box, frame] = [node.getBoundingClientRect(), pane.getBoundingClientRect()];
    if (box.top < frame.top || box.bottom > frame.bottom) pane.scrollTop += box.top - frame.top - 12;
  }
}
