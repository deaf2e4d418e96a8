// A mask that the server proposes from a box, clicks or scribbles: seen first, painted when it is accepted.
import { api } from "../api.js";
import { $ } from "../dom.js";
import { fillMask, replaceObject } from "../labels.js";
import { complain } from "../notices.js";
import { outlinesOf } from "../outlines.js";
import { paintAtOnce } from "../painting.js";
import { decodeLabels } from "../png.js";
import { addObject, mayChange } from "../project.js";
import { saved } from "../saver.js";
import { store } from "../store.js";

const FOUND = 255; // what the object has in the mask of the answer

export class Proposal {
  #canvas = document.createElement("canvas");
  #asked = 0;
  #outline = null;
  #corrects = null; // the object whose mask the newest answer replaces
  mask = null;

  /** @param changed called when there is something new to draw */
  constructor(changed) {
    this.changed = changed;
  }

  /** Asks for the mask of `request`, the outline's kind with its box, clicks or strokes; the newest question counts. */
  async ask(request) {
    if (!mayChange()) return;
    const asked = ++this.#asked;
    this.#say("Looking for the outline…", false);
    try {
      const object = store.now.object ?? (await addObject());
      if (object === null) return this.drop();
      if (request.corrects) await saved(); // the server looks at the mask that it has
      const png = await api.outline(store.now.project.id, { frame: store.now.frame, object, ...request });
      const mask = await decodeLabels(png);
      if (asked !== this.#asked) return;
      this.mask = mask;
      this.#corrects = request.corrects ?? null;
      this.#picture();
      const found = mask.data.some((value) => value > 0);
      this.#say(found ? "Is this the object?" : "Nothing was found here: try more clicks or scribbles, or a wider box.", found);
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
    this.#outline = outlinesOf(this.mask, { x0: 0, y0: 0, x1: width, y1: height }, new Set([FOUND]), false).get(FOUND);
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#canvas.getContext("2d").putImageData(image, 0, 0);
  }

  accept() {
    const { mask } = this;
    const object = this.#corrects;
    this.drop();
    if (!mask) return;
    if (object !== null && object === store.now.object) {
      paintAtOnce((map, ink) => replaceObject(map, mask, object, ink));
    } else paintAtOnce((map, ink) => fillMask(map, mask, ink(false)));
  }

  drop() {
    this.#asked += 1;
    this.mask = null;
    $("pending").hidden = true;
    this.changed();
  }

  draw(context, colour, unit) {
    if (!this.mask) return;
    const tinted = this.#canvas.getContext("2d");
    tinted.globalCompositeOperation = "source-in";
    tinted.fillStyle = colour;
    tinted.fillRect(0, 0, this.mask.width, this.mask.height);
    context.globalAlpha = 0.6;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#canvas, 0, 0);
    context.globalAlpha = 1;
    if (!this.#outline) return;
    for (const [width, style] of [[4, "#000a"], [1.8, "#fff"]]) {
      context.lineWidth = width * unit;
      context.strokeStyle = style;
      context.stroke(this.#outline);
    }
  }
}
