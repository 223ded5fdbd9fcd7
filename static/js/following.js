// The transcript of a game that still plays: a turn for every batch of the stream, with its call as
// the engine tells it ("move_left, do", or the reason of a failed one in brackets), and its unlocks.
import { iconOf } from "./icons.js";
import { span } from "./nodes.js";

/** The actions of a batch's last call, in order; none when it failed. @param {any} detail @returns {string[]} */
export function actionsOf({ call }) {
  return call && !call.startsWith("(") ? call.split(", ") : [];
}

/** @param {HTMLElement} root @param {any} detail */
export function tell(root, detail) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const index = detail.n_turns - 1;
  const pane = part("transcript");
  if (detail.call && !pane.querySelector(`[data-turn="${index}"]`)) {
    pane.querySelector(".empty")?.remove();
    pane.append(turnOf(index, detail));
  }
  const list = part("unlocked");
  for (const [name] of detail.unlocks) unlock(list, name.replaceAll("_", " "), iconOf(name));
  part("n-unlocked").textContent = String(list.querySelectorAll("i").length);
}

/** The node that templates/traces/_turns.html makes, as far as is known of a turn by now. */
function turnOf(index, detail) {
  const node = Object.assign(document.createElement("article"), { className: "turn" });
  node.dataset.turn = String(index);
  const head = node.appendChild(document.createElement("header"));
  head.append(span("strong", `Turn ${index}`));
  const actions = actionsOf(detail);
  if (!actions.length) {
    node.classList.add("wrong");
    node.append(Object.assign(document.createElement("p"), { className: "bad", textContent: detail.call }));
    return node;
  }
  const row = node.appendChild(Object.assign(document.createElement("div"), { className: "acts" }));
  const before = detail.first_step + detail.views.length - 1 - actions.length;
  actions.forEach((action, i) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "act", textContent: action });
    button.dataset.step = String(before + i + 1);
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
