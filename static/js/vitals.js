// What the player has: vitals first, then what is in the bag, as textures with numbers.
import { ITEMS } from "./sprites.js";

const LOW = 3;

/** @param {HTMLElement} node @param {import("./sprites.js").View | null} view */
export function drawVitals(node, view) {
  if (!view) return;
  const parts = ITEMS.flatMap((name, i) => {
    const count = view.items[i];
    if (i > 3 && count === 0) return [];
    const part = document.createElement("span");
    const texture = document.createElement("i");
    texture.className = `tex t-${name}`;
    part.title = `${name.replaceAll("_", " ")}: ${count}`;
    part.className = i < 4 && count <= LOW ? "low" : "";
    part.append(texture, String(count));
    return [part];
  });
  node.replaceChildren(...parts);
}
