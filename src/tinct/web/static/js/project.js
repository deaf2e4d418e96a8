// The open project: its document, its events, and what changes it as a whole.
import { api, listen } from "./api.js";
import { announce } from "./dom.js";
import { frames } from "./frames.js";
import { masks } from "./masks.js";
import { complain, notify } from "./notices.js";
import { joined, within, without } from "./ranges.js";
import { saveAgain, saved } from "./saver.js";
import { objectOf, store } from "./store.js";
import { tab } from "./tab.js";

const RECENT_MS = 3000;

let stopListening = () => {};
const recent = new Map(); // frame -> {confidence, at}: finished lately
let following = false; // the playhead goes with the run until the user moves it, through reloads, too

const FOLLOWED = "tinct-followed"; // the project whose run this tab follows

function setFollowing(value) {
  following = value;
  try {
    if (value) sessionStorage.setItem(FOLLOWED, store.now.project.id);
    else sessionStorage.removeItem(FOLLOWED);
  } catch {
    // A browser that keeps nothing follows no more after a reload.
  }
}

function followed(id) {
  try {
    return sessionStorage.getItem(FOLLOWED) === id;
  } catch {
    return false;
  }
}

/** Takes a document of the server as the newest; older ones that were overtaken are dropped. */
export function adopt(newest) {
  const { project, object } = store.now;
  if (!newest?.id || newest.id !== project?.id || newest.revision < project.revision) return;
  prepare(newest);
  const known = newest.objects.some(({ id }) => id === object);
  store.set({
    project: newest,
    run: newest.run,
    object: known ? object : (newest.objects.at(-1)?.id ?? null),
    mayWrite: !newest.writer || newest.writer === tab.id,
  });
}

// A document may have been written before the latest frames were finished, and come after their events.
function prepare(newest) {
  newest.sureness = new Map(newest.confidence);
  newest.objectSureness = new Map(newest.confidence.map(([index, , ...rest]) => [index, pairsOf(rest)]));
  for (const [index, { confidence, objects, at }] of recent) {
    if (performance.now() - at > RECENT_MS) {
      recent.delete(index);
    } else if (!within(newest.done, index)) {
      newest.done = joined(newest.done, index);
      newest.sureness.set(index, confidence);
      newest.objectSureness.set(index, objects);
    }
  }
}

/** [[id, confidence]...] of a flat list. */
const pairsOf = (flat) => flat.flatMap((id, at) => (at % 2 ? [] : [[id, flat[at + 1]]]));

/** Fetches the document; `masksToo` when masks may have changed that this page did not paint. */
export async function renew(masksToo = false) {
  const { id } = store.now.project;
  const newest = await api.project(id);
  if (store.now.project?.id !== id) return; // another video was opened meanwhile
  if (masksToo || newest.revision > store.now.project.revision) masks.allChanged();
  adopt(newest);
}

/** Runs a change of the project; true if it succeeded. Its answer is the new document, or else that is fetched. */
export async function change(ask, masksToo = false) {
  if (!mayChange()) return false;
  try {
    await saved();
    const answer = await ask(store.now.project.id);
    if (masksToo) masks.allChanged();
    if (answer?.revision === undefined) await renew(masksToo);
    else adopt(answer);
    return answer ?? true;
  } catch (error) {
    if (error.status === 409) await renew().catch(() => {});
    complain(error);
    return false;
  }
}

/** Whether this tab is the one that writes; says so if not. */
export function mayChange() {
  if (store.now.mayWrite) return true;
  const text = "This tab only watches, since the video is open in another one. Choose “Work here” to go on in this tab.";
  notify(text, "error");
  return false;
}

export async function openProject(id, frame) {
  closeProject();
  const newest = await api.project(id);
  prepare(newest);
  following = followed(id) && ["queued", "starting", "running"].includes(newest.run?.status);
  store.set({ hidden: new Set(), project: newest, run: newest.run, frame: Math.min(frame, newest.frames - 1) });
  store.set({ object: newest.objects[0]?.id ?? null, connected: true });
  explainRun(newest.run);
  for (const remark of newest.remarks) notify(remark[0].toUpperCase() + remark.slice(1) + ".");
  stopListening = listen(id, handlers());
  await acquireWriterLock(false);
}

export function closeProject() {
  stopListening();
  stopListening = () => {};
  store.set({ playing: false, project: null, run: null, object: null, saving: "saved", mayWrite: true });
  store.set({ stretch: null, compare: null });
  recent.clear();
  frames.clear();
  masks.clear();
}

/** Becomes the writer; a tab that works already keeps the video unless `force`. */
export async function acquireWriterLock(force) {
  try {
    adopt(await api.acquireWriterLock(store.now.project.id, force));
    store.set({ mayWrite: true });
    if (force) await renew(true);
  } catch (error) {
    if (error.status !== 409) throw error;
    store.set({ mayWrite: false });
  }
}

export function follow() {
  setFollowing(true);
}

export function seek(index, byUser = true) {
  const { project, frame } = store.now;
  if (!project) return;
  if (byUser && following) setFollowing(false);
  const wanted = Math.min(Math.max(Math.round(index), 0), project.frames - 1);
  if (wanted !== frame) store.set({ frame: wanted });
}

/** Why a run failed, or rests without having been asked to. */
function explainRun(run) {
  if (!run?.message) return;
  if (run.status === "failed") notify(run.message, "error");
  if (run.status === "paused") notify(run.message);
}

function handlers() {
  let closeNotice = null; // the connection's notice
  return {
    frame: ({ index, confidence, objects }) => {
      const { project } = store.now;
      const pairs = Object.entries(objects).map(([id, value]) => [Number(id), value]);
      masks.changed(index);
      recent.set(index, { confidence, objects: pairs, at: performance.now() });
      project.sureness.set(index, confidence);
      project.objectSureness.set(index, pairs);
      const done = joined(project.done, index);
      store.set({ project: { ...project, done, stale: without(project.stale, index) } });
      if (following) seek(index, false);
    },
    run: (run) => {
      store.set({ run });
      explainRun(run);
      if (run && ["done", "cancelled", "failed", "paused"].includes(run.status)) {
        if (run.status !== "paused") setFollowing(false);
        renew().catch(complain);
      }
    },
    project: () => renewUnlessKnown().catch(complain),
    notice: ({ text }) => {
      notify(text);
      renew(true).catch(complain);
    },
    error: (text) => notify(text, "error"),
    lost: () => {
      store.set({ connected: false });
      const text = "The connection to the server is lost. What was saved is safe; this page goes on when it is back.";
      closeNotice = notify(text, "error", { "Try now": () => renew(true).catch(complain) });
    },
    found: () => {
      closeNotice?.();
      store.set({ connected: true });
      announce("The server is back.");
      acquireWriterLock(false).then(() => renew(true)).then(saveAgain).catch(complain);
    },
  };
}

// A change of this tab comes back as an event: its document is here already, and its masks too.
async function renewUnlessKnown() {
  await saved();
  if (store.now.project) await renew();
}

const step = (name) => async () => {
  const { project } = store.now;
  if (!project || !mayChange()) return;
  const answer = await change(api[name], true);
  if (answer && Number.isInteger(answer.frame)) seek(answer.frame);
  if (answer) announce(name === "undo" ? "Undone." : "Done again.");
};

export const undo = step("undo");
export const redo = step("redo");

// Far apart for most eyes; an object gets the first that no other has.
const COLOURS = ["#ff9f1c", "#35b6e6", "#e0529c", "#7bd389", "#b388ff"];
COLOURS.push("#ffd84d", "#ff6b5e", "#4de0c8", "#8aa4ff", "#d4a373");

export async function addObject() {
  const { project } = store.now;
  const taken = new Set(project.objects.map(({ id }) => id));
  const used = new Set(project.objects.map(({ colour }) => colour.toLowerCase()));
  let id = 1;
  while (taken.has(id)) id += 1;
  const colour = COLOURS.find((each) => !used.has(each)) ?? COLOURS[(id - 1) % COLOURS.length];
  const answer = await change((p) => api.addObject(p, { id, name: `object ${id}`, colour }));
  if (!answer) return null;
  store.set({ object: answer.object });
  announce(`${objectOf(answer.object)?.name} added.`);
  return answer.object;
}
