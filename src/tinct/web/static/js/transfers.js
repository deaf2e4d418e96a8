// Masks in: the dialog of imports.
import { api } from "./api.js";
import { $, announce, make } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { notify } from "./notices.js";
import { change, seek } from "./project.js";
import { store } from "./store.js";

export function startTransfers() {
  $("import").addEventListener("click", showImport);
}

function frameField(id, value, label) {
  const max = String(store.now.project.frames - 1);
  const range = { type: "number", min: "0", max, value: String(value) };
  return make("input", { ...range, id, className: "num", "aria-label": label });
}

const WHAT_COMES_IN =
  "A PNG mask, LabelMe polygons, COCO JSON, CVAT XML, or a ZIP with one of them. COCO and CVAT files say themselves " +
  "which frames they paint.";

export function showImport() {
  const file = make("input", { type: "file", id: "import-file", accept: ".png,.json,.xml,.zip" });
  const frame = frameField("import-frame", store.now.frame, "Frame of a PNG or LabelMe file");
  const text = make("p", { className: "quiet" }, WHAT_COMES_IN);
  const go = make("button", { type: "button", className: "primary", id: "import-go" }, "Import");
  const rows = [
    make("div", { className: "field" }, make("label", { htmlFor: "import-file" }, "File"), file),
    make("div", { className: "field" }, make("label", { htmlFor: "import-frame" }, "Frame"), frame),
    text,
  ];
  const dialog = openDialog("Import painted masks", rows, [go]);
  go.addEventListener("click", async () => {
    if (!file.files.length) return notify("Choose a file with masks first.", "error");
    go.disabled = true;
    const index = Number(frame.value);
    const answer = await change((p) => api.importMasks(p, file.files[0], index), true);
    go.disabled = false;
    if (!answer) return;
    dialog.close();
    seek(Number.isInteger(answer.frame) ? answer.frame : index);
    for (const note of answer.notes ?? []) notify(note);
    announce("The masks are imported.");
  });
}
