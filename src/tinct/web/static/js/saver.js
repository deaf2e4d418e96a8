// Sends painted frames to the server, one after the other, and says openly whether they are saved.
import { api } from "./api.js";
import { masks } from "./masks.js";
import { complain } from "./notices.js";
import { encodeLabels } from "./png.js";
import { store } from "./store.js";

const queue = []; // {index, map}: the order of the strokes is the order of undo
const unsaved = new Map(); // frame -> the map whose saving failed
let working = null;
let adopted = () => {};
let closeNotice = () => {};

/** `adopt` is called with the document that the server answers. */
export function startSaver(adopt) {
  adopted = adopt;
  window.addEventListener("beforeunload", (event) => {
    if (store.now.saving !== "saved") event.preventDefault();
  });
}

/** Saves a frame's label map; `map` must not change any more. */
export function save(index, map) {
  masks.hold(index, map);
  queue.push({ index, map, project: store.now.project.id });
  store.set({ saving: "saving" });
  working ??= work().finally(() => {
    working = null;
  });
}

/** Resolved when nothing is on its way. */
export const saved = () => working ?? Promise.resolve();

async function work() {
  while (queue.length) {
    const job = queue.shift();
    try {
      const answer = await api.paint(job.project, job.index, await encodeLabels(job.map));
      unsaved.delete(job.index);
      masks.release(job.index);
      adopted(answer, job);
    } catch (error) {
      const newer = queue.some(({ index }) => index === job.index);
      if (newer) masks.release(job.index);
      else unsaved.set(job.index, job);
      closeNotice();
      closeNotice = complain(error, { "Save again": saveAgain, "Give the strokes up": giveUp });
    }
  }
  if (!unsaved.size) closeNotice();
  store.set({ saving: unsaved.size ? "failed" : "saved" });
}

/** Tries again what could not be saved. */
export function saveAgain() {
  for (const [index, { map }] of [...unsaved]) {
    unsaved.delete(index);
    masks.release(index);
    save(index, map);
  }
}

function giveUp() {
  for (const index of [...unsaved.keys()]) {
    masks.release(index);
    masks.changed(index);
  }
  unsaved.clear();
  store.set({ saving: "saved", project: { ...store.now.project } });
}
