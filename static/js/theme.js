// The theme: the system's until chosen. Kept in a cookie so that the server draws it right at once.

const NEXT = { auto: "dark", dark: "light", light: "auto" };

export function startTheme() {
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const theme = NEXT[document.documentElement.dataset.theme] ?? "dark";
      document.documentElement.dataset.theme = theme;
      document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
      button.querySelector("span").textContent = theme;
      document.dispatchEvent(new CustomEvent("theme"));
    });
  }
}

/** The value of a CSS custom property, for canvases. @param {string} name */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
