// The whole project as one file, to keep or to send.
import { copyUrl } from "./api.js";
import { openDialog } from "./dialogs.js";
import { $, make } from "./dom.js";
import { notify } from "./notices.js";
import { saved } from "./saver.js";
import { store } from "./store.js";

export function startCopies() {
  $("save-copy").addEventListener("click", showCopy);
}

function showCopy() {
  const { id, uploaded } = store.now.project;
  const inside = make("input", { type: "checkbox", id: "copy-embed", checked: uploaded, disabled: uploaded });
  const text =
    "One file with everything that is painted, computed and exported. With the video inside, anybody can open it; " +
    "without, it needs the video where it lies now, or beside the copy.";
  const label = make("label", { className: "check", htmlFor: "copy-embed" }, inside, make("span", {}, "The video, too"));
  const go = make("button", { type: "button", className: "primary", id: "copy-go" }, "Save a copy");
  const dialog = openDialog("Save a copy of the project", [make("p", {}, text), label], [go]);
  go.addEventListener("click", async () => {
    await saved();
    make("a", { href: copyUrl(id, inside.checked), download: "" }).click();
    dialog.close();
    notify("The copy is on its way to your downloads.");
  });
}
