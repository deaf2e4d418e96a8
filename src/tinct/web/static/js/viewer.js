// The stage: the frame, its masks above it, zoom and pan. Drawn in screen pixels, thought in pixels of the frame.
import { $, clamp, oncePerFrame } from "./dom.js";
import { frames } from "./frames.js";
import { union } from "./labels.js";
import { masks } from "./masks.js";
import { Overlay } from "./overlay.js";
import { store } from "./store.js";
import { drawOnion } from "./onion.js";
import { onThemeChange, token } from "./theme.js";
import { views } from "./views.js";

const MARGIN_PX = 12;
const MOST = 64; // screen pixels per pixel of the frame
const PART_PX = 6; // around what a stroke touches: its outline lies there, and the filter of a smaller picture reaches there
const SMOOTH_UNDER = 1.5; // screen pixels per frame pixel: above it pixels are shown as squares

const canvas = () => $("picture");
const overlay = new Overlay();
const before = new Overlay(); // what a run is compared with
let comparing = false;
const view = { scale: 1, x: 0, y: 0, fitted: true }; // in CSS pixels: screen = frame * scale + (x, y)
let shown = null; // {index, bitmap}
let part = null; // the rectangle of the frame that is to be drawn anew, if that is all
let whole = true; // whether everything is
let afterDraw = () => {};
let mapChanged = () => {};

const ratio = () => window.devicePixelRatio || 1;
const size = () => ({ width: canvas().clientWidth, height: canvas().clientHeight });

function draw() {
  const context = canvas().getContext("2d", { alpha: false });
  context.save();
  drawClipped(context, whole ? null : part);
  context.restore();
  [part, whole] = [null, false];
  if (store.now.project && shown) afterDraw();
}

/** Clips to a rectangle of the frame, a little enlarged, at whole pixels of the screen; what must be drawn for it. */
function clipTo(context, { x0, y0, x1, y1 }, scale, corner) {
  const pad = PART_PX * ratio();
  const [left, top] = [Math.floor(x0 * scale + corner.x - pad), Math.floor(y0 * scale + corner.y - pad)];
  const [right, bottom] = [Math.ceil(x1 * scale + corner.x + pad), Math.ceil(y1 * scale + corner.y + pad)];
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  context.clip();
  const { width, height } = store.now.project;
  const frameAt = (at, from, most, round) => clamp(round((at - from) / scale), 0, most);
  return {
    x0: frameAt(left - pad, corner.x, width, Math.floor),
    y0: frameAt(top - pad, corner.y, height, Math.floor),
    x1: frameAt(right + pad, corner.x, width, Math.ceil),
    y1: frameAt(bottom + pad, corner.y, height, Math.ceil),
  };
}

function drawClipped(context, wanted) {
  const { project, opacity, masksShown, view: chosen } = store.now;
  const scale = view.scale * ratio();
  const corner = { x: Math.round(view.x * ratio()), y: Math.round(view.y * ratio()) };
  context.setTransform(1, 0, 0, 1, 0, 0);
  const area = wanted && clipTo(context, wanted, scale, corner);
  context.fillStyle = token("--stage");
  context.fillRect(0, 0, canvas().width, canvas().height);
  if (!project || !shown) return;
  context.setTransform(scale, 0, 0, scale, corner.x, corner.y);
  const reduced = shown.bitmap.width < project.width;
  context.imageSmoothingEnabled = reduced || scale < SMOOTH_UNDER;
  context.imageSmoothingQuality = "high";
  const drawsMasks = !masksShown || Boolean(comparing) || views.drawsMasks();
  if (drawsMasks) context.drawImage(shown.bitmap, 0, 0, project.width, project.height);
  else views.draw(context, shown);
  const unit = ratio() / scale;
  const fill = chosen === "outline" ? 0 : opacity;
  if (masksShown && comparing) drawBoth(context, fill, unit);
  else if (masksShown && drawsMasks) overlay.draw(context, fill, unit, 1, area);
  if (masksShown && drawsMasks) drawOnion(context, unit);
}

/** Left of the wipe what was before, right of it what is. */
function drawBoth(context, opacity, unit) {
  const { project } = store.now;
  const x = (viewer.wipe * size().width - view.x) / view.scale;
  for (const [each, from, to] of [[before, -1e6, x], [overlay, x, 1e6]]) {
    context.save();
    context.beginPath();
    context.rect(from, -1, to - from, project.height + 2);
    context.clip();
    each.draw(context, opacity, unit);
    context.restore();
  }
}

const drawSoon = oncePerFrame(draw);

function redraw() {
  whole = true;
  drawSoon();
}

/** Takes the picture and the mask of the current frame, if they are here. */
function refresh() {
  const { project, frame } = store.now;
  if (!project) return;
  const bitmap = frames.peek(frame);
  if (bitmap && (bitmap !== shown?.bitmap || frame !== shown.index)) {
    redraw();
    shown = { index: frame, bitmap };
    frames.onScreen = bitmap;
    canvas().dataset.shown = frame;
  }
  // A mask over another frame's picture would be a lie: it waits for its own.
  const map = shown?.index === frame ? masks.peek(frame) : (overlay.map ?? null);
  if (map !== overlay.map) {
    overlay.show(map);
    redraw();
  }
  if (!views.drawsMasks() || store.now.onion) redraw(); // what else is seen may have come
  views.want();
  mapChanged();
}

function fit() {
  const { project } = store.now;
  if (!project) return;
  const { width, height } = size();
  const scale = Math.min((width - 2 * MARGIN_PX) / project.width, (height - 2 * MARGIN_PX) / project.height);
  view.scale = clamp(scale, 0.01, MOST);
  view.x = (width - project.width * view.scale) / 2;
  view.y = (height - project.height * view.scale) / 2;
  view.fitted = true;
  moved();
}

function keepInSight() {
  const { project } = store.now;
  const { width, height } = size();
  view.x = clamp(view.x, 40 - project.width * view.scale, width - 40);
  view.y = clamp(view.y, 40 - project.height * view.scale, height - 40);
}

function moved() {
  $("zoom-fit").textContent = `${Math.round(view.scale * ratio() * 100)} %`;
  if (frames.fitTo(store.now.project.width * view.scale * ratio())) viewer.sharpened();
  redraw();
}

function resized() {
  for (const each of [canvas(), $("gestures")]) {
    each.width = Math.round(each.clientWidth * ratio());
    each.height = Math.round(each.clientHeight * ratio());
  }
  if (store.now.project) {
    if (view.fitted) fit();
    else keepInSight();
  }
  whole = true;
  draw(); // at once: a resized canvas is empty
}

export const viewer = {
  view,
  overlay,
  redraw,
  /** Draws a rectangle of the frame {x0, y0, x1, y1} anew, whose masks changed. */
  redrawPart(area) {
    part = union(part, area);
    if (!views.drawsMasks()) whole = true;
    drawSoon();
  },
  refresh,
  fit,
  ratio,
  wipe: 0.5, // where before and after meet, as a share of the stage's width
  /** Shows a map left of the wipe, none for null; undefined ends the comparison. */
  showBefore(map) {
    if (map === undefined && !comparing) return;
    comparing = map !== undefined;
    before.show(map ?? null);
    redraw();
  },
  /** Called when another size of picture is wanted; set by whoever decides what is loaded. */
  sharpened: () => {},

  /** `drawn` is called after every drawing, `changed` when another mask may be shown. */
  start(drawn, changed) {
    afterDraw = drawn;
    mapChanged = changed;
    new ResizeObserver(resized).observe($("stage"));
    onThemeChange(redraw);
    store.watch(["opacity", "masksShown", "onion", "view", "hidden"], redraw);
    store.watch(["view", "hidden"], refresh);
    store.watch(["project", "hidden"], recolour);
    $("zoom-fit").addEventListener("click", fit);
    $("zoom-in").addEventListener("click", () => viewer.zoom(1.25));
    $("zoom-out").addEventListener("click", () => viewer.zoom(0.8));
  },

  open() {
    shown = null;
    overlay.show(null);
    resized();
    fit();
    refresh();
  },

  /** Zooms about a point of the screen (CSS pixels from the stage's corner), or about the middle. */
  zoom(factor, at = { x: size().width / 2, y: size().height / 2 }) {
    const scale = clamp(view.scale * factor, 0.02, MOST);
    view.x = at.x - ((at.x - view.x) * scale) / view.scale;
    view.y = at.y - ((at.y - view.y) * scale) / view.scale;
    view.scale = scale;
    view.fitted = false;
    keepInSight();
    moved();
  },

  pan(dx, dy) {
    view.x += dx;
    view.y += dy;
    view.fitted = false;
    keepInSight();
    moved();
  },

  /** Where a pointer event lies in the frame, in pixels of the frame. */
  toFrame(event) {
    const corner = $("stage").getBoundingClientRect();
    const [x, y] = [event.clientX - corner.left, event.clientY - corner.top];
    return { x: (x - view.x) / view.scale, y: (y - view.y) / view.scale };
  },
};

let colours = "";
function recolour({ project, hidden }) {
  if (!project) return;
  const pairs = project.objects.filter(({ id }) => !hidden.has(id)).map(({ id, colour }) => [id, colour]);
  const now = JSON.stringify(pairs);
  if (now === colours) return;
  colours = now;
  overlay.colour(pairs);
  before.colour(pairs);
  if (overlay.map) redraw();
}
