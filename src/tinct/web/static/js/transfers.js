// Masks in: the dialog of imports.
import { api } from "./api.js";
import { $, announce, make } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { filesOf } from "./dropped.js";
import { complain, notify } from "./notices.js";
import { change, seek } from "./project.js";
import { send } from "./start.js";
import { store } from "./store.js";

export function startTransfers() {
  $("import").addEventListener("click", () => showImport());
  document.addEventListener("drop", (event) => {
    if (document.body.dataset.screen === "studio") filesOf(event).then(dropped).catch(complain);
  });
}

const MASKS = /\.(png|json|xml|zip)$/i;

// One file that can be masks is taken for masks of this video, all else for another video.
function dropped(files) {
  if (!files.length || document.querySelector("dialog[open]")) return;
  if (files.length === 1 && MASKS.test(files[0].name)) showImport(files[0]);
  else {
    location.hash = "#/";
    send(files);
  }
}

function frameField(id, value, label) {
  const max = String(store.now.project.frames - 1);
  const range = { type: "number", min: "0", max, value: String(value) };
  return make("input", { ...range, id, className: "num", "aria-label": label });
}

const WHAT_COMES_IN =
  "A PNG mask, LabelMe polygons, COCO JSON, CVAT XML, or a ZIP with one of them. COCO and CVAT files say themselves " +
  "which frames they paint.";

/** Asks what to import; a file that was dropped is chosen already. */
export function showImport(given = null) {
  const file = make("input", { type: "file", id: "import-file", accept: ".png,.json,.xml,.zip" });
  if (given) {
    const chosen = new DataTransfer();
    chosen.items.add(given);
    file.files = chosen.files;
  }
  const replace = make("input", { type: "checkbox", id: "import-replace" });
  const frame = frameField("import-frame", store.now.frame, "Frame of a PNG or LabelMe file");
  const text = make("p", { className: "quiet" }, WHAT_COMES_IN);
  const go = make("button", { type: "button", className: "primary", id: "import-go" }, "Import");
  const rows = [
    make("div", { className: "field" }, make("label", { htmlFor: "import-file" }, "File"), file),
    make("div", { className: "field" }, make("label", { htmlFor: "import-frame" }, "Frame"), frame),
    make("label", { className: "check" }, replace, make("span", {}, "Replace all that these frames show")),
    text,
  ];
  const dialog = openDialog("Import painted masks", rows, [go]);
  go.addEventListener("click", async () => {
    if (!file.files.length) return notify("Choose a file with masks first.", "error");
    go.disabled = true;
    const index = Number(frame.value);
    const answer = await change((p) => api.importMasks(p, file.files[0], index, replace.checked), true);
    go.disabled = false;
    if (!answer) return;
    dialog.close();
    seek(Number.isInteger(answer.frame) ? answer.frame : index);
    for (const note of answer.notes ?? []) notify(note);
    announce("The masks are imported.");
  });
}
