// What the page has to say: messages go soon, errors after a while, and what asks for an answer stays.
import { $, icon, iconButton, make } from "./dom.js";

const SHOWN_MS = { info: 6000, error: 30000 };

/**
 * @param text what happened, and what to do
 * @param kind "error" or "info"
 * @param actions {label: function}: buttons; the notice goes when one is pressed
 * @returns a function that takes the notice away
 */
export function notify(text, kind = "info", actions = {}) {
  for (const other of $("notices").children) if (other.dataset.text === text) other.remove();
  const close = () => notice.remove();
  const buttons = Object.entries(actions).map(([label, act]) =>
    make("button", { type: "button", onclick: () => (close(), act()) }, label),
  );
  const shut = iconButton("close", "Close notice", close);
  const notice = make(
    "div",
    { className: `notice ${kind}`, role: kind === "error" ? "alert" : "status", "data-text": text },
    icon(kind === "error" ? "warn" : "info"),
    make("p", {}, text),
    shut,
  );
  if (buttons.length) notice.append(make("div", { className: "actions" }, ...buttons));
  // Above an open dialog only what lies in it can be seen and pressed.
  (document.querySelector("dialog[open]") ?? document.body).append($("notices"));
  $("notices").append(notice);
  if (!buttons.length) setTimeout(close, SHOWN_MS[kind]);
  return close;
}

/** Shows a failure in its own words; returns as `notify` does. */
export function complain(error, actions) {
  if (error?.name === "AbortError") return () => {};
  if (!error?.status && error?.status !== 0) console.error(error);
  return notify(error?.message ?? String(error), "error", actions);
}
