// The run: which method, which direction, how far it is, pause and cancel.
import { api } from "./api.js";
import { $, announce, make } from "./dom.js";
import { complain } from "./notices.js";
import { change, follow, mayChange } from "./project.js";
import { saved } from "./saver.js";
import { store } from "./store.js";
import { within } from "./ranges.js";

const ACTIVE = ["queued", "starting", "running", "paused"];
const RESTING = ["paused", "cancelled", "failed"]; // it can go on where it stopped
const DIRECTIONS = { forward: "forward", backward: "back", both: "both ways" };
const LEARNING = [
  { name: "", title: "as the preset says" },
  { name: "auto", title: "what fits this machine" },
  { name: "20s", title: "20 s per object" },
  { name: "60s", title: "60 s per object" },
  { name: "none", title: "not at all" },
];
let methods = [];
let settled = null; // the project whose settings the fields show

const titleOf = (method) => (method.title ?? method.method).split(":")[0]; // the name, without the paper
const option = (value, text = value) => make("option", { value }, text);
const active = () => ACTIVE.includes(store.now.run?.status);
const chosen = () => methods.find((each) => each.method === $("method").value);
const direction = () => document.querySelector("input[name=direction]:checked").value;

export async function startRunPanel() {
  $("run").addEventListener("click", () => run());
  $("pause").addEventListener("click", () => steer(RESTING.includes(store.now.run?.status) ? "resume" : "pause"));
  $("cancel").addEventListener("click", () => steer("cancel"));
  $("method").addEventListener("change", showMethod);
  $("direction").addEventListener("change", showButton);
  $("extent").addEventListener("change", showButton);
  $("extent-count").addEventListener("input", showButton);
  store.watch(["project", "run", "frame", "mayWrite", "connected", "stretch"], showButton);
  store.watch(["run", "connected"], showRun);
  store.watch(["stretch"], ({ stretch }) => stretch && ($("extent").value = "inout"));
  store.watch(["project"], showSettings);
  showRun(store.now);
  methods = await api.methods();
  $("method").replaceChildren(...methods.map((each) => option(each.method, titleOf(each))));
  showMethod();
}

function showMethod() {
  const method = chosen();
  if (!method) return;
  $("preset").replaceChildren(...method.presets.map((each) => option(each)));
  $("fine-tune").replaceChildren(...LEARNING.map(({ name, title }) => option(name, title)));
  $("fine-tune").disabled = !method.fine_tunes;
  $("fine-tune").title = method.fine_tunes ? "How long it learns what the painted objects look like" : "";
  if (!method.fine_tunes) $("fine-tune").replaceChildren(option("", "not needed"));
}

function showSettings({ project }) {
  if (!project || settled === project.id || !methods.length) return;
  settled = project.id;
  const { method, preset, fine_tune } = project.settings ?? {};
  if (method) $("method").value = method;
  showMethod();
  if (preset) $("preset").value = preset;
  if (fine_tune && chosen()?.fine_tunes) $("fine-tune").value = fine_tune;
}

/** Where a run begins: here, if anything is known here; else at the nearest painted frame that leads here. */
function startOf(way) {
  const { project, frame } = store.now;
  const known = project.prompts.includes(frame) || within(project.done, frame) || within(project.stale, frame);
  if (known || !project.prompts.length) return frame;
  const leading = project.prompts.filter((index) => (way === "backward" ? index > frame : index < frame));
  if (!leading.length) return project.prompts[0];
  return way === "backward" ? Math.min(...leading) : Math.max(...leading);
}

/** {first, last} of the frames that may be computed. */
function extentOf(way) {
  const { project, frame, stretch } = store.now;
  const last = project.frames - 1;
  const count = Math.max(1, Math.round(Number($("extent-count").value) || 1));
  const kind = $("extent").value;
  if (kind === "one") return { first: frame, last: frame };
  if (kind === "inout" && stretch) return { first: stretch[0], last: stretch[1] };
  if (kind !== "count") return { first: 0, last };
  const start = startOf(way);
  const from = way === "forward" ? start : start - count + 1;
  const to = way === "backward" ? start : start + count - 1;
  return { first: Math.max(0, from), last: Math.min(last, to) };
}

export async function run(way = direction()) {
  if (!store.now.project || !mayChange()) return;
  if (store.now.run?.status === "paused") return void steer("resume");
  document.querySelector(`input[name=direction][value=${way}]`).checked = true;
  await saved();
  const request = { start: startOf(way), direction: way, method: $("method").value, preset: $("preset").value };
  Object.assign(request, extentOf(way), { start: $("extent").value === "one" ? store.now.frame : request.start });
  request.fine_tune = $("fine-tune").value || null;
  follow();
  store.set({ run: { status: "starting", stage: "Starting", direction: way, done: 0, total: 0 } });
  const answer = await change((p) => api.run(p, request));
  if (!answer) store.set({ run: store.now.project.run ?? null });
}

async function steer(what) {
  try {
    await saved();
    await api[what](store.now.project.id);
    if (what === "resume") follow();
  } catch (error) {
    complain(error);
  }
}

function buttonText(now) {
  if (now?.status === "queued") return "In the queue";
  if (now?.status === "paused") return now.goes_on_from === null ? "Go on" : `Go on from frame ${now.goes_on_from}`;
  if (active()) return "Running";
  const way = direction();
  if ($("extent").value === "one") return `Run frame ${store.now.frame} only`;
  const { first, last } = extentOf(way);
  const start = Math.min(Math.max(startOf(way), first), last);
  if ($("extent").value === "all") return `Run ${DIRECTIONS[way]} from frame ${start}`;
  const [from, to] = { forward: [start, last], backward: [start, first], both: [first, last] }[way];
  return `Run frames ${from} to ${to}`;
}

function showButton({ project, run: now, mayWrite: allowed, connected }) {
  if (!project) return;
  const busy = active();
  const mayWrite = allowed && connected;
  const button = $("run");
  button.textContent = buttonText(now);
  button.title = "Run (R forward, Shift+R backward)";
  button.disabled = (busy && now.status !== "paused") || !mayWrite;
  $("extent-count").hidden = $("extent").value !== "count";
  $("extent").querySelector("[value=inout]").disabled = !store.now.stretch;
  if (!store.now.stretch && $("extent").value === "inout") $("extent").value = "all";
  for (const field of document.querySelectorAll(".run select, .run .segments input, #extent-count")) {
    field.disabled = busy || !mayWrite;
  }
  if (!chosen()?.fine_tunes) $("fine-tune").disabled = true;
  $("pause").disabled = !mayWrite || !(busy || RESTING.includes(now?.status)) || now?.status === "queued";
  $("cancel").disabled = !mayWrite || !busy;
}

const STAGES = {
  load: "Loading the method",
  prepare: "Preparing",
  "fine-tune": "Learning the objects",
  segment: "Computing masks",
};
const GONE = { status: "gone", message: "The server does not answer. What was saved is safe." };
const WORDS = { gone: "The server is gone", queued: "Waits for the video before it", done: "Done", cancelled: "Cancelled", paused: "Paused", failed: "Failed", starting: "Starting" };

function wordsOf(run) {
  if (!run) return "";
  if (run.status === "running" || !(run.status in WORDS)) return STAGES[run.stage] ?? (run.stage || "Computing");
  return run.status === "starting" && run.stage ? (STAGES[run.stage] ?? run.stage) : WORDS[run.status];
}

/** [done, total] of what is under way: of a stage such as learning while it lasts, else of the frames. */
function progressOf(run) {
  return run?.stage_total ? [run.stage_done, run.stage_total] : [run?.done ?? 0, run?.total ?? 0];
}

let announced = ""; // what screen readers heard last

function showRun({ run: known, connected }) {
  const now = connected ? known : GONE;
  const box = $("run-progress");
  box.dataset.idle = String(!now || ["done", "gone"].includes(now.status));
  box.dataset.status = now?.status ?? "";
  const words = wordsOf(now);
  $("run-stage").textContent = words;
  $("run-stage").title = now?.message || words;
  const [done, total] = progressOf(now);
  $("run-count").textContent = total ? `${done} / ${total}` : "";
  $("run-rate").textContent = ACTIVE.includes(now?.status) && now.fps ? rate(now.fps) : "";
  const counts = now?.status === "running" && Number.isFinite(now.seconds_left);
  $("run-left").textContent = counts ? `${lasting(now.seconds_left)} left` : "";
  const bar = $("run-bar");
  if (total) bar.value = done / total;
  else bar.removeAttribute("value");
  $("pause").textContent = RESTING.includes(now?.status) ? "Go on" : "Pause";
  if (now) announceChange(now, words);
}

function announceChange(now, words) {
  const tenth = now.total ? Math.floor((10 * now.done) / now.total) * 10 : 0;
  const text = now.status === "running" ? `${words}, ${tenth} percent` : words;
  if (text !== announced) announce(text);
  announced = text;
}

function rate(fps) {
  if (fps < 0.95) return `${(1 / fps).toFixed(1)} s per frame`;
  return `${fps.toFixed(fps < 10 ? 1 : 0)} frames/s`;
}

function lasting(seconds) {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
