// Masks in and out: the dialogs of import and export.
import { api, exportUrl } from "./api.js";
import { $, announce, make } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { complain, notify } from "./notices.js";
import { change, seek } from "./project.js";
import { saved } from "./saver.js";
import { store } from "./store.js";

export function startTransfers() {
  $("export").addEventListener("click", showExport);
  $("import").addEventListener("click", showImport);
}

function frameField(id, value, label) {
  const max = String(store.now.project.frames - 1);
  const range = { type: "number", min: "0", max, value: String(value) };
  return make("input", { ...range, id, className: "num", "aria-label": label });
}

function choice({ format, title, extra }, checked) {
  const radio = make("input", { type: "radio", name: "format", value: format, checked });
  return make("label", {}, radio, title, ...(extra ? [make("small", {}, `tinct[${extra}]`)] : []));
}

export async function showExport() {
  let formats;
  try {
    formats = await api.formats();
  } catch (error) {
    return complain(error);
  }
  const last = store.now.project.frames - 1;
  const choices = formats.map((each, place) => choice(each, place === 0));
  const list = make("div", { className: "formats", role: "radiogroup", "aria-label": "Format" }, ...choices);
  const from = frameField("export-first", 0, "First frame");
  const to = frameField("export-last", last, "Last frame");
  const fields = make("div", { className: "range" }, from, "to", to);
  const range = make("div", { className: "field" }, make("span", { className: "quiet" }, "Frames"), fields);
  const go = make("button", { type: "button", className: "primary", id: "export-go" }, "Export");
  const busy = make("progress", { hidden: true, "aria-label": "Exporting" });
  const dialog = openDialog("Export the masks", [list, range, busy], [go]);
  go.addEventListener("click", async () => {
    const format = dialog.querySelector("input[name=format]:checked").value;
    go.disabled = true;
    busy.hidden = false;
    if (await exported({ format, first: Number(from.value), last: Number(to.value) })) dialog.close();
    go.disabled = false;
    busy.hidden = true;
  });
}

async function exported(request) {
  const { project } = store.now;
  try {
    await saved();
    const { name } = await api.exportMasks(project.id, request);
    make("a", { href: exportUrl(project.id, name), download: name }).click();
    notify(`${name} is written and goes to your downloads.`);
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
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
