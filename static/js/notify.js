// "Tell me when it ends": a notification of the browser, also while the tab is hidden. Hidden tabs
// have no stream, so the run is asked for every few seconds; who said yes once is asked no more.

const PAUSE_MS = 5000;
const OVER = ["succeeded", "failed", "cancelled"];

/** @param {HTMLButtonElement} button with data-notify = the run's number */
export function start(button) {
  if (!("Notification" in window) || Notification.permission === "denied") return;
  const key = `notify-${button.dataset.notify}`;
  button.hidden = false;
  const wait = () => {
    button.disabled = true;
    button.textContent = "You will be told";
    watch(button.dataset.notify, key);
  };
  if (sessionStorage.getItem(key) && Notification.permission === "granted") wait();
  button.addEventListener("click", async () => {
    if ((await Notification.requestPermission()) !== "granted") {
      button.textContent = "The browser does not allow it";
      return;
    }
    sessionStorage.setItem(key, "yes");
    wait();
  });
}

/** @param {string} run @param {string} key */
function watch(run, key) {
  const timer = setInterval(async () => {
    const answer = await fetch(`/api/v1/runs/${run}`, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer?.ok) return;
    const { name, state, error } = await answer.json();
    if (!OVER.includes(state)) return;
    clearInterval(timer);
    sessionStorage.removeItem(key);
    const note = new Notification(`Run ${run} ${state}`, { body: error ? `${name}: ${error.message}` : name, icon: "/static/crafter/mark.png", tag: key });
    note.addEventListener("click", () => {
      window.focus();
      location.assign(`/runs/${run}/`);
    });
  }, PAUSE_MS);
}
