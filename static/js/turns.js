// `data-transcript`: a long game's page holds one page of turns; the others are fetched when they
// come near, or when the replay goes there. Without JavaScript they are links.

const NEAR = "800px";
const AGAIN_MS = 5000; // after a failure, before the same page is asked for again
/** Pages on their way. @type {WeakMap<HTMLElement, Promise<void>>} */
const asked = new WeakMap();

/** @param {HTMLElement} pane */
export function start(pane) {
  const near = new IntersectionObserver(
    (seen) => seen.forEach(({ target, isIntersecting }) => isIntersecting && fetchTurns(target)),
    { rootMargin: NEAR, scrollMargin: NEAR }, // the second is for a pane that scrolls by itself
  );
  for (const page of pane.querySelectorAll("[data-turns]")) near.observe(page);
}

/** Fill the page on which a turn stands; at once when it is there, or when there is none.
 * @param {HTMLElement} pane @param {number} turn */
export async function fetchTurn(pane, turn) {
  const pages = [...pane.querySelectorAll("[data-turns]")];
  const page = pages.find(({ dataset }) => Number(dataset.first) <= turn && turn <= Number(dataset.last));
  if (page) await fetchTurns(page);
}

/** @param {HTMLElement} page */
function fetchTurns(page) {
  if (!page.querySelector(".far")) return undefined;
  if (!asked.has(page)) {
    const sent = window.htmx.ajax("GET", page.dataset.turns, { source: page, target: page, swap: "innerHTML" });
    const over = () => setTimeout(() => asked.delete(page), page.querySelector(".far") ? AGAIN_MS : 0);
    asked.set(page, sent.catch(() => undefined).finally(over));
  }
  return asked.get(page);
}
