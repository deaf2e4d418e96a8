// Modal dialogs, on the browser's own <dialog>: Escape closes, focus goes back where it was.
import { $, iconButton, make } from "./dom.js";

/**
 * @param title its heading
 * @param body elements
 * @param buttons elements for the foot
 * @returns the dialog, open; its close() ends it
 */
export function openDialog(title, body, buttons = [], broad = false) {
  const dialog = make("dialog", { className: broad ? "broad" : "", "aria-label": title });
  const shut = iconButton("close", "Close", () => dialog.close());
  dialog.append(make("header", {}, make("h2", {}, title), shut), make("div", { className: "body" }, ...body));
  if (buttons.length) dialog.append(make("footer", {}, ...buttons));
  dialog.addEventListener("close", () => {
    document.body.append($("notices")); // they may have been shown above the dialog
    dialog.remove();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks before something that cannot be undone. */
export function confirmed(title, text, label) {
  return new Promise((resolve) => {
    const yes = make("button", { type: "button", className: "danger" }, label);
    const no = make("button", { type: "button" }, "Keep");
    const dialog = openDialog(title, [make("p", {}, text)], [no, yes]);
    yes.addEventListener("click", () => (resolve(true), dialog.close()));
    no.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => resolve(false));
    no.focus();
  });
}
