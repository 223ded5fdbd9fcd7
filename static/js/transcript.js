// The transcript beside a replay: marks the turn and action that the game shows, and seeks on click.

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
    const node = this.pane.querySelector(`[data-turn="${turn}"]`);
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

  /** Scroll the pane, never the page. @param {HTMLElement} node */
  bring(node) {
    const pane = this.pane;
    if (pane.scrollHeight <= pane.clientHeight + 4) return;
    const top = node.offsetTop - pane.offsetTop;
    if (top < pane.scrollTop || top + node.offsetHeight > pane.scrollTop + pane.clientHeight) {
      pane.scrollTop = top - 12;
    }
  }
}
