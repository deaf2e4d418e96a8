// The timeline: what is painted, computed and out of date; how sure the method is; where a correction helps most.
import { $, clamp, icon, oncePerFrame } from "./dom.js";
import { stepTo } from "./playback.js";
import { within } from "./ranges.js";
import { objectOf, store } from "./store.js";
import { onThemeChange, token } from "./theme.js";

const RULER = 18;
const TRACK = 14;
const GAP = 4;
const WIDEST_BAR = 14;
const EDGE = 8; // so that the marks of the first and last frame are whole

const canvas = () => $("timeline-canvas");
const zoom = () => Number(token("--zoom")); // lengths here are the page's before it
const count = () => store.now.project.frames;
const widthPx = () => canvas().clientWidth - 2 * EDGE;
const left = (index) => EDGE + (index / count()) * widthPx();
const middle = (index) => left(index + 0.5);
const indexAt = (x) => clamp(Math.floor(((x - EDGE) / widthPx()) * count()), 0, count() - 1);

export function startTimeline() {
  new ResizeObserver(() => {
    const ratio = (window.devicePixelRatio || 1) * zoom();
    canvas().width = Math.round(canvas().clientWidth * ratio);
    canvas().height = Math.round(canvas().clientHeight * ratio);
    draw();
  }).observe($("timeline"));
  onThemeChange(redraw);
  store.watch(["project", "frame", "run", "stretch"], () => (redraw(), describe()));
  store.watch(["project", "run"], showSuggested);
  startScrubbing();
  $("suggested").addEventListener("click", goToSuggested);
}

export function goToSuggested() {
  if (suggested() !== null) stepTo(suggested());
}

/** The next painted frame in a direction (1 or -1), if there is one. */
export function goToPainted(direction) {
  const { project, frame } = store.now;
  const further = project.prompts.filter((index) => (index - frame) * direction > 0);
  if (further.length) stepTo(direction > 0 ? Math.min(...further) : Math.max(...further));
}

const redraw = oncePerFrame(draw);

function draw() {
  const { project, frame } = store.now;
  const context = canvas().getContext("2d");
  const ratio = (window.devicePixelRatio || 1) * zoom();
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const [width, height] = [canvas().clientWidth, canvas().clientHeight];
  context.clearRect(0, 0, width, height);
  if (!project || width <= 2 * EDGE) return;
  drawRuler(context);
  drawTrack(context, project);
  drawConfidence(context, project, height);
  drawPlayhead(context, frame, height);
}

function drawRuler(context) {
  const perLabel = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 20000, 50000];
  const step = perLabel.find((each) => (each / count()) * widthPx() >= 56) ?? 100000;
  context.font = `10.5px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "top";
  for (let index = 0; index < count(); index += step) {
    context.fillStyle = token("--line");
    context.fillRect(Math.round(middle(index)), 0, 1, RULER - 3);
    context.fillStyle = token("--quiet");
    context.fillText(String(index), Math.round(middle(index)) + 4, 2);
  }
}

function drawTrack(context, project) {
  const span = ([first, last], fill) => {
    context.fillStyle = fill;
    context.fillRect(left(first), RULER, Math.max(1, left(last + 1) - left(first)), TRACK);
  };
  span([0, project.frames - 1], token("--track"));
  for (const range of project.done) span(range, token("--done"));
  const hatched = hatching(context);
  for (const range of project.stale) span(range, hatched);
  context.strokeStyle = token("--accent");
  context.lineWidth = 1.5;
  for (const [first, last] of project.locks) {
    context.strokeRect(left(first) + 0.75, RULER + 0.75, Math.max(2, left(last + 1) - left(first) - 1.5), TRACK - 1.5);
  }
  drawStretch(context);
  for (const index of project.prompts) diamond(context, middle(index), RULER + TRACK / 2, 5.5, token("--accent"));
}

// What lies outside in and out is dimmed.
function drawStretch(context) {
  const { stretch } = store.now;
  if (!stretch) return;
  const edges = [left(stretch[0]), left(stretch[1] + 1)];
  context.fillStyle = token("--surface");
  context.globalAlpha = 0.6;
  context.fillRect(EDGE, RULER, edges[0] - EDGE, TRACK);
  context.fillRect(edges[1], RULER, EDGE + widthPx() - edges[1], TRACK);
  context.globalAlpha = 1;
  context.fillStyle = token("--text");
  for (const [x, way] of [[edges[0], 1], [edges[1], -1]]) {
    context.fillRect(x - 1, RULER - 3, 2, TRACK + 6);
    context.fillRect(way > 0 ? x : x - 5, RULER - 3, 5, 2);
    context.fillRect(way > 0 ? x : x - 5, RULER + TRACK + 1, 5, 2);
  }
}

function hatching(context) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.fillStyle = token("--track");
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = token("--stale");
  pen.lineWidth = 2;
  for (const x of [-6, 0, 6]) {
    pen.moveTo(x, 6);
    pen.lineTo(x + 6, 0);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// One bar per frame; where frames are narrower than a screen pixel, per pixel, and the least sure frame counts.
function drawConfidence(context, project, height) {
  const top = RULER + TRACK + GAP;
  const tall = height - top - 1;
  context.fillStyle = token("--track");
  context.fillRect(EDGE, height - 1, widthPx(), 1);
  const [sure, unsure] = [token("--sure"), token("--unsure")];
  const bars = new Map();
  for (const [index, value] of project.sureness) {
    const column = Math.floor(left(index));
    if (!bars.has(column) || bars.get(column).value > value) bars.set(column, { index, value });
  }
  const wide = widthPx() / count();
  const thick = wide >= 3 ? Math.min(wide - 1, WIDEST_BAR) : Math.max(1, wide);
  for (const [column, { index, value }] of bars) {
    const share = clamp(value, 0, 1);
    const bar = Math.max(2, share * tall);
    context.fillStyle = `color-mix(in oklab, ${unsure}, ${sure} ${Math.round(100 * clamp((share - 0.3) / 0.6, 0, 1))}%)`;
    context.globalAlpha = within(project.stale, index) ? 0.35 : 1;
    context.fillRect(wide >= 1 ? middle(index) - thick / 2 : column, height - 1 - bar, thick, bar);
  }
  context.globalAlpha = 1;
  if (suggested() !== null) drawSuggested(context, suggested(), top, height);
}

function drawSuggested(context, index, top, height) {
  const x = middle(index);
  const half = clamp(widthPx() / count() / 2 + 1.5, 4, WIDEST_BAR / 2 + 3);
  context.strokeStyle = token("--accent");
  context.lineWidth = 1.5;
  context.strokeRect(x - half, top - 1, 2 * half, height - top);
  context.fillStyle = token("--accent");
  context.beginPath();
  context.moveTo(x - 5, top - 4);
  context.lineTo(x + 5, top - 4);
  context.lineTo(x, top + 3);
  context.fill();
}

function drawPlayhead(context, frame, height) {
  const x = Math.round(middle(frame));
  context.fillStyle = token("--text");
  context.fillRect(x - 0.75, 4, 1.5, height - 4);
  context.beginPath();
  context.moveTo(x - 6, 0);
  context.lineTo(x + 6, 0);
  context.lineTo(x + 6, 6);
  context.lineTo(x, 12);
  context.lineTo(x - 6, 6);
  context.fill();
}

function diamond(context, x, y, radius, fill) {
  context.beginPath();
  context.moveTo(x, y - radius);
  context.lineTo(x + radius, y);
  context.lineTo(x, y + radius);
  context.lineTo(x - radius, y);
  context.closePath();
  context.fillStyle = fill;
  context.strokeStyle = token("--surface");
  context.lineWidth = 1.5;
  context.stroke();
  context.fill();
}

/** What is known of a frame, in words: for the tip, the panel and screen readers. */
export function wordsOf(project, index) {
  const words = [];
  if (project.prompts.includes(index)) words.push("painted");
  else if (within(project.stale, index)) words.push("computed before the latest correction");
  else if (within(project.done, index)) words.push("computed");
  else words.push("no mask yet");
  if (within(project.locks, index)) words.push("locked");
  const sure = project.sureness.get(index);
  if (sure !== undefined) words.push(`confidence ${confidenceOf(project, index, sure)}`);
  if (suggested() === index) words.push("worth a correction");
  return words;
}

/** Of each object by name, the least sure first; where only one is known, of the frame. */
function confidenceOf(project, index, sure) {
  const percent = (value) => `${Math.round(value * 100)} %`;
  const known = (project.objectSureness.get(index) ?? []).filter(([id]) => objectOf(id));
  if (known.length < 2) return percent(sure);
  const sorted = [...known].sort((one, other) => one[1] - other[1]);
  return sorted.map(([id, value]) => `${objectOf(id).name} ${percent(value)}`).join(", ");
}

function describe() {
  const { project, frame } = store.now;
  if (!project) return;
  const slider = $("timeline");
  slider.setAttribute("aria-valuemax", project.frames - 1);
  slider.setAttribute("aria-valuenow", frame);
  slider.setAttribute("aria-valuetext", `frame ${frame}, ${wordsOf(project, frame).join(", ")}`);
}

/** The frame to look at next; while a run goes on nobody knows it yet. */
function suggested() {
  const { project, run } = store.now;
  const known = Number.isInteger(project?.suggested) && !["starting", "running"].includes(run?.status);
  return known ? project.suggested : null;
}

function showSuggested() {
  const button = $("suggested");
  const index = suggested();
  button.hidden = index === null;
  if (button.hidden) return;
  button.replaceChildren(icon("diamond"), `Check frame ${index}`);
  button.title = "The frame where a correction would help most (G)";
}

function startScrubbing() {
  const strip = $("timeline");
  const tip = $("timeline-tip");
  const at = (event) => (event.clientX - strip.getBoundingClientRect().left) / zoom();
  let scrubbing = false;
  strip.addEventListener("pointerdown", (event) => {
    if (event.button || !store.now.project) return;
    scrubbing = true;
    strip.setPointerCapture(event.pointerId);
    stepTo(indexAt(at(event)));
  });
  strip.addEventListener("pointermove", (event) => {
    if (!store.now.project) return;
    const index = indexAt(at(event));
    if (scrubbing) stepTo(index);
    tip.hidden = false;
    tip.textContent = `${index} · ${wordsOf(store.now.project, index).join(" · ")}`;
    tip.style.left = `${clamp(at(event), tip.offsetWidth / 2, strip.clientWidth - tip.offsetWidth / 2)}px`;
  });
  for (const end of ["pointerup", "pointercancel"]) strip.addEventListener(end, () => (scrubbing = false));
  strip.addEventListener("pointerleave", () => (tip.hidden = true));
}
