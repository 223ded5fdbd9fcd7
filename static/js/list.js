// Lists: j/k move, Enter opens, x selects, c compares, l labels. Rows are `tr[data-row]`, their address is
// the first link, their box is a checkbox. The form around works without this.
import { isTyping } from "./keys.js";

/** @param {HTMLElement} list */
export function start(list) {
  let at = -1;
  const rows = () => [...list.querySelectorAll("tr[data-row]")];
  const form = list.closest("form");

  const mark = (next) => {
    const all = rows();
    if (!all.length) return;
    at = Math.max(0, Math.min(all.length - 1, next));
    all.forEach((row, i) => row.classList.toggle("on", i === at));
    all[at].querySelector("a")?.focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "nearest" });
  };
  const count = () => {
    const checked = [...list.querySelectorAll("tr[data-row] input[type=checkbox]:checked")];
    const n = checked.length;
    countBulk(n);
    form?.querySelectorAll("[data-overlay-button]").forEach((button) => (button.disabled = n < 1));
    const button = form?.querySelector("[data-compare]");
    if (!button) return;
    const played = checked.every((box) => ["eval", "rollout", "fork"].includes(box.dataset.kind ?? "eval"));
    button.disabled = n < 2 || !played;
    button.textContent = n < 2 ? "Compare" : `Compare ${n} runs`;
    button.title = played ? "" : "Only games can be paired by world; trainings have curves.";
  };

  const boxes = () => [...list.querySelectorAll("tr[data-row] input[type=checkbox]")];
  const countBulk = (n) => {
    const words = list.querySelector("[data-count]");
    if (!words) return;
    words.textContent = n ? `${n} game${n > 1 ? "s" : ""} ticked` : "Tick games to";
    list.querySelectorAll("[data-bulk]").forEach((button) => (button.disabled = !n));
    const all = list.querySelector("[data-all]");
    if (all) [all.checked, all.indeterminate] = [n === boxes().length, n > 0 && n < boxes().length];
  };
  /** Type a label: for the ticked rows, or for the one under the cursor. */
  const label = () => {
    if (!list.querySelector("tr[data-row] input[type=checkbox]:checked") && at >= 0) boxes()[at]?.click();
    list.querySelector("[data-label]")?.focus();
  };

  document.addEventListener("keydown", (event) => {
    if (isTyping(event) || !list.isConnected) return;
    if (event.key === "j") mark(at + 1);
    if (event.key === "k") mark(at - 1);
    if (event.key === "x" && at >= 0) rows()[at].querySelector("input[type=checkbox]")?.click();
    if (event.key === "l" && list.querySelector("[data-label]")) {
      event.preventDefault();
      label();
    }
    if (event.key === "c" && form?.querySelector("[data-compare]:not([disabled])")) {
      form.requestSubmit(form.querySelector("[data-compare]"));
    }
  });
  list.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) boxes().forEach((box) => (box.checked = event.target.checked));
    count();
  });
  document.body.addEventListener("htmx:afterSettle", count);
  count();
}
