// The label maps of the frames: what was painted or computed, cached until the server has something newer.
import { api } from "./api.js";
import { Loader } from "./loader.js";
import { decodeLabels } from "./png.js";
import { within } from "./ranges.js";
import { store } from "./store.js";

const LIMIT_BYTES = 160e6;

let epoch = 0; // grows when any mask may have changed
const bumps = new Map(); // frame -> how often this frame's mask has changed since
const held = new Map(); // frame -> how many strokes are not saved yet: what is here is newer than the server's
const missed = new Set(); // frames whose mask changed on the server while they were held
const last = new Map(); // frame -> the map to show while a newer one is on its way
let arrived = () => {};
let failed = () => {};

const keyOf = (index) => `${index}@${epoch}.${bumps.get(index) ?? 0}`;

const loader = new Loader({
  load: async (key, signal) => {
    const [index, version] = key.split("@");
    const { id, revision } = store.now.project;
    const png = await api.mask(id, index, `${revision}.${version}`, signal);
    return { map: png && (await decodeLabels(png)) };
  },
  size: ({ map }) => 64 + (map ? map.data.length : 0),
  limit: LIMIT_BYTES,
  atOnce: 2,
  arrived: (key) => {
    const index = Number(key.split("@")[0]);
    last.delete(index);
    arrived(index);
  },
  failed: (error) => failed(error),
});

function keepForNow(index) {
  const entry = loader.peek(keyOf(index));
  if (entry?.map && index === store.now.frame) last.set(index, entry.map);
}

export const masks = {
  start(handlers) {
    ({ arrived, failed } = handlers);
  },
  clear() {
    loader.clear();
    last.clear();
    bumps.clear();
    held.clear();
    missed.clear();
    epoch += 1;
  },

  /** Whether the server has a mask of this frame. */
  exists(index) {
    const { project } = store.now;
    return (
      held.has(index) || project.prompts.includes(index) || within(project.done, index) || within(project.stale, index)
    );
  },

  /** The newest map of a frame that is here; null where there is none. */
  peek(index) {
    if (!masks.exists(index)) return null;
    return loader.peek(keyOf(index))?.map ?? last.get(index) ?? null;
  },
  ready: (index) => !masks.exists(index) || loader.has(keyOf(index)),
  want: (indices) => loader.want(indices.filter((index) => masks.exists(index)).map(keyOf)),

  /** The newest map of a frame, loaded if need be; null where there is none. It fails where one does not come. */
  async fetch(index) {
    if (!masks.exists(index)) return null;
    const entry = await loader.fetch(keyOf(index));
    if (!entry) throw new Error(`The mask of frame ${index} did not come, so the stroke was dropped. Paint it again.`);
    return entry.map;
  },

  /** What was painted here is the newest until it is saved; then the server has the same. */
  hold(index, map) {
    held.set(index, (held.get(index) ?? 0) + 1);
    loader.put(keyOf(index), { map });
  },
  /** Whether a stroke on this frame is not saved yet. */
  isHeld: (index) => held.has(index),
  release(index) {
    const strokes = (held.get(index) ?? 1) - 1;
    if (strokes) return held.set(index, strokes);
    held.delete(index);
    if (missed.delete(index)) masks.changed(index);
    return undefined;
  },

  /** The server has a newer mask of this frame. */
  changed(index) {
    if (held.has(index)) return void missed.add(index);
    keepForNow(index);
    loader.drop(keyOf(index));
    bumps.set(index, (bumps.get(index) ?? 0) + 1);
  },

  /** The server may have newer masks of all frames. */
  allChanged() {
    const painted = [...held.keys()].map((index) => [index, loader.peek(keyOf(index))]);
    keepForNow(store.now.frame);
    epoch += 1;
    for (const [index, entry] of painted) if (entry) loader.put(keyOf(index), entry);
  },
};
