// The command palette: Ctrl+K opens it; pages and buttons of this page answer at once, what the
// server finds follows. Arrows choose, Enter goes. Without JavaScript the link leads to /search/.

const PAUSE_MS = 150;

export function startPalette() {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById("palette"));
  if (dialog) new Palette(dialog);
}

class Palette {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    this.input = dialog.querySelector("input");
    [this.found, this.own] = dialog.querySelectorAll("ul");
    this.at = 0;
    document.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.open();
    });
    for (const link of document.querySelectorAll("[data-palette]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.open();
      });
    }
    this.input.addEventListener("input", () => this.ask());
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  open() {
    if (this.dialog.open) return;
    this.input.value = "";
    this.dialog.showModal();
    this.input.focus();
    this.ask();
  }

  ask() {
    const words = this.input.value.trim();
    this.own.replaceChildren(...deeds(words));
    this.choose(0);
    clearTimeout(this.timer);
    if (!words) this.found.replaceChildren();
    else this.timer = setTimeout(() => this.fetch(words), PAUSE_MS);
  }

  /** @param {string} words */
  async fetch(words) {
    const to = { source: this.found, target: this.found, swap: "innerHTML" };
    await window.htmx.ajax("GET", `/search/?q=${encodeURIComponent(words)}`, to);
    this.choose(0);
  }

  get rows() {
    return [...this.dialog.querySelectorAll(".hits a, .hits button")];
  }

  /** @param {number} at */
  choose(at) {
    const rows = this.rows;
    this.at = Math.max(0, Math.min(rows.length - 1, at));
    rows.forEach((row, i) => row.classList.toggle("on", i === this.at));
    rows[this.at]?.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (way) this.choose(this.at + way);
    else if (event.key === "Enter" && event.target === this.input) this.rows[this.at]?.click();
    else return;
    event.preventDefault();
  }
}

/** The pages, and the buttons and links of this page's head, that have these words.
 * @param {string} words @returns {HTMLElement[]} */
function deeds(words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const known = [...document.querySelectorAll(".side .nav a, .head .actions .btn, .head .actions button")];
  return known
    .filter((node) => !node.matches("[data-palette]"))
    .filter((node) => wanted.every((word) => node.textContent.toLowerCase().includes(word)))
    .map((node) => {
      const row = document.createElement("li");
      const button = row.appendChild(document.createElement("button"));
      button.type = "button";
      const texture = node.querySelector(".tex")?.cloneNode();
      if (texture) button.append(texture);
      button.append(Object.assign(document.createElement("span"), { className: "strong", textContent: node.textContent.trim() }));
      button.append(Object.assign(document.createElement("span"), { className: "faint", textContent: node.closest(".nav") ? "page" : "on this page" }));
      button.addEventListener("click", () => {
        document.getElementById("palette").close();
        node.click();
      });
      return row;
    });
}
