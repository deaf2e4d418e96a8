// What the page knows, in one place, and who wants to hear when it changes.

class Store {
  #watchers = [];

  constructor(initial) {
    this.now = initial;
  }

  /** Changes some values; watchers of those that differ are called once each, after all are set. */
  set(patch) {
    const changed = new Set();
    for (const [key, value] of Object.entries(patch)) {
      if (!(key in this.now)) throw new Error(`The store has no ${key}.`);
      if (this.now[key] !== value) changed.add(key);
      this.now[key] = value;
    }
    for (const { keys, call } of this.#watchers) {
      if (keys.some((key) => changed.has(key))) call(this.now);
    }
  }

  watch(keys, call) {
    this.#watchers.push({ keys, call });
  }
}

export const store = new Store({
  project: null, // the server's document, see the interface
  frame: 0,
  object: null, // id of the object that is painted
  hidden: new Set(), // ids of objects that are not shown
  tool: "brush",
  brush: 24, // diameter in pixels of the frame
  keepOthers: false,
  opacity: 0.45,
  masksShown: true,
  view: "overlay", // see views.js
  onion: false, // whether the outlines of the frame before are shown
  loop: false, // whether playing begins again at the end
  speed: 1, // of playing; below 0 it goes backward
  playing: false,
  saving: "saved", // saved | saving | failed
  run: null,
  connected: true, // false while the server does not answer
  stretch: null, // [in, out]: where runs may compute
  compare: null, // number of the run that is compared with what was before it
  mayWrite: true, // false while another tab is the writer
});

/** The object with this id in the project's document. */
export function objectOf(id) {
  return store.now.project?.objects.find((object) => object.id === id);
}
