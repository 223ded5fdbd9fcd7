// The order of the wall, chosen beside it and kept in the address. Tiles stay where they are while
// the pointer or the focus is among them, so that nobody clicks on a game that has just moved.

const EVERY_MS = 2000;

/** @typedef {{tile: HTMLElement, unlocks: Set<string>, steps: number, items: number[]}} Game */

/** What comes first: the larger key. @type {Record<string, (game: Game) => number>} */
const KEYS = {
  newest: (game) => Number(game.tile.dataset.game),
  achievements: (game) => game.unlocks.size,
  danger: (game) => -Math.min(9, ...game.items.slice(0, 4)),
  steps: (game) => game.steps,
};

/** @param {HTMLElement} wall @param {Map<string, Game>} games */
export function sortWall(wall, games) {
  const choice = /** @type {HTMLSelectElement | null} */ (document.querySelector("[data-wall-sort]"));
  if (!choice) return;
  choice.closest("[hidden]")?.removeAttribute("hidden");
  const sort = () => {
    if (!document.hidden && !wall.matches(":hover, :focus-within")) order(wall, games, KEYS[choice.value]);
  };
  choice.addEventListener("change", () => {
    const address = new URL(location.href);
    address.searchParams.set("sort", choice.value);
    history.replaceState(null, "", address);
    order(wall, games, KEYS[choice.value]);
  });
  sort();
  setInterval(sort, EVERY_MS);
}

/** Move only what is not in its place. @param {HTMLElement} wall @param {Map<string, Game>} games */
function order(wall, games, key) {
  const sorted = [...games.values()].sort((a, b) => key(b) - key(a) || KEYS.newest(b) - KEYS.newest(a));
  sorted.forEach(({ tile }, i) => {
    if (wall.children[i] !== tile) wall.insertBefore(tile, wall.children[i] ?? null);
  });
}
