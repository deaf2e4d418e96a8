// Every key of the page, once: what it does and what the help says of it.
import { $, make } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { acceptPending, choose, dropPending, pending, stepBackPending } from "./gestures.js";
import { showExport } from "./exports.js";
import { copyPrevious } from "./copy-previous.js";
import { chooseNth } from "./objects.js";
import { shuttle, stepTo, togglePlay } from "./playback.js";
import { addObject, redo, undo } from "./project.js";
import { run } from "./run-panel.js";
import { setStretch, toggleCompare, toggleLock } from "./runs.js";
import { store } from "./store.js";
import { goToPainted, goToSuggested } from "./timeline.js";
import { resizeBrush } from "./toolbar.js";
import { viewer } from "./viewer.js";
import { views } from "./views.js";

const by = (step) => () => stepTo(store.now.frame + step);

const DIGITS = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const larger = () => viewer.zoom(1.25);

// [group, [[keys as shown, text, {key: action}]...]]; a key is "Shift+Ctrl+" in that order, then event.key.
const GROUPS = [
  ["Paint", [
    ["B", "Brush", { b: () => choose("brush") }],
    ["E", "Eraser", { e: () => choose("eraser") }],
    ["C", "Clicks that find an outline", { c: () => choose("clicks") }],
    ["X", "Box that finds an outline", { x: () => choose("box") }],
    ["S", "Scribbles that find an outline", { s: () => choose("scribbles") }],
    ["P", "Polygon", { p: () => choose("polygon") }],
    ["[ ]", "Brush smaller, larger", { "[": () => resizeBrush(-1), "]": () => resizeBrush(1) }],
    ["1 – 9", "Choose an object", Object.fromEntries(DIGITS.map((digit) => [digit, () => chooseNth(digit)]))],
    ["N", "New object", { n: addObject }],
    ["D", "Copy the object from the frame before", { d: copyPrevious }],
    ["Enter", "Apply a polygon or an outline", {}],
    ["Esc", "Drop it", {}],
    ["Ctrl+Z", "Undo", { "Ctrl+z": undo }],
    ["Ctrl+Y", "Redo", { "Ctrl+y": redo, "Shift+Ctrl+Z": redo, "Shift+Ctrl+z": redo }],
  ]],
  ["Time", [
    ["Space", "Play, pause", { " ": () => togglePlay() }],
    ["J K L", "Play backward, pause, forward; again: faster", {
      j: () => shuttle(-1), k: () => store.set({ playing: false }), l: () => shuttle(1),
    }],
    ["← →", "One frame", { ArrowLeft: by(-1), ArrowRight: by(1) }],
    ["Shift ← →", "Ten frames", { "Shift+ArrowLeft": by(-10), "Shift+ArrowRight": by(10) }],
    ["↑ ↓", "Painted frame before, after", { ArrowUp: () => goToPainted(-1), ArrowDown: () => goToPainted(1) }],
    ["Home End", "First, last frame", { Home: () => stepTo(0), End: () => stepTo(store.now.project.frames - 1) }],
    ["G", "Frame where a correction helps most", { g: goToSuggested }],
  ]],
  ["Run", [
    ["R", "Run forward from here", { r: () => startRun("forward") }],
    ["Shift+R", "Run backward from here", { "Shift+R": () => startRun("backward") }],
    ["I O", "First, last frame of runs (in, out)", { i: () => setStretch(0), o: () => setStretch(1) }],
    ["W", "Compare the run with what was before", { w: toggleCompare }],
    ["Shift+L", "Lock this frame, unlock it", { "Shift+L": toggleLock }],
    ["Ctrl+E", "Export", { "Ctrl+e": showExport }],
  ]],
  ["View", [
    ["+ −", "Zoom in, out", { "+": larger, "=": larger, "-": () => viewer.zoom(0.8) }],
    ["0", "Fit the frame", { 0: () => viewer.fit() }],
    ["H", "Hand, to drag the picture", { h: () => choose("pan") }],
    ["V", "Next view: outline, alpha, on black …", { v: () => views.next() }],
    ["U", "Outlines of the frame before (onion skin)", { u: () => store.set({ onion: !store.now.onion }) }],
    ["M", "Masks on, off", { m: () => store.set({ masksShown: !store.now.masksShown }) }],
    ["?", "This help", { "?": showHelp }],
  ]],
];

const ACTIONS = new Map(GROUPS.flatMap(([, rows]) => rows.flatMap(([, , keys]) => Object.entries(keys))));

function startRun(direction) {
  if (!["queued", "starting", "running"].includes(store.now.run?.status)) run(direction);
}

export function startShortcuts() {
  document.addEventListener("keydown", pressed);
  watchHands();
  $("help").addEventListener("click", showHelp);
  $("undo").addEventListener("click", undo);
  $("redo").addEventListener("click", redo);
}

const SWITCHES = "input[type=checkbox], input[type=radio], input[type=range]";

let byPointer = false; // whether the hand was last on the mouse

// A control that was clicked gives the keys back to the picture; one that was reached by keys keeps them.
function letGo(event) {
  const control = event.target.closest?.(`button, select, ${SWITCHES}`);
  if (byPointer && control && !control.closest("dialog")) control.blur();
}

function watchHands() {
  document.addEventListener("pointerdown", () => (byPointer = true), true);
  document.addEventListener("keydown", () => (byPointer = false), true);
  document.addEventListener("click", (event) => event.target.matches("select") || letGo(event));
  document.addEventListener("change", letGo);
}

/** Whether a control needs this key itself. */
function needs(control, event) {
  if (control.matches("input[type=text], textarea")) return true;
  if (event.ctrlKey || event.metaKey) return false;
  if (control.matches("select, input[type=number]")) return true;
  const moves = event.key.startsWith("Arrow") || ["Home", "End", " "].includes(event.key);
  if (control.matches(`${SWITCHES}, input[type=color]`)) return moves;
  return control.matches("button, a") && [" ", "Enter"].includes(event.key); // pressed by them, as everywhere
}

function pressed(event) {
  if (document.querySelector("dialog[open]") || event.altKey) return;
  const held = store.now.project && forPending(event);
  if (!held && needs(event.target, event)) return;
  if (event.key === "?" && !store.now.project) return showHelp();
  if (!store.now.project) return;
  const command = event.ctrlKey || event.metaKey;
  const shifted = event.shiftKey && (command || event.key.length > 1 || /[A-Z]/.test(event.key));
  const key = `${shifted ? "Shift+" : ""}${command ? "Ctrl+" : ""}${event.key}`;
  const letter = event.key.length === 1 && !shifted && !command; // with caps lock too
  const act = held ?? ACTIONS.get(key) ?? (letter ? ACTIONS.get(key.toLowerCase()) : undefined);
  if (!act) return;
  event.preventDefault();
  act(event);
}

function forPending(event) {
  if (!pending() || event.target.matches("input[type=text], #pending button")) return undefined;
  return { Enter: acceptPending, Escape: dropPending, Backspace: stepBackPending }[event.key];
}

const MOUSE =
  "Wheel: zoom. Middle button: drag the picture. Right button: the brush erases, the eraser paints.";

export function showHelp() {
  const rowOf = ([keys, text]) => make("div", {}, make("dt", {}, make("kbd", {}, keys)), make("dd", {}, text));
  const groups = GROUPS.map(([title, rows]) =>
    make("section", {}, make("h3", {}, title), make("dl", {}, ...rows.map(rowOf))),
  );
  const body = [make("div", { className: "shortcuts" }, ...groups), make("p", { className: "quiet" }, MOUSE)];
  openDialog("Keyboard shortcuts", body, [], true);
}
