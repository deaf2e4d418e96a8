// The objects panel: names, colours, which one is painted, which are shown, which are on this frame.
import { api } from "./api.js";
import { $, announce, clamp, iconButton, make } from "./dom.js";
import { confirmed } from "./dialogs.js";
import { masks } from "./masks.js";
import { addObject, change } from "./project.js";
import { store } from "./store.js";
import { within } from "./ranges.js";
import { toggleLock } from "./runs.js";
import { wordsOf } from "./timeline.js";

export function startObjects() {
  $("add-object").addEventListener("click", addObject);
  $("withdraw").addEventListener("click", withdraw);
  $("lock").addEventListener("click", toggleLock);
  store.watch(["project", "hidden"], showList);
  store.watch(["project", "object", "hidden"], showChosen);
  store.watch(["object"], scrollToChosen);
  store.watch(["project", "frame"], showFrameState);
  store.watch(["mayWrite"], ({ mayWrite }) => ($("add-object").disabled = !mayWrite));
}

/** Chooses the nth object of the list, counted from 1. */
export function chooseNth(number) {
  const object = store.now.project?.objects[number - 1];
  if (!object) return;
  store.set({ object: object.id });
  announce(`${object.name} is painted now.`);
}

let drawn = "";

function showList({ project, hidden }) {
  if (!project) return;
  const now = JSON.stringify([project.id, project.objects, [...hidden]]);
  if (now === drawn) return;
  drawn = now;
  const held = document.activeElement?.closest?.("#objects") ? document.activeElement.id : null;
  const rows = project.objects.map((each, place) => rowOf(each, place, hidden.has(each.id)));
  $("objects").replaceChildren(...(rows.length ? rows : [emptyRow()]));
  if (held) $(held)?.focus();
  showPresence();
}

function showChosen({ object }) {
  for (const row of $("objects").children) {
    row.setAttribute("aria-current", String(Number(row.dataset.object) === object));
  }
}

/** Scrolls the list alone: scrollIntoView would move the panel, too. */
function scrollToChosen() {
  const list = $("objects");
  const row = list.querySelector("[aria-current=true]");
  if (row) list.scrollTop = clamp(list.scrollTop, row.offsetTop + row.offsetHeight - list.clientHeight, row.offsetTop);
}

const EMPTY = "No object yet. Paint on a frame, and the first one is made; N makes another.";
const emptyRow = () => make("li", { className: "object-empty" }, EMPTY);

function rowOf(object, place, hidden) {
  const { id, name, colour } = object;
  const swatch = make("input", {
    type: "color",
    id: `colour-${id}`,
    value: colour,
    title: "Colour",
    "aria-label": `Colour of ${name}`,
  });
  swatch.addEventListener("change", () => change((p) => api.changeObject(p, id, { colour: swatch.value })));
  const title = make("input", {
    type: "text",
    id: `name-${id}`,
    className: "object-name",
    value: name,
    maxLength: 80,
    "aria-label": `Name of object ${id}`,
  });
  title.addEventListener("focus", () => store.set({ object: id }));
  title.addEventListener("change", () => rename(object, title));
  title.addEventListener("keydown", (event) => {
    if (event.key === "Escape") title.value = name;
    if (event.key === "Escape" || event.key === "Enter") title.blur();
  });
  const seen = { id: `eye-${id}`, "aria-pressed": String(hidden), title: hidden ? "Show" : "Hide" };
  const eye = iconButton(hidden ? "eye-off" : "eye", `Hide ${name}`, () => toggleHidden(id), seen);
  const bin = iconButton("trash", `Delete ${name}`, () => remove(object), { id: `bin-${id}` });
  const key = make("span", { className: "object-key", title: `Object id ${id}` }, place < 9 ? String(place + 1) : "");
  const row = make("li", { className: "object", "data-object": id }, key, swatch, title, eye, bin);
  row.addEventListener("pointerdown", () => store.set({ object: id }));
  return row;
}

function rename(object, field) {
  const name = field.value.trim();
  if (name) change((p) => api.changeObject(p, object.id, { name }));
  else field.value = object.name;
}

function toggleHidden(id) {
  const hidden = new Set(store.now.hidden);
  if (!hidden.delete(id)) hidden.add(id);
  store.set({ hidden });
}

async function remove({ id, name }) {
  const text = `${name} goes from all frames, painted and computed. Undo (Ctrl+Z) brings it back.`;
  if (await confirmed(`Delete ${name}?`, text, "Delete")) await change((p) => api.deleteObject(p, id), true);
}

async function withdraw() {
  const { frame } = store.now;
  if (await change((p) => api.withdraw(p, frame), true)) announce(`The painting of frame ${frame} is taken back.`);
}

function showFrameState({ project, frame }) {
  if (!project) return;
  const [what, ...more] = wordsOf(project, frame);
  const quiet = make("span", { className: "quiet" }, more.join(", ") || " ");
  $("frame-state").replaceChildren(what[0].toUpperCase() + what.slice(1), quiet);
  $("frame-state").title = more.join(", "); // there is room for one line of it
  const locked = within(project.locks, frame);
  $("lock").setAttribute("aria-pressed", String(locked));
  $("lock").setAttribute("aria-label", locked ? "Unlock this frame" : "Lock this frame");
  $("withdraw").style.visibility = project.prompts.includes(frame) ? "visible" : "hidden"; // its place stays
}

const COUNTING_MS = 120; // a hand that scrubs does not wait for it
let counting = 0;

/** Greys the names of objects that are not on the current frame, a moment later. */
export function showPresence() {
  clearTimeout(counting);
  counting = setTimeout(greyAbsent, COUNTING_MS);
}

function greyAbsent() {
  if (!store.now.project) return;
  if (masks.isHeld(store.now.frame)) return showPresence(); // no look at all pixels during a stroke
  const map = masks.peek(store.now.frame);
  for (const row of $("objects").children) {
    row.classList.toggle("absent", Boolean(map) && !map.data.includes(Number(row.dataset.object)));
  }
}
