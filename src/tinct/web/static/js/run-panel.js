// The run: which method, which direction, how far it is, pause and cancel.
import { api } from "./api.js";
import { $, announce, make } from "./dom.js";
import { complain } from "./notices.js";
import { change, follow, mayChange } from "./project.js";
import { saved } from "./saver.js";
import { store } from "./store.js";
import { within } from "./ranges.js";

const ACTIVE = ["starting", "running", "paused"];
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
  store.watch(["project", "run", "frame", "mayWrite"], showButton);
  store.watch(["run"], showRun);
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

export async function run(way = direction()) {
  if (!store.now.project || !mayChange()) return;
  document.querySelector(`input[name=direction][value=${way}]`).checked = true;
  await saved();
  const request = { start: startOf(way), direction: way, method: $("method").value, preset: $("preset").value };
  request.fine_tune = $("fine-tune").value || null;
  follow();
  store.set({ run: { status: "starting", stage: "Starting", direction: way, done: 0, total: 0 } });
  const answer = await change((p) => api.run(p, request));
  if (!answer) store.set({ run: store.now.project.run ?? null });
}

async function steer(what) {
  try {
    await api[what](store.now.project.id);
    if (what === "resume") follow();
  } catch (error) {
    complain(error);
  }
}

function showButton({ project, run: now, mayWrite }) {
  if (!project) return;
  const busy = active();
  const way = busy ? now.direction : direction();
  const button = $("run");
  button.textContent = busy ? "Running" : `Run ${DIRECTIONS[way]} from frame ${startOf(way)}`;
  button.title = "Run (R forward, Shift+R backward)";
  button.disabled = busy || !mayWrite;
  for (const field of document.querySelectorAll(".run select, .run .segments input")) {
    field.disabled = busy || !mayWrite;
  }
  if (!chosen()?.fine_tunes) $("fine-tune").disabled = true;
  $("pause").disabled = !mayWrite || !(busy || RESTING.includes(now?.status));
  $("cancel").disabled = !mayWrite || !busy;
}

const STAGES = {
  load: "Loading the method",
  prepare: "Preparing",
  "fine-tune": "Learning the objects",
  segment: "Computing masks",
};
const WORDS = { done: "Done", cancelled: "Cancelled", paused: "Paused", failed: "Failed", starting: "Starting" };

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

function showRun({ run: now }) {
  const box = $("run-progress");
  box.dataset.idle = String(!now || now.status === "done");
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
