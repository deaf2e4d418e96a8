// What was computed, run by run: keep or reject it, compare it with what was before, go back through any number.
import { api } from "./api.js";
import { openDialog } from "./dialogs.js";
import { $, announce, clamp, make } from "./dom.js";
import { complain } from "./notices.js";
import { decodeLabels } from "./png.js";
import { change } from "./project.js";
import { store } from "./store.js";
import { viewer } from "./viewer.js";

const ACTIVE = ["queued", "starting", "running", "paused"];
const DIRECTIONS = { forward: "forward", backward: "back", both: "both ways" };

/** The latest run that is over and was neither kept nor rejected; undefined if there is none. */
function undecided() {
  const { project, run } = store.now;
  const latest = project?.history.at(-1);
  return latest && !latest.verdict && latest.frames.length && !ACTIVE.includes(run?.status) ? latest : undefined;
}

export function startRuns() {
  $("compare").addEventListener("click", toggleCompare);
  $("keep").addEventListener("click", () => judge(undecided()?.run, "kept"));
  $("reject").addEventListener("click", () => judge(undecided()?.run, "rejected"));
  $("history").addEventListener("click", showHistory);
  store.watch(["project", "run", "mayWrite", "connected"], showVerdict);
  store.watch(["compare", "frame", "project"], compare);
  startWipe();
}

function showVerdict({ project, mayWrite, connected }) {
  if (!project) return;
  $("verdict").hidden = !undecided() || !connected;
  for (const id of ["keep", "reject"]) $(id).disabled = !mayWrite;
  $("history").disabled = project.history.length === 0;
  if (store.now.compare !== null && !undecided()) store.set({ compare: null });
}

const SAID = { kept: "is kept", rejected: "is rejected: everything is as it was before it" };

async function judge(run, verdict, later = false) {
  if (run === undefined) return;
  store.set({ compare: null });
  const answer = await change((p) => api.judge(p, run, verdict, later), true);
  if (answer) announce(`Run ${run} ${SAID[verdict] ?? "is restored"}.`);
}

// The history

export function showHistory() {
  const list = make("ol", { className: "runs" });
  const text = "A rejected run is not lost: Restore shows its masks again. So does Undo (Ctrl+Z).";
  const fill = () => list.replaceChildren(...store.now.project.history.map((each) => rowOf(each, fill)).reverse());
  fill();
  openDialog("Runs", [list, make("p", { className: "quiet" }, text)]);
}

function rowOf({ run, method, direction, start, frames, verdict }, fill) {
  const count = frames.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const about = `${method}, ${DIRECTIONS[direction]} from ${start}, ${count} frames`;
  const button = (label, ...asked) => {
    const made = make("button", { type: "button", disabled: !store.now.mayWrite }, label);
    made.addEventListener("click", () => judge(run, ...asked).then(fill));
    return made;
  };
  const last = run === store.now.project.history.at(-1).run;
  const buttons = verdict === "rejected" ? [button("Restore", null)] : [button("Reject", "rejected")];
  if (verdict !== "rejected" && !last) buttons.push(button("With all later", "rejected", true));
  const title = make("strong", {}, `Run ${run}`);
  const words = make("span", { className: "quiet" }, about + (verdict ? `, ${verdict}` : ""));
  return make("li", { "data-verdict": verdict ?? "" }, make("div", {}, title, words), ...buttons);
}

// Before and after

export function toggleCompare() {
  const run = undecided();
  store.set({ compare: store.now.compare === null && run ? run.run : null });
}

let asked = 0;

/** Fetches what the frame showed before the run. */
async function compare({ project, frame, compare: run }) {
  $("wipe").hidden = run === null;
  $("compare").setAttribute("aria-pressed", String(run !== null));
  asked += 1;
  if (!project || run === null) return viewer.showBefore(undefined);
  const mine = asked;
  try {
    const png = await api.mask(project.id, frame, project.revision, undefined, run);
    const map = png && (await decodeLabels(png));
    if (mine === asked) viewer.showBefore(map);
  } catch (error) {
    complain(error);
  }
  return undefined;
}

function startWipe() {
  const handle = $("wipe");
  const move = (share) => {
    viewer.wipe = clamp(share, 0.02, 0.98);
    handle.style.left = `${100 * viewer.wipe}%`;
    handle.setAttribute("aria-valuenow", Math.round(100 * viewer.wipe));
    viewer.redraw();
  };
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    const stage = $("stage").getBoundingClientRect();
    if (handle.hasPointerCapture(event.pointerId)) move((event.clientX - stage.left) / stage.width);
  });
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    move(viewer.wipe + step);
  });
  move(0.5);
}

// Locks and the stretch of runs

export async function toggleLock() {
  const { project, frame } = store.now;
  if (!project) return;
  const locked = !project.locks.some(([first, last]) => first <= frame && frame <= last);
  const answer = await change((p) => api.lock(p, frame, frame, locked), true);
  if (answer) announce(locked ? `Frame ${frame} is locked.` : `Frame ${frame} is unlocked.`);
}

/** Puts the in (0) or the out (1) of runs at this frame; once more takes both away. */
export function setStretch(side) {
  const { project, frame, stretch } = store.now;
  if (!project) return;
  if (stretch?.[side] === frame) return store.set({ stretch: null });
  const wanted = stretch ? [...stretch] : [0, project.frames - 1];
  wanted[side] = frame;
  if (wanted[0] > wanted[1]) wanted[1 - side] = frame;
  return store.set({ stretch: wanted });
}
