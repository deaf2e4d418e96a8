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

const number = (id, value, label) =>
  make("input", { type: "number", id, className: "num", min: "0", max: String(store.now.project.frames - 1), value: String(value), "aria-label": label });

function choice(format, checked) {
  const { format: name, title, extra, missing } = format;
  const radio = make("input", { type: "radio", name: "format", value: name, checked });
  return make("label", {}, radio, title, ...(extra ? [make("small", {}, missing ? `needs tinct[${extra}]` : extra)] : []));
}

export async function showExport() {
  let formats;
  try {
    formats = await api.formats();
  } catch (error) {
    return complain(error);
  }
  const last = store.now.project.frames - 1;
  const list = make("div", { className: "formats", role: "radiogroup", "aria-label": "Format" }, ...formats.map((each, i) => choice(each, i === 0)));
  const [from, to] = [number("export-first", 0, "First frame"), number("export-last", last, "Last frame")];
  const range = make("div", { className: "field" }, make("span", { className: "quiet" }, "Frames"), make("div", { className: "range" }, from, "to", to));
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

export function showImport() {
  const file = make("input", { type: "file", id: "import-file", accept: ".png,.json,.xml", "aria-label": "File with masks" });
  const frame = number("import-frame", store.now.frame, "Frame of a PNG or LabelMe file");
  const text = make("p", { className: "quiet" }, "A PNG mask, LabelMe polygons, COCO RLE JSON or CVAT for images XML. COCO and CVAT files say themselves which frames they paint.");
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
    announce("The masks are imported.");
  });
}
