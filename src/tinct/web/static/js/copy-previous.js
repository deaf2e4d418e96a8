// The chosen object as it is on the frame before, copied onto this one.
import { $, announce } from "./dom.js";
import { fillMask } from "./labels.js";
import { masks } from "./masks.js";
import { complain, notify } from "./notices.js";
import { paintAtOnce } from "./painting.js";
import { objectOf, store } from "./store.js";

export function startCopyPrevious() {
  $("copy-previous").addEventListener("click", copyPrevious);
  store.watch(["project", "frame", "object", "mayWrite"], ({ frame, object, mayWrite }) => {
    $("copy-previous").disabled = frame === 0 || object === null || !mayWrite;
  });
}

/** Takes the chosen object from the frame before, in place of what it is here. */
export async function copyPrevious() {
  const { project, frame, object } = store.now;
  if (!project || frame === 0 || object === null) return;
  try {
    const before = await masks.fetch(frame - 1);
    if (!before) return void notify(`Frame ${frame - 1} has no mask to copy.`, "error");
    const of = (map) => ({ ...map, data: map.data.map((id) => Number(id === object)) });
    await paintAtOnce((map, inkOf) => {
      fillMask(map, of(map), inkOf(true));
      return fillMask(map, of(before), inkOf(false));
    });
    announce(`${objectOf(object).name} is copied from frame ${frame - 1}.`);
  } catch (error) {
    complain(error);
  }
}
