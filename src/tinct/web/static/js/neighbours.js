// The frame before: its outlines above this one (onion skin), and its masks copied onto this one.
import { $, announce } from "./dom.js";
import { fillMask } from "./labels.js";
import { masks } from "./masks.js";
import { notify } from "./notices.js";
import { Overlay } from "./overlay.js";
import { paintAtOnce } from "./painting.js";
import { objectOf, store } from "./store.js";

const DASH_PX = 5; // of the screen

const skin = new Overlay();
let colours = "";

export function startNeighbours() {
  $("onion").addEventListener("change", (event) => store.set({ onion: event.target.checked }));
  $("copy-previous").addEventListener("click", copyPrevious);
  store.watch(["onion"], ({ onion }) => ($("onion").checked = onion));
  store.watch(["project", "frame", "mayWrite"], ({ project, frame, mayWrite }) => {
    if (project) $("copy-previous").disabled = frame === 0 || !mayWrite;
  });
}

/** Draws the outlines of the frame before, dashed; `unit` is one screen pixel in the context's unit. */
export function drawOnion(context, unit) {
  const { project, frame, onion, hidden } = store.now;
  const map = onion && frame > 0 ? masks.peek(frame - 1) : null;
  if (!map) return;
  const pairs = project.objects.filter(({ id }) => !hidden.has(id)).map(({ id, colour }) => [id, colour]);
  const now = JSON.stringify(pairs);
  if (now !== colours) skin.colour(pairs);
  colours = now;
  if (skin.map !== map) skin.show(map);
  context.save();
  context.setLineDash([DASH_PX * unit, DASH_PX * unit]);
  skin.draw(context, 0, unit);
  context.restore();
}

/** Takes the chosen object on this frame from the frame before, in place of what it is here. */
export async function copyPrevious() {
  const { project, frame, object } = store.now;
  if (!project || frame === 0 || object === null) return;
  const before = await masks.fetch(frame - 1);
  if (!before) return void notify(`Frame ${frame - 1} has no mask to copy.`, "error");
  const of = (map) => ({ ...map, data: map.data.map((id) => Number(id === object)) });
  await paintAtOnce((map, inkOf) => {
    fillMask(map, of(map), inkOf(true));
    return fillMask(map, of(before), inkOf(false));
  });
  announce(`${objectOf(object)?.name ?? "The mask"} is copied from frame ${frame - 1}.`);
}
