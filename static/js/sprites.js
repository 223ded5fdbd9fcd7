// Draws a game from its packed view (87 bytes) with Crafter's own textures. The layout is that of
// engine/tasks/crafter/views.py, version 1: 63 tiles of material and thing, then the player.

const COLUMNS = 9;
const ROWS = 7;
const TILE = 16;
const WIDTH = COLUMNS * TILE;
const HEIGHT = ROWS * TILE;
const VIEW_BYTES = 87;
const picture = new ImageData(WIDTH, HEIGHT);
/** Pixels by the byte of a tile, made when it is first seen. @type {Uint32Array[]} */
const textures = [];
export const ITEMS = [
  "health", "food", "drink", "energy", "sapling", "wood", "stone", "coal", "iron", "diamond",
  "wood_pickaxe", "stone_pickaxe", "iron_pickaxe", "wood_sword", "stone_sword", "iron_sword",
];

const sheet = new Image();
const ready = new Promise((resolve, reject) => {
  sheet.onload = resolve;
  sheet.onerror = reject;
});
sheet.src = "/static/crafter/tiles.png";

/** Call back once the textures are there. @param {() => void} then */
export function onSprites(then) {
  ready.then(then, () => undefined);
}

/** @typedef {{tiles: Uint8Array, items: number[], daylight: number, sleeping: boolean, dead: boolean, step: number}} View */

/** The parts of a view; null for bytes that are none.
 * @param {string | Uint8Array} packed bytes, or base64 of them @returns {View | null} */
export function readView(packed) {
  let bytes = packed;
  try {
    if (typeof packed === "string") bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
  if (bytes?.length !== VIEW_BYTES || bytes[0] !== 1) return null;
  return {
    tiles: bytes.subarray(1, 64),
    sleeping: Boolean(bytes[64] & 16),
    dead: Boolean(bytes[64] & 32),
    daylight: bytes[65] / 255,
    items: [...bytes.subarray(66, 82)],
    step: bytes[85] | (bytes[86] << 8),
  };
}

/** A pixel of the canvas is one of the textures; the style scales it without smoothing. Tiles are
 * copied as pixels: 64 games are 30,000 tiles a second, which drawImage takes half a core for.
 * @param {HTMLCanvasElement} canvas @param {string | Uint8Array} packed */
export function drawView(canvas, packed) {
  const view = readView(packed);
  const context = canvas.getContext("2d");
  if (!view || !context) return;
  if (canvas.width !== WIDTH || canvas.height !== HEIGHT) [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const pixels = new Uint32Array(picture.data.buffer);
  view.tiles.forEach((tile, i) => {
    const texture = (textures[tile] ??= mix(tile));
    const corner = Math.floor(i / COLUMNS) * TILE * WIDTH + (i % COLUMNS) * TILE;
    for (let y = 0, from = 0, to = corner; y < TILE; y += 1, to += WIDTH - TILE) {
      for (let x = 0; x < TILE; x += 1) pixels[to++] = texture[from++];
    }
  });
  context.putImageData(picture, 0, 0);
  shade(context, canvas, view);
  canvas.step = view.step; // what it shows now, for who measures
}

/** The pixels of a material with what stands on it. @param {number} tile */
function mix(tile) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = TILE;
  const context = canvas.getContext("2d");
  context.drawImage(sheet, (tile & 15) * TILE, 0, TILE, TILE, 0, 0, TILE, TILE);
  if (tile >> 4) context.drawImage(sheet, (tile >> 4) * TILE, TILE, TILE, TILE, 0, 0, TILE, TILE);
  return new Uint32Array(context.getImageData(0, 0, TILE, TILE).data.buffer);
}

/** Night is blue and dark, sleep darker, death red. */
function shade(context, canvas, view) {
  const night = Math.min(0.5, (1 - view.daylight) * 0.6);
  const cover = view.dead ? "rgb(150 20 20 / 45%)" : view.sleeping ? "rgb(0 0 16 / 70%)" : `rgb(0 8 40 / ${night * 100}%)`;
  context.fillStyle = cover;
  if (view.dead || view.sleeping || night > 0.04) context.fillRect(0, 0, canvas.width, canvas.height);
}
