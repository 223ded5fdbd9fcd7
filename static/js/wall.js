// The wall: every running game drawn as it plays, and a feed of what was unlocked. `data-wall` is
// a run's id, or empty for all games; a `[data-feed]` list beside it gets the unlocks.
import { drawView, onSprites, readView } from "./sprites.js";
import { iconOf } from "./icons.js";
import { span } from "./nodes.js";
import { drawWords, makeWords, readProblem } from "./words.js";
import { sortWall } from "./wallsort.js";

const GONE_MS = 1500;
const MAX_FEED = 60;
const LOW = 2; // of 9: health or a need that soon kills
const BATCH_MS = 260; // a batch of views is played back over the time until the next
const STILL_MS = 500; // between two pictures for who wants no motion

/** @param {HTMLElement} wall */
export function start(wall) {
  const only = wall.dataset.wall;
  const games = new Map();
  for (const tile of wall.querySelectorAll("[data-game]")) games.set(tile.dataset.game, known(tile));
  sortWall(wall, games);
  const stage = new Stage(games);
  offerFullScreen(wall);
  onSprites(() =>
    document.addEventListener("sse:live", ({ detail }) => {
      if (only && String(detail.run_id) !== only) return;
      if (detail.gone) leave(wall, games, String(detail.id));
      else show(wall, games, detail, stage);
      if (!only) sayHowMany(games.size);
    }),
  );
}

/** @param {HTMLElement} wall */
function offerFullScreen(wall) {
  const button = document.querySelector("[data-full-screen]");
  if (!button || !document.fullscreenEnabled) return;
  button.hidden = false;
  button.addEventListener("click", () => wall.closest(".wall").requestFullscreen());
}

/** @param {number} n */
function sayHowMany(n) {
  const words = document.querySelector("[data-wall-words]");
  if (!words) return;
  words.textContent = n ? `${n} game${n === 1 ? "" : "s"} on the wall, drawn as they are played. Open one to follow every step.` : "Nobody plays at the moment. Games appear here by themselves.";
}

/** @param {HTMLElement} tile */
function known(tile) {
  const view = readView(tile.querySelector("canvas")?.dataset.view ?? "");
  return {
    tile,
    unlocks: new Set([...tile.querySelectorAll(".badges .tex")].map((node) => node.title)),
    steps: view?.step ?? 0,
    items: view?.items ?? [],
    canvas: tile.querySelector("canvas"),
    queue: [],
    due: 0,
  };
}

/** @param {HTMLElement} wall @param {Map<string, any>} games @param {any} detail @param {Stage} stage */
function show(wall, games, detail, stage) {
  const id = String(detail.id);
  const game = games.get(id) ?? enter(wall, games, detail);
  const words = game.tile.querySelector('[data-part="words"]');
  const problem = readProblem(detail.views.at(-1) ?? "");
  if (words && problem) drawWords(words, problem);
  if (!words) stage.give(game, detail.views);
  const last = detail.first_step + detail.views.length - 1;
  if (detail.views.length) {
    game.steps = last;
    game.items = readView(detail.views.at(-1))?.items ?? game.items;
    part(game, "step").textContent = `step ${last}`;
    game.tile.classList.toggle("danger", danger(game) <= LOW);
  }
  if (detail.call) part(game, "call").textContent = `turn ${detail.n_turns} · ${detail.call}`;
  for (const [name, step] of detail.unlocks) tell(detail, game, name, step);
  for (const name of detail.unlocked) unlock(game, name);
}

/** The lowest of health, food, drink and energy. @param {{items: number[]}} game */
function danger(game) {
  return game.items.length ? Math.min(...game.items.slice(0, 4)) : 9;
}

/** Draws all games in one loop, a frame of the screen each. What came of a game together is played
 * back until the next is due, so that a picture is never older than two batches. */
class Stage {
  /** @param {Map<string, any>} games */
  constructor(games) {
    this.games = games;
    this.running = false;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  /** @param {any} game @param {string[]} views */
  give(game, views) {
    game.queue.push(...views);
    game.pace = game.queue.length / BATCH_MS;
    if (this.running) return;
    this.running = true;
    this.last = performance.now();
    requestAnimationFrame((now) => this.frame(now));
  }

  /** @param {number} now */
  frame(now) {
    const passed = now - this.last;
    const wait = this.still.matches && passed < STILL_MS;
    let left = wait;
    if (!wait) this.last = now;
    for (const game of wait ? [] : this.games.values()) {
      if (!game.queue.length) continue;
      game.due += passed * game.pace;
      const n = Math.min(game.queue.length, Math.floor(game.due));
      game.due = n === game.queue.length ? 0 : game.due - n;
      if (n) drawView(game.canvas, game.queue.splice(0, n).at(-1));
      left ||= game.queue.length > 0;
    }
    this.running = left;
    if (left) requestAnimationFrame((next) => this.frame(next));
  }
}

/** @param {HTMLElement} wall @param {Map<string, any>} games @param {any} detail */
function enter(wall, games, detail) {
  const tile = document.createElement("a");
  tile.className = "tile";
  tile.href = addressOf(detail);
  tile.id = `game-${detail.id}`;
  tile.dataset.game = String(detail.id);
  const problem = readProblem(detail.views.at(-1) ?? "");
  const picture = problem ? makeWords() : makeCanvas(detail);
  const caption = span("cap", "");
  const top = span("between", "");
  top.append(span("strong", problem ? problem.split : "0 of 22", "score"), span("faint", "step 0", "step"));
  caption.append(top, span("badges", "", "badges"), span("faint call", "", "call"), span("muted who", `seed ${detail.seed} · ${ownerless(detail.model || "scripted")}`, "who"));
  tile.append(picture, caption);
  wall.prepend(tile);
  document.querySelector("[data-wall-empty]")?.setAttribute("hidden", "");
  const game = known(tile);
  games.set(String(detail.id), game);
  return game;
}

function makeCanvas(detail) {
  const canvas = document.createElement("canvas");
  canvas.className = "game";
  [canvas.width, canvas.height] = [144, 112]; // a pixel of the textures each; the style scales it
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Game of seed ${detail.seed}`);
  return canvas;
}

/** The game's page; run and seed lead to its trace when it has ended by then. */
function addressOf(detail) {
  return `/live/${detail.id}/?run=${detail.run_id}&seed=${detail.seed}`;
}

function part(game, name) {
  return game.tile.querySelector(`[data-part="${name}"]`);
}

/** What the game has reached, told or not: a page may come in the middle. */
function unlock(game, name) {
  const words = name.replaceAll("_", " ");
  if (game.unlocks.has(words)) return;
  game.unlocks.add(words);
  part(game, "badges").append(iconOf(name));
  part(game, "score").textContent = `${game.unlocks.size} of 22`;
}

/** A new unlock: light the tile, and a line in the feed beside the wall. */
function tell(detail, game, name, step) {
  const words = name.replaceAll("_", " ");
  if (game.unlocks.has(words)) return;
  game.tile.classList.add("fresh");
  setTimeout(() => game.tile.classList.remove("fresh"), 1500);
  const feed = document.querySelector("[data-feed]");
  if (!feed) return;
  document.querySelector("[data-feed-empty]")?.remove();
  const line = document.createElement("li");
  const link = document.createElement("a");
  link.href = addressOf(detail);
  link.textContent = `seed ${detail.seed}`;
  line.append(iconOf(name), span("strong", words), link, span("when", `step ${step}`));
  feed.prepend(line);
  while (feed.childElementCount > MAX_FEED) feed.lastElementChild.remove();
}

/** A game that ended fades, then makes room. */
function leave(wall, games, id) {
  const game = games.get(id);
  if (!game) return;
  games.delete(id);
  game.tile.classList.add("over");
  setTimeout(() => {
    game.tile.remove();
    if (!wall.childElementCount) document.querySelector("[data-wall-empty]")?.removeAttribute("hidden");
  }, GONE_MS);
}

/** A model's id without who published it, as counts.py writes it: a tile has no room for both.
 * @param {string} model */
const ownerless = (model) => model.replace(/[^:/]+\//, "");
