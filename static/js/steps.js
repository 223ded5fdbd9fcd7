// The steps of a game, from the first picture on: of a stored one as packed columns
// (`packed_steps` in apps/traces/queries/payload.py), of one that still plays as objects.

/** @typedef {{turn: number, action: string, view: string | Uint8Array, unlocked: string[]}} Step */

/** The fresh world, then each step; null when there is no answer.
 * @param {string} address @returns {Promise<Step[] | null>} */
export async function fetchSteps(address) {
  const answer = await fetch(address);
  if (!answer.ok) return null;
  const told = await answer.json();
  if (told.sizes) return unpack(told);
  const first = { turn: -1, action: "", view: told.first_view ?? told.steps[0]?.view, unlocked: [] };
  const steps = [first];
  for (const step of told.steps) steps[step.index] = { turn: -1, action: "", ...step };
  return filled(steps);
}

/** The actions of a call as the engine tells it; none when it failed. @param {string} call @returns {string[]} */
export function actionsOf(call) {
  return call && !call.startsWith("(") ? call.split(", ") : [];
}

/** What is known of the steps by now, and the snapshot for the rest: the stream may be ahead of it.
 * @param {Step[]} known @param {Step[]} snapshot @returns {Step[]} */
export function merged(known, snapshot) {
  const steps = snapshot.map((step, i) => (known[i]?.turn >= 0 ? known[i] : step));
  return filled([...steps, ...known.slice(steps.length)]);
}

/** A step whose picture was never sent (of a very fast game, or before a branch) shows the one before.
 * @param {Step[]} steps */
export function filled(steps) {
  for (let i = 1; i < steps.length; i += 1) steps[i] ??= { ...steps[i - 1], action: "", unlocked: [] };
  return steps;
}

/** @param {any} columns @returns {Promise<Step[]>} */
async function unpack({ turns, names, actions, unlocked, sizes, views }) {
  const bytes = await inflate(views);
  const unlocks = new Map(unlocked);
  let at = 0;
  return sizes.map((size, step) => ({
    turn: step ? turns[step - 1] : -1,
    action: step ? names[actions[step - 1]] : "",
    view: bytes.subarray(at, (at += size)),
    unlocked: unlocks.get(step) ?? [],
  }));
}

/** @param {string} base64 */
async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}
