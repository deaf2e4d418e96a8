// How the frame is shown: masks over it, or what an export will hold, with its soft edges.
import { api } from "./api.js";
import { $ } from "./dom.js";
import { Loader } from "./loader.js";
import { store } from "./store.js";

// [value, title, ground]; a ground makes it a view of the finished alpha.
const VIEWS = [
  ["overlay", "Overlay", null],
  ["outline", "Outline", null],
  ["alpha", "Alpha", "black"],
  ["black", "On black", "black"],
  ["white", "On white", "white"],
  ["checker", "On checker", "checker"],
];
const GROUNDS = new Map(VIEWS.map(([name, , ground]) => [name, ground]));
const LIMIT_BYTES = 120e6;
const SQUARE_PX = 12; // of the screen
const AHEAD = 4; // frames loaded ahead while playing

let epoch = 0; // grows when any alpha may have changed
let of; // the id of the project whose alphas are here
let last = null; // {index, bitmap}: shown while a newer alpha is on its way
let arrived = () => {};
let failed = () => {};
const cut = document.createElement("canvas");

const shownIds = () => store.now.project.objects.map(({ id }) => id).filter((id) => !store.now.hidden.has(id));
const keyOf = (index) => `${index}@${epoch}@${shownIds().join(",")}`;

const loader = new Loader({
  load: async (key, signal) => {
    const [index, , ids] = key.split("@");
    const { id } = store.now.project;
    return createImageBitmap(await api.alpha(id, index, ids, signal));
  },
  size: ({ width, height }) => width * height * 4,
  limit: LIMIT_BYTES,
  atOnce: 1, // a matte is work for the server
  arrived: (key) => {
    const [index] = key.split("@");
    last = { index: Number(index), bitmap: loader.peek(key) };
    arrived(Number(index));
  },
  failed: (error) => failed(error),
  discard: (bitmap) => bitmap !== last?.bitmap && bitmap.close(),
});

function groundOf(context, name) {
  if (name !== "checker") return name;
  const tile = new OffscreenCanvas(2 * SQUARE_PX, 2 * SQUARE_PX);
  const paint = tile.getContext("2d");
  paint.fillStyle = "#9a9a9a";
  paint.fillRect(0, 0, 2 * SQUARE_PX, 2 * SQUARE_PX);
  paint.fillStyle = "#666";
  paint.fillRect(0, 0, SQUARE_PX, SQUARE_PX);
  paint.fillRect(SQUARE_PX, SQUARE_PX, SQUARE_PX, SQUARE_PX);
  const pattern = context.createPattern(tile, "repeat");
  pattern.setTransform(context.getTransform().inverse()); // squares of the screen, whatever the zoom
  return pattern;
}

export const views = {
  start(handlers) {
    ({ arrived, failed } = handlers);
    const choice = $("view");
    for (const [name, title] of VIEWS) choice.append(new Option(title, name));
    choice.addEventListener("change", () => store.set({ view: choice.value, masksShown: true }));
    store.watch(["view"], ({ view }) => (choice.value = view));
    store.watch(["project"], ({ project }) => {
      epoch += 1;
      if (project?.id !== of) views.clear();
      of = project?.id;
    });
  },

  /** Goes to the next view, or back to the first. */
  next() {
    const names = VIEWS.map(([name]) => name);
    store.set({ view: names[(names.indexOf(store.now.view) + 1) % names.length], masksShown: true });
  },

  clear() {
    last = null;
    loader.clear();
  },

  /** Whether the masks are drawn over the frame, which the alpha views do not. */
  drawsMasks: () => GROUNDS.get(store.now.view) === null,

  /** Asks for what the current view needs. */
  want() {
    const { project, frame, playing } = store.now;
    if (!project || views.drawsMasks()) return loader.want([]);
    const ahead = playing ? AHEAD : 0;
    const indices = Array.from({ length: ahead + 1 }, (_, step) => frame + step);
    return loader.want(indices.filter((index) => index < project.frames).map(keyOf));
  },

  /** Draws a frame's bitmap as the alpha view shows it; the context's unit is a pixel of the frame. */
  draw(context, { index, bitmap }) {
    const { project, view } = store.now;
    const alpha = loader.peek(keyOf(index)) ?? (last?.index === index ? last.bitmap : null);
    if (!alpha) return context.drawImage(bitmap, 0, 0, project.width, project.height);
    context.fillStyle = groundOf(context, GROUNDS.get(view));
    context.fillRect(0, 0, project.width, project.height);
    return context.drawImage(view === "alpha" ? alpha : cutOut(bitmap, alpha), 0, 0, project.width, project.height);
  },
};

function cutOut(bitmap, alpha) {
  cut.width = bitmap.width;
  cut.height = bitmap.height;
  const context = cut.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  context.globalCompositeOperation = "destination-in";
  context.drawImage(alpha, 0, 0, cut.width, cut.height);
  return cut;
}
