// The transcript of a game that still plays: every turn that the stream tells of, with its call as
// the engine tells it ("move_left, do", or the reason of a failed one in brackets), and its unlocks.
import { iconOf } from "./icons.js";
import { span } from "./nodes.js";
import { actionsOf } from "./steps.js";

/** @param {HTMLElement} root @param {any} detail */
export function tell(root, detail) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const pane = part("transcript");
  for (const turn of detail.turns) if (!pane.querySelector(`[data-turn="${turn[0]}"]`)) add(pane, turn);
  const list = part("unlocked");
  for (const [name] of detail.unlocks) unlock(list, name.replaceAll("_", " "), iconOf(name));
  part("n-unlocked").textContent = String(list.querySelectorAll("i").length);
}

/** @param {HTMLElement} pane @param {any[]} turn */
function add(pane, turn) {
  pane.querySelector(".empty")?.remove();
  const shown = [...pane.querySelectorAll("[data-turn]")].at(-1);
  const next = shown ? Number(shown.dataset.turn) + 1 : turn[0];
  if (next < turn[0]) {
    const missed = next === turn[0] - 1 ? `Turn ${next} stands` : `Turns ${next} to ${turn[0] - 1} stand`;
    pane.append(Object.assign(document.createElement("p"), { className: "faint", textContent: `${missed} in its trace.` }));
  }
  pane.append(turnOf(turn));
}

/** The node that templates/traces/_turns.html makes, as far as is known of a turn by now. */
function turnOf([index, call, first]) {
  const node = Object.assign(document.createElement("article"), { className: "turn" });
  node.dataset.turn = String(index);
  const head = node.appendChild(document.createElement("header"));
  head.append(span("strong", `Turn ${index}`));
  const actions = actionsOf(call);
  if (!actions.length) {
    node.classList.add("wrong");
    node.append(Object.assign(document.createElement("p"), { className: "bad", textContent: call }));
    return node;
  }
  const row = node.appendChild(Object.assign(document.createElement("div"), { className: "acts" }));
  actions.forEach((action, i) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "act", textContent: action });
    button.dataset.step = String(first + i);
    row.append(button);
  });
  return node;
}

/** @param {HTMLElement} list @param {string} words @param {HTMLElement} icon */
function unlock(list, words, icon) {
  if ([...list.children].some((line) => line.textContent === words)) return;
  list.querySelector(".faint")?.remove();
  const line = list.appendChild(document.createElement("li"));
  line.append(icon, words);
}
