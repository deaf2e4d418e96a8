// A label map as colours: translucent fills, one texel per pixel, and crisp outlines.
import { outlinesOf } from "./outlines.js";

const BAND = 64; // outlines are cached in bands of rows, so that a stroke renews only the bands it touches
const EXACT_FROM = 4; // screen pixels per pixel of the frame: from here on outlines follow the pixels' edges
const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

function packed(colour, alpha = 255) {
  const value = Number.parseInt(colour.slice(1), 16);
  const [r, g, b] = [value >> 16, (value >> 8) & 255, value & 255];
  const [first, second, third, fourth] = LITTLE_ENDIAN ? [alpha, b, g, r] : [r, g, b, alpha];
  return ((first << 24) | (second << 16) | (third << 8) | fourth) >>> 0;
}

export class Overlay {
  #canvas = document.createElement("canvas");
  #context = this.#canvas.getContext("2d");
  #image = null;
  #pixels = null;
  #table = new Uint32Array(256);
  #colours = new Map(); // id -> colour, of the objects that are shown
  #bands = []; // per band: Map id -> Path2D
  #exact = false;
  map = null;

  /** Chooses the colours: [[id, "#rrggbb"]...] of the objects that are shown. */
  colour(pairs) {
    this.#colours = new Map(pairs);
    this.#table.fill(0);
    this.#table[255] = packed("#808080", 150); // void: nobody's
    for (const [id, colour] of pairs) this.#table[id] = packed(colour);
    if (this.map) this.refresh();
  }

  /** Shows another map, or none (null). */
  show(map) {
    this.map = map;
    if (!map) return;
    if (this.#canvas.width !== map.width || this.#canvas.height !== map.height) {
      this.#canvas.width = map.width;
      this.#canvas.height = map.height;
      this.#image = null;
    }
    if (!this.#image) {
      this.#image = this.#context.createImageData(map.width, map.height);
      this.#pixels = new Uint32Array(this.#image.data.buffer);
    }
    this.refresh();
  }

  /** Goes on with a map of the same content: nothing is drawn anew. */
  continueWith(map) {
    this.map = map;
  }

  /** Brings a rectangle of the map {x0, y0, x1, y1} up to date; all of it if none is given. */
  refresh(area = { x0: 0, y0: 0, x1: this.map.width, y1: this.map.height }) {
    const { width, height, data } = this.map;
    if (area.x1 <= area.x0 || area.y1 <= area.y0) return;
    for (let y = area.y0; y < area.y1; y++) {
      const end = y * width + area.x1;
      for (let i = y * width + area.x0; i < end; i++) this.#pixels[i] = this.#table[data[i]];
    }
    this.#context.putImageData(this.#image, 0, 0, area.x0, area.y0, area.x1 - area.x0, area.y1 - area.y0);
    const first = Math.floor(Math.max(0, area.y0 - 1) / BAND);
    const end = Math.ceil(Math.min(height, area.y1 + 1) / BAND);
    for (let band = first; band < end; band++) this.#bands[band] = this.#outline(band);
    this.#bands.length = Math.ceil(height / BAND);
  }

  #outline(band) {
    const bottom = Math.min(this.map.height, (band + 1) * BAND);
    return outlinesOf(this.map, band * BAND, bottom, this.#colours, this.#exact);
  }

  /**
   * Draws into a context whose unit is a pixel of the frame; `unit` is one screen pixel in that unit.
   * `opacity` is that of the fill, `strength` that of the outlines.
   */
  draw(context, opacity, unit, strength = 1) {
    if (!this.map) return;
    if (this.#exact !== 1 / unit >= EXACT_FROM) {
      this.#exact = !this.#exact;
      this.#bands = this.#bands.map((_, band) => this.#outline(band));
    }
    context.save();
    context.imageSmoothingEnabled = unit > 1;
    context.globalAlpha = opacity;
    context.drawImage(this.#canvas, 0, 0);
    context.globalAlpha = strength;
    context.lineCap = this.#exact ? "square" : "round";
    for (const [thickness, dark] of [[3, true], [1.4, false]]) {
      context.lineWidth = thickness * unit;
      for (const paths of this.#bands) {
        for (const [id, path] of paths ?? []) {
          context.strokeStyle = dark ? "#0000006e" : this.#colours.get(id);
          context.stroke(path);
        }
      }
    }
    context.restore();
  }
}
