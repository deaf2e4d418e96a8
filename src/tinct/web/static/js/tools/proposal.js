// A mask that the server proposes from a box or from scribbles: seen first, painted when it is accepted.
import { api } from "../api.js";
import { $ } from "../dom.js";
import { fillMask } from "../labels.js";
import { complain } from "../notices.js";
import { paintAtOnce } from "../painting.js";
import { decodeLabels } from "../png.js";
import { addObject, mayChange } from "../project.js";
import { store } from "../store.js";

export class Proposal {
  #canvas = document.createElement("canvas");
  #asked = 0;
  mask = null;

  /** @param changed called when there is something new to draw */
  constructor(changed) {
    this.changed = changed;
  }

  /** Asks for the mask of `request`, the outline's kind with its box or strokes; the newest question counts. */
  async ask(request) {
    if (!mayChange()) return;
    const asked = ++this.#asked;
    this.#say("Looking for the outline…", false);
    try {
      const object = store.now.object ?? (await addObject());
      if (object === null) return this.drop();
      const png = await api.outline(store.now.project.id, { frame: store.now.frame, object, ...request });
      const mask = await decodeLabels(png);
      if (asked !== this.#asked) return;
      this.mask = mask;
      this.#picture();
      const found = mask.data.some((value) => value > 0);
      this.#say(found ? "Is this the object?" : "Nothing was found here: try a wider box or more scribbles.", found);
    } catch (error) {
      if (asked === this.#asked) this.drop();
      complain(error);
    }
    this.changed();
  }

  #say(text, ready) {
    $("pending-text").textContent = text;
    $("pending-apply").disabled = !ready;
    $("pending").hidden = false;
  }

  #picture() {
    const { width, height, data } = this.mask;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < data.length; i++) pixels[i] = data[i] ? 0xffffffff : 0;
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#canvas.getContext("2d").putImageData(image, 0, 0);
  }

  accept() {
    const { mask } = this;
    this.drop();
    if (mask) paintAtOnce((map, ink) => fillMask(map, mask, ink(false)));
  }

  drop() {
    this.#asked += 1;
    this.mask = null;
    $("pending").hidden = true;
    this.changed();
  }

  draw(context, colour) {
    if (!this.mask) return;
    const tinted = this.#canvas.getContext("2d");
    tinted.globalCompositeOperation = "source-in";
    tinted.fillStyle = colour;
    tinted.fillRect(0, 0, this.mask.width, this.mask.height);
    context.globalAlpha = 0.6;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#canvas, 0, 0);
    context.globalAlpha = 1;
  }
}
