// Dark, light, or as the system says.
import { $, icon } from "./dom.js";

const WORDS = { auto: "as the system", dark: "dark", light: "light" };
const light = matchMedia("(prefers-color-scheme: light)");
const watchers = new Set();

/** Calls `changed` whenever the colours shown change: canvases must be drawn again. */
export function onThemeChange(changed) {
  watchers.add(changed);
}

/** The value of a colour token, such as "--accent". */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function show(wanted) {
  const root = document.documentElement;
  root.dataset.theme = wanted;
  root.dataset.shown = wanted === "auto" ? (light.matches ? "light" : "dark") : wanted;
  const button = $("theme");
  button.replaceChildren(icon(`theme-${wanted}`));
  button.title = `Colours: ${WORDS[wanted]}`;
  button.setAttribute("aria-label", button.title);
  for (const changed of watchers) changed();
}

/** From the system's colours to the other ones, so that the first press shows; then to these; then back. */
function following(wanted) {
  const [system, other] = light.matches ? ["light", "dark"] : ["dark", "light"];
  return { auto: other, [other]: system, [system]: "auto" }[wanted];
}

export function startTheme() {
  show(document.documentElement.dataset.theme);
  light.addEventListener("change", () => show(document.documentElement.dataset.theme));
  $("theme").addEventListener("click", () => {
    const next = following(document.documentElement.dataset.theme);
    try {
      localStorage.setItem("tinct-theme", next);
    } catch {
      // Kept for this page only.
    }
    show(next);
  });
}
