// The pointer on the stage: which tool gets it, and what the tools draw above the picture.
import { $, clamp, oncePerFrame } from "./dom.js";
import { objectOf, store } from "./store.js";
import { viewer } from "./viewer.js";

let toolNamed = () => undefined;
let pointer = null; // in pixels of the frame
let holder = null; // the tool that got the button

const tool = () => toolNamed(store.now.tool);

function draw() {
  const canvas = $("gestures");
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!store.now.project) return;
  const { scale, x, y } = viewer.view;
  const ratio = viewer.ratio();
  context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
  const colour = objectOf(store.now.object)?.colour ?? "#ff9f1c";
  tool().draw(context, { pointer, unit: 1 / scale, colour });
}

export const redrawGestures = oncePerFrame(draw);

function down(event) {
  if (!store.now.project || holder || event.button > 2) return;
  $("stage").focus?.();
  $("gestures").setPointerCapture(event.pointerId);
  holder = event.button === 1 ? toolNamed("pan") : tool();
  holder.down(viewer.toFrame(event), event);
  event.preventDefault();
  redrawGestures();
}

function move(event) {
  pointer = viewer.toFrame(event);
  // A fast hand makes more points than the screen has pictures: all of them belong to the stroke.
  const events = holder ? (event.getCoalescedEvents?.() ?? []) : [];
  for (const each of events.length ? events : [event]) holder?.move(viewer.toFrame(each), each);
  redrawGestures();
}

function up(event) {
  if (!holder) return;
  const held = holder;
  holder = null;
  held.up(viewer.toFrame(event), event);
  redrawGestures();
}

const FAR_PX = 10; // of the screen, with Shift
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// On the focused canvas arrow keys are the hand, and Space its button. Steps are pixels of the screen, so that they
// are fine close up; one pixel of the frame is the least.
function keyDown(event) {
  const { project } = store.now;
  if (!project || event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  if (!arrow && event.key !== " ") return;
  event.preventDefault();
  event.stopPropagation();
  pointer ??= { x: project.width / 2, y: project.height / 2 };
  if (arrow) {
    const step = Math.max(1, (event.shiftKey ? FAR_PX : 1) / viewer.view.scale);
    const [x, y] = [pointer.x + step * arrow[0], pointer.y + step * arrow[1]];
    pointer = { x: clamp(x, 0, project.width), y: clamp(y, 0, project.height) };
    holder?.move(pointer, event);
  } else if (!event.repeat && !holder) {
    holder = tool();
    holder.down(pointer, { button: 0, shiftKey: event.shiftKey });
  }
  redrawGestures();
}

function keyUp(event) {
  if (event.key !== " " || !holder) return;
  event.preventDefault();
  const held = holder;
  holder = null;
  held.up(pointer, event);
  redrawGestures();
}

export function startGestures(named) {
  toolNamed = named;
  const canvas = $("gestures");
  canvas.addEventListener("pointerdown", down);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("keydown", keyDown);
  canvas.addEventListener("keyup", keyUp);
  canvas.addEventListener("blur", () => holder && keyUp(new KeyboardEvent("keyup", { key: " " })));
  canvas.addEventListener("pointerleave", () => {
    pointer = null;
    redrawGestures();
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", wheel, { passive: false });
  $("pending-apply").addEventListener("click", () => acceptPending());
  $("pending-drop").addEventListener("click", () => dropPending());
  store.watch(["object", "brush", "project"], redrawGestures);
  store.watch(["frame"], dropPending);
}

function wheel(event) {
  event.preventDefault();
  if (!store.now.project) return;
  const corner = $("stage").getBoundingClientRect();
  const lines = event.deltaMode === 1 ? 30 : 1;
  const at = { x: event.clientX - corner.left, y: event.clientY - corner.top };
  viewer.zoom(Math.exp(-event.deltaY * lines * 0.0018), at);
}

/** Whether the tool holds something that waits for Enter or Escape. */
export const pending = () => Boolean(tool().busy);

export function acceptPending(event) {
  tool().accept?.(event);
  redrawGestures();
}

export function dropPending() {
  if (pending()) tool().drop?.();
  redrawGestures();
}

export function stepBackPending() {
  tool().back?.();
  redrawGestures();
}

/** Changes the tool; what the old one held is dropped. */
export function choose(name) {
  dropPending();
  store.set({ tool: name });
  redrawGestures();
}
