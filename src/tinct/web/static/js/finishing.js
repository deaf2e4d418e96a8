// Finishing: what is done to the chosen object's masks on their way out, for all frames or some of them.
//
// An object has a list of rules, each for a range of frames; the last one that holds a frame is in force there. The
// panel shows that rule, and changes it. The masks themselves stay as they are.
import { api } from "./api.js";
import { $, announce, make } from "./dom.js";
import { change } from "./project.js";
import { objectOf, store } from "./store.js";

// [field, label, tip, input traits]
const NUMBERS = [
  ["steady_frames", "Steady", "Smooth the edge over so many frames before and after", { min: 0, max: 10 }],
  ["fill_holes_px", "Fill holes", "Fill holes of up to so many pixels", { min: 0 }],
  ["remove_specks_px", "Remove specks", "Remove parts of up to so many pixels; the largest stays", { min: 0 }],
  ["smooth_px", "Smooth", "Round off the edge, in pixels", { min: 0, max: 200, step: "any" }],
  ["grow_px", "Grow, shrink", "Move the edge out by so many pixels, or in (below 0)", { min: -200, max: 200 }],
  ["feather_px", "Feather", "Soften the edge by so many pixels to either side", { min: 0, max: 200, step: "any" }],
];
const MATTES = [["none", "None"], ["guided", "Guided (quick)"], ["closed-form", "Closed-form (hair)"]];
const DEFAULT = { first: 0, last: null, matte: "none", matte_px: 10 };
for (const [field] of NUMBERS) DEFAULT[field] = 0;

const covers = ({ first, last }, frame) => first <= frame && (last === null || frame <= last);
const rulesOf = ({ project, object }) => project?.finishing?.[object] ?? [];
const placeOf = (rules, frame) => rules.findLastIndex((rule) => covers(rule, frame));

export function startFinishing() {
  for (const [field, label, tip, traits] of NUMBERS) $("finishing-fields").append(numberRow(field, label, tip, traits));
  const matte = make("select", { id: "finishing-matte" }, ...MATTES.map(([name, title]) => new Option(title, name)));
  matte.addEventListener("change", () => save({ matte: matte.value }));
  const band = numberInput("matte_px", "How far from the edge a matte may be soft, in pixels", { min: 1, max: 200 });
  const rows = [
    make("div", { className: "field" }, make("label", { htmlFor: "finishing-matte" }, "Matte"), matte),
    make("div", { className: "field" }, make("label", { htmlFor: "finishing-matte_px" }, "Matte width"), band),
  ];
  $("finishing-fields").append(...rows, rangeRow());
  $("finishing-alone").addEventListener("click", onlyHere);
  $("finishing-reset").addEventListener("click", reset);
  $("keep-soft").addEventListener("change", (event) => change((p) => api.keepSoftMasks(p, event.target.checked)));
  store.watch(["project", "object", "frame", "mayWrite"], show);
}

function numberInput(field, tip, traits) {
  const input = make("input", { type: "number", id: `finishing-${field}`, className: "num", title: tip, ...traits });
  input.addEventListener("change", () => save({ [field]: Number(input.value) || 0 }));
  return input;
}

function numberRow(field, label, tip, traits) {
  const name = make("label", { htmlFor: `finishing-${field}` }, label);
  return make("div", { className: "field" }, name, numberInput(field, tip, traits));
}

function rangeRow() {
  const from = make("input", { type: "number", id: "finishing-first", className: "num", min: "0" });
  const to = make("input", { type: "number", id: "finishing-last", className: "num", min: "0", placeholder: "last" });
  from.setAttribute("aria-label", "First finished frame");
  to.setAttribute("aria-label", "Last finished frame");
  const numberOf = (input) => (input.value === "" ? null : Number(input.value));
  from.addEventListener("change", () => save({ first: numberOf(from) ?? 0 }));
  to.addEventListener("change", () => save({ last: numberOf(to) }));
  const both = make("div", { className: "range" }, from, "to", to);
  return make("div", { className: "field" }, make("span", { className: "quiet" }, "Frames"), both);
}

function show(now) {
  const { project, object, frame, mayWrite } = now;
  if (!project) return;
  const rules = rulesOf(now);
  const rule = { ...DEFAULT, ...rules[placeOf(rules, frame)] };
  $("finishing-of").textContent = objectOf(object)?.name ?? "";
  $("keep-soft").checked = Boolean(project.soft_masks);
  $("keep-soft").disabled = !mayWrite;
  for (const control of $("finishing-fields").querySelectorAll("input, select")) {
    control.disabled = !mayWrite || object === null;
    if (control === document.activeElement && control.matches("input")) continue;
    control.value = rule[control.id.replace("finishing-", "")] ?? "";
  }
  $("finishing-alone").disabled = $("finishing-reset").disabled = !mayWrite || object === null;
  $("finishing-count").textContent = rules.length > 1 ? `${rules.length} ranges` : "";
}

async function put(rules, said) {
  const { object } = store.now;
  if (await change((p) => api.setFinishing(p, object, rules))) announce(said);
}

/** Changes the rule in force on this frame; without one, a rule for all frames is made, under the others. */
function save(changed) {
  const rules = [...rulesOf(store.now)];
  const place = placeOf(rules, store.now.frame);
  if (place >= 0) rules[place] = { ...rules[place], ...changed };
  else rules.unshift({ ...DEFAULT, ...changed });
  put(rules, "The finishing is changed.");
}

function onlyHere() {
  const { frame } = store.now;
  const rules = rulesOf(store.now);
  const now = { ...DEFAULT, ...rules[placeOf(rules, frame)] };
  put([...rules, { ...now, first: frame, last: frame }], `Frame ${frame} has a finishing of its own now.`);
}

const reset = () => put([], "The finishing is taken away.");
