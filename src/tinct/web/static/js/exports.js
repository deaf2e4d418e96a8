// Masks out: the dialog of exports, and the list of those that were made.
import { api, exportUrl } from "./api.js";
import { confirmed, openDialog } from "./dialogs.js";
import { $, iconButton, make } from "./dom.js";
import { complain, notify } from "./notices.js";
import { change } from "./project.js";
import { saved } from "./saver.js";
import { store } from "./store.js";

const UNITS = ["B", "kB", "MB", "GB"];

export function startExports() {
  $("export").addEventListener("click", showExport);
}

function numberField(id, label, traits) {
  return make("input", { type: "number", id, className: "num", min: "0", "aria-label": label, ...traits });
}

const row = (label, ...fields) => make("div", { className: "field" }, make("span", { className: "quiet" }, label), ...fields);

/** Whether anything makes edges soft: a finishing, or soft masks that are stored. */
function softens({ finishing, has_soft_masks: stored }) {
  const rules = Object.values(finishing ?? {}).flat();
  return stored || rules.some(({ matte, feather_px: feather }) => matte !== "none" || feather > 0);
}

function choice({ format, title, extra, needs_soft: needsSoft }, checked) {
  const disabled = needsSoft && !softens(store.now.project);
  const radio = make("input", { type: "radio", name: "format", value: format, checked, disabled });
  const note = disabled ? "needs a matte or a feather" : extra ? `tinct[${extra}]` : "";
  return make("label", {}, radio, title, ...(note ? [make("small", {}, note)] : []));
}

function objectBoxes() {
  const boxes = store.now.project.objects.map(({ id, name }) => {
    const box = make("input", { type: "checkbox", name: "object", value: String(id), checked: true });
    return make("label", { className: "check" }, box, make("span", {}, name));
  });
  return make("div", { className: "object-boxes", role: "group", "aria-label": "Objects" }, ...boxes);
}

export async function showExport() {
  let [formats, exports] = [[], []];
  try {
    [formats, exports] = await Promise.all([api.formats(), api.exports(store.now.project.id)]);
  } catch (error) {
    return complain(error);
  }
  const { frames, fps } = store.now.project;
  const choices = formats.map((each, place) => choice(each, place === 0));
  const list = make("div", { className: "formats", role: "radiogroup", "aria-label": "Format" }, ...choices);
  const from = numberField("export-first", "First frame", { max: String(frames - 1), value: "0" });
  const to = numberField("export-last", "Last frame", { max: String(frames - 1), placeholder: "last" });
  const rate = make("input", { type: "text", id: "export-rate", className: "num", "aria-label": "Frames per second" });
  rate.placeholder = fps ? `${Number(fps.toFixed(3))}, as the video` : "such as 25 or 30000/1001";
  const start = numberField("export-start", "Number of the first file", { placeholder: "as the frames" });
  const [rateRow, startRow] = [row("Frames/s", rate), row("First number", start)];
  const soft = make("p", { className: "quiet", id: "export-soft" });
  const go = make("button", { type: "button", className: "primary", id: "export-go" }, "Export");
  const busy = make("progress", { hidden: true, "aria-label": "Exporting" });
  const made = make("div", {}, ...madeList(exports));
  const fields = [row("Objects", objectBoxes()), row("Frames", make("div", { className: "range" }, from, "to", to))];
  const dialog = openDialog("Export the masks", [list, ...fields, rateRow, startRow, soft, busy, made], [go], true);
  const chosen = () => formats.find(({ format }) => format === dialog.querySelector("input[name=format]:checked").value);
  const adapt = () => {
    const { timed, numbered, can_be_soft: canBeSoft } = chosen();
    rateRow.hidden = !timed;
    startRow.hidden = !numbered;
    soft.textContent = !canBeSoft ? "" : softens(store.now.project) ? "Edges are soft." : "Edges are hard: Finishing softens them.";
  };
  list.addEventListener("change", adapt);
  adapt();
  go.addEventListener("click", async () => {
    const { format, timed, numbered } = chosen();
    if (timed && !fps && !rate.value.trim()) {
      rate.focus();
      return notify("These pictures have no rate of their own: say how many frames a second the video has.", "error");
    }
    const boxes = [...dialog.querySelectorAll("input[name=object]")];
    const objects = boxes.filter((box) => box.checked).map((box) => Number(box.value));
    const numberOf = (input) => (input.value === "" ? null : Number(input.value));
    const request = { format, first: numberOf(from) ?? 0, last: numberOf(to) };
    if (objects.length < boxes.length) request.objects = objects;
    if (timed && rate.value.trim()) request.rate = rate.value.trim();
    if (numbered) request.start = numberOf(start);
    go.disabled = true;
    busy.hidden = false;
    if (await exported(request)) dialog.close();
    go.disabled = false;
    busy.hidden = true;
    return undefined;
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

function sizeOf(bytes) {
  let [size, unit] = [bytes, 0];
  while (size >= 1000 && unit + 1 < UNITS.length) [size, unit] = [size / 1000, unit + 1];
  return `${size < 10 && unit ? size.toFixed(1) : Math.round(size)} ${UNITS[unit]}`;
}

function madeList(exports) {
  if (!exports.length) return [];
  const { id } = store.now.project;
  const items = exports.map(({ name, size, created }) => {
    const link = make("a", { href: exportUrl(id, name), download: name, className: "ellipsis", title: name }, name);
    const about = make("span", { className: "quiet num" }, `${sizeOf(size)} · ${new Date(1000 * created).toLocaleString()}`);
    const item = make("li", {}, link, about);
    item.append(iconButton("trash", `Delete ${name}`, () => remove(name, item)));
    return item;
  });
  return [make("h3", {}, "Exports of this video"), make("ul", { id: "exports", className: "exports" }, ...items)];
}

async function remove(name, item) {
  const text = "The copy in the project is deleted for good; what was downloaded stays.";
  if (!(await confirmed(`Delete ${name}?`, text, "Delete"))) return;
  if (await change((p) => api.deleteExport(p, name))) item.remove();
}
