// One stroke at a time on the current frame: prepare, change, keep.
import { addObject, mayChange } from "./project.js";
import { copyOf, emptyMap, inkOf } from "./labels.js";
import { masks } from "./masks.js";
import { complain, notify } from "./notices.js";
import { within } from "./ranges.js";
import { save } from "./saver.js";
import { objectOf, store } from "./store.js";
import { viewer } from "./viewer.js";

export class Stroke {
  #waiting = []; // changes that came before the mask was here
  #map = null;
  #object = null;

  /** Begins on the current frame, from its painted or computed mask. */
  constructor() {
    this.index = store.now.frame;
    store.set({ playing: false });
    this.ready = this.#prepare();
  }

  async #prepare() {
    if (!mayChange()) return false;
    if (within(store.now.project.locks, this.index)) {
      notify(`Frame ${this.index} is locked. Unlock it (Shift+L) to paint on it.`, "error");
      return false;
    }
    this.#object = store.now.object ?? (await addObject());
    if (this.#object === null) return false;
    if (store.now.hidden.has(this.#object)) {
      notify(`${objectOf(this.#object).name} is hidden; show it with the eye beside its name to paint it.`, "error");
      return false;
    }
    const { width, height } = store.now.project;
    const known = await masks.fetch(this.index);
    this.#map = known ? copyOf(known) : emptyMap(width, height);
    masks.hold(this.index, this.#map);
    if (known && viewer.overlay.map === known) viewer.overlay.continueWith(this.#map);
    if (!known) viewer.overlay.showEmpty(this.#map);
    viewer.refresh();
    for (const change of this.#waiting) this.#apply(change);
    this.#waiting = [];
    return true;
  }

  /** Changes the map: `change(map, inkOf)` paints and returns the rectangle it touched. */
  apply(change) {
    if (this.#map) this.#apply(change);
    else this.#waiting.push(change);
  }

  #apply(change) {
    const area = change(this.#map, (erase) => inkOf(this.#object, erase, store.now.keepOthers));
    if (viewer.overlay.map !== this.#map) return;
    viewer.overlay.refresh(area);
    viewer.redrawPart(area);
  }

  /** Keeps what was painted: from here on it is on its way to the disk. */
  async end() {
    try {
      if (!(await this.ready)) return viewer.refresh();
    } catch (error) {
      viewer.refresh();
      return complain(error);
    }
    save(this.index, this.#map);
    masks.release(this.index);
    const { project } = store.now;
    if (!project.prompts.includes(this.index)) {
      store.set({ project: { ...project, prompts: [...project.prompts, this.index].sort((a, b) => a - b) } });
    }
    viewer.refresh();
  }
}

/** One change that is a stroke of its own. */
export async function paintAtOnce(change) {
  const stroke = new Stroke();
  stroke.apply(change);
  await stroke.end();
}
