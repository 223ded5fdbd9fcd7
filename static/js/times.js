// Keeps relative times true while a page stays open, and shows the exact one in local time.

/** @param {number} seconds */
function words(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

function update() {
  for (const node of document.querySelectorAll("time[datetime]")) {
    const at = new Date(node.dateTime);
    const text = words(Math.max(0, (Date.now() - at) / 1000));
    if (node.textContent !== text) node.textContent = text;
    node.title = at.toLocaleString();
  }
}

export function startTimes() {
  update();
  setInterval(() => document.hidden || update(), 10000);
}
