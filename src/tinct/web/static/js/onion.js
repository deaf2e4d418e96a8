// Onion skin: the outlines of the frame before, faint, above this one.
import { $ } from "./dom.js";
import { masks } from "./masks.js";
import { Overlay } from "./overlay.js";
import { store } from "./store.js";

const STRENGTH = 0.45; // of the outlines

const skin = new Overlay();
let colours = "";

export function startOnion() {
  $("onion").addEventListener("change", (event) => store.set({ onion: event.target.checked }));
  store.watch(["onion"], ({ onion }) => ($("onion").checked = onion));
}

/** Draws it; `unit` is one screen pixel in the context's unit. */
export function drawOnion(context, unit) {
  const { project, frame, onion, hidden } = store.now;
  const map = onion && frame > 0 ? masks.peek(frame - 1) : null;
  if (!map) return;
  const pairs = project.objects.filter(({ id }) => !hidden.has(id)).map(({ id, colour }) => [id, colour]);
  const now = JSON.stringify(pairs);
  if (now !== colours) skin.colour(pairs);
  colours = now;
  if (skin.map !== map) skin.show(map);
  skin.draw(context, 0, unit, STRENGTH);
}
