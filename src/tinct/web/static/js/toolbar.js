// The rail of tools and the row of their options.
import { $, clamp, iconButton, make } from "./dom.js";
import { choose } from "./gestures.js";
import { store } from "./store.js";
import { TOOLS, toolNamed } from "./tools/index.js";

const LARGEST_PX = 400;

// The slider runs by ratio: as far from 4 to 8 pixels as from 40 to 80.
const sizeAt = (place) => Math.round(Math.exp((place / 100) * Math.log(LARGEST_PX)));
const placeOf = (diameter) => Math.round((100 * Math.log(diameter)) / Math.log(LARGEST_PX));

export function startToolbar() {
  for (const { name, title, key } of TOOLS) {
    const traits = { className: "tool", id: `tool-${name}`, title: `${title} (${key})`, "aria-pressed": "false" };
    const button = iconButton(name, title, () => choose(name), traits);
    button.append(make("small", { "aria-hidden": "true" }, key));
    $("tools").append(button);
  }
  $("size").addEventListener("input", (event) => store.set({ brush: sizeAt(Number(event.target.value)) }));
  $("opacity").addEventListener("input", (event) => {
    store.set({ opacity: Number(event.target.value) / 100, masksShown: true });
  });
  $("keep-others").addEventListener("change", (event) => store.set({ keepOthers: event.target.checked }));
  store.watch(["tool"], showTool);
  store.watch(["brush"], showSize);
  store.watch(["opacity", "masksShown"], showOpacity);
  for (const show of [showTool, showSize, showOpacity]) show(store.now);
}

/** Makes the brush larger (1) or smaller (-1) by a tenth, at least by a pixel. */
export function resizeBrush(direction) {
  const { brush } = store.now;
  const step = Math.max(1, Math.round(brush * 0.12));
  store.set({ brush: clamp(brush + direction * step, 1, LARGEST_PX) });
}

function showTool({ tool }) {
  const { hint, cursor, sized } = toolNamed(tool);
  for (const { name } of TOOLS) $(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
  $("tool-hint").textContent = hint;
  $("tool-hint").title = hint;
  $("gestures").style.cursor = cursor;
  $("size").disabled = !sized;
}

function showSize({ brush }) {
  $("size").value = placeOf(brush);
  $("size-value").textContent = `${brush} px`;
}

function showOpacity({ opacity, masksShown }) {
  $("opacity").value = Math.round(opacity * 100);
  $("opacity-value").textContent = masksShown ? `${Math.round(opacity * 100)} %` : "hidden";
}
