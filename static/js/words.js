// A problem in words where a game would have its picture: views of tasks without tiles are JSON.

/** @typedef {{problem: string, split: string, index: number, tries: [string, string][], expected?: string}} Problem */

/** The problem that a view holds; null for a picture. @param {string} base64 @returns {Problem | null} */
export function readProblem(base64) {
  if (!base64.startsWith("ey")) return null; // how `{"` begins in base64
  try {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const found = JSON.parse(new TextDecoder().decode(bytes));
    return typeof found.problem === "string" ? found : null;
  } catch {
    return null;
  }
}

/** The node that templates/traces/_words.html makes. @returns {HTMLElement} */
export function makeWords() {
  const node = document.createElement("span");
  node.className = "words";
  node.dataset.part = "words";
  for (const name of ["problem", "tries"]) {
    const part = document.createElement("span");
    part.dataset.part = name;
    if (name === "tries") part.className = "tries";
    node.append(part);
  }
  return node;
}

/** @param {HTMLElement} node @param {Problem} problem */
export function drawWords(node, problem) {
  node.querySelector('[data-part="problem"]').textContent = problem.problem.slice(0, 200);
  const tries = problem.tries.map(([answer, status]) => {
    const part = document.createElement("span");
    part.className = status === "correct" ? "good" : "bad";
    part.textContent = (answer || status.replaceAll("_", " ")).slice(0, 40);
    return part;
  });
  node.querySelector('[data-part="tries"]').replaceChildren(...tries);
}
