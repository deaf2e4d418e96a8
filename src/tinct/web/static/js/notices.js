// What the page has to say: errors stay until they are closed, news go by themselves.
import { $, icon, make } from "./dom.js";

const NEWS_MS = 6000;

/**
 * @param text what happened, and what to do
 * @param kind "error" or "news"
 * @param actions {label: function}: buttons; the notice goes when one is pressed
 * @returns a function that takes the notice away
 */
export function notify(text, kind = "news", actions = {}) {
  for (const other of $("notices").children) if (other.dataset.text === text) other.remove();
  const close = () => notice.remove();
  const buttons = Object.entries(actions).map(([label, act]) =>
    make("button", { type: "button", onclick: () => (close(), act()) }, label),
  );
  const shut = make("button", { type: "button", className: "icon", "aria-label": "Close notice", onclick: close }, icon("close"));
  const notice = make(
    "div",
    { className: `notice ${kind}`, role: kind === "error" ? "alert" : "status", "data-text": text },
    icon(kind === "error" ? "warn" : "info"),
    make("p", {}, text),
    shut,
  );
  if (buttons.length) notice.append(make("div", { className: "actions" }, ...buttons));
  $("notices").append(notice);
  if (kind !== "error" && !buttons.length) setTimeout(close, NEWS_MS);
  return close;
}

/** Shows a failure in its own words. */
export function complain(error, actions) {
  if (error?.name === "AbortError") return;
  if (!error?.status && error?.status !== 0) console.error(error);
  notify(error?.message ?? String(error), "error", actions);
}
