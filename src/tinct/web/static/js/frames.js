// The pictures of the frames, at about the size in which they are looked at.
import { api } from "./api.js";
import { Loader } from "./loader.js";
import { store } from "./store.js";

const WIDTHS = [480, 960, 1440, 1920];
const LIMIT_BYTES = 320e6;

let width = null; // null: the frame's own
let arrived = () => {};
let failed = () => {};

const keyOf = (index) => `${index}@${width ?? "full"}`;

const loader = new Loader({
  load: async (key, signal) => {
    const [index, size] = key.split("@");
    const blob = await api.frame(store.now.project.id, index, size === "full" ? null : size, signal);
    return createImageBitmap(blob);
  },
  size: (bitmap) => bitmap.width * bitmap.height * 4,
  limit: LIMIT_BYTES,
  atOnce: 3,
  arrived: (key) => arrived(Number(key.split("@")[0])),
  failed: (error) => failed(error),
  discard: (bitmap) => bitmap !== frames.onScreen && bitmap.close(),
});

export const frames = {
  onScreen: null, // the picture that is drawn: never closed

  start(handlers) {
    ({ arrived, failed } = handlers);
  },
  clear: () => loader.clear(),
  ready: (index) => loader.has(keyOf(index)),
  /** The picture of a frame, or undefined while it is not here. It may be closed later: draw it at once. */
  peek: (index) => loader.peek(keyOf(index)),
  want: (indices) => loader.want(indices.map(keyOf)),

  /** Chooses the size to ask for: enough for `pixels` across the screen. @returns whether it changed */
  fitTo(pixels) {
    const own = store.now.project?.width ?? 0;
    const enough = WIDTHS.find((step) => step >= pixels && step < own) ?? null;
    const changed = enough !== width;
    width = enough;
    return changed;
  },
};
