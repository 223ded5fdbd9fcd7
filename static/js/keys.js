// Keys that work on every page: `?` for the help sheet, `/` for the filter. Off while typing.

/** Whether the key belongs to a field or to the browser. @param {KeyboardEvent} event */
export function isTyping(event) {
  const node = /** @type {HTMLElement} */ (event.target);
  return (
    event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented ||
    node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName)
  );
}

export function startKeys() {
  const help = /** @type {HTMLDialogElement | null} */ (document.getElementById("help"));
  for (const button of document.querySelectorAll("[data-help]")) {
    button.hidden = false;
    button.addEventListener("click", () => help?.showModal());
  }
  document.addEventListener("keydown", (event) => {
    if (isTyping(event)) return;
    if (event.key === "?") help?.showModal();
    if (event.key === "/") {
      const filter = document.querySelector("[data-filter]");
      if (filter) {
        event.preventDefault();
        filter.focus();
      }
    }
  });
}
