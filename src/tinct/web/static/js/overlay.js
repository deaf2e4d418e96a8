// A label map as colours: translucent fills, one texel per pixel, and crisp outlines.
import { union } from "./labels.js";
import { outlinesOf } from "./outlines.js";

const TILE = { width: 256, height: 64 }; // outlines are cached in tiles, so that a stroke renews only those that it touches
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
  #part = document.createElement("canvas"); // what a stroke touches, drawn without the whole
  #image = null;
  #pixels = null;
  #behind = null; // the rectangle in which the canvas is older than the image
  #table = new Uint32Array(256);
  #colours = new Map(); // id -> colour, of the objects that are shown
  #tiles = []; // row by row: Map id -> Path2D; undefined where it is not made yet
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
    this.#fit();
    this.refresh();
  }

  /** Shows a map that holds no object: quicker than `show`. */
  showEmpty(map) {
    this.map = map;
    if (!this.#fit()) this.#pixels.fill(0);
    this.#behind = this.#whole();
    this.#tiles = Array.from({ length: this.#columns() * this.#rows() }, () => new Map());
  }

  /** Goes on with a map of the same content: nothing is drawn anew. */
  continueWith(map) {
    this.map = map;
  }

  /** Makes the image as large as the map. @returns whether it is a new one, and empty */
  #fit() {
    const { width, height } = this.map;
    if (this.#image?.width === width && this.#image.height === height) return false;
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#image = this.#context.createImageData(width, height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    return true;
  }

  #whole = () => ({ x0: 0, y0: 0, x1: this.map.width, y1: this.map.height });
  #columns = () => Math.ceil(this.map.width / TILE.width);
  #rows = () => Math.ceil(this.map.height / TILE.height);

  /** Brings a rectangle of the map {x0, y0, x1, y1} up to date; all of it if none is given. */
  refresh(area = this.#whole()) {
    const { width, data } = this.map;
    if (area.x1 <= area.x0 || area.y1 <= area.y0) return;
    for (let y = area.y0; y < area.y1; y++) {
      const end = y * width + area.x1;
      for (let i = y * width + area.x0; i < end; i++) this.#pixels[i] = this.#table[data[i]];
    }
    this.#behind = union(this.#behind, area);
    // A border belongs to the pixel on its right or above it: one pixel further it may change, too.
    const around = { x0: area.x0 - 1, y0: area.y0 - 1, x1: area.x1 + 1, y1: area.y1 + 1 };
    for (const tile of this.#tilesIn(around)) this.#tiles[tile] = undefined;
  }

  *#tilesIn({ x0, y0, x1, y1 }) {
    const right = Math.min(this.#columns(), Math.ceil(x1 / TILE.width));
    const bottom = Math.min(this.#rows(), Math.ceil(y1 / TILE.height));
    for (let y = Math.max(0, Math.floor(y0 / TILE.height)); y < bottom; y++) {
      for (let x = Math.max(0, Math.floor(x0 / TILE.width)); x < right; x++) yield y * this.#columns() + x;
    }
  }

  #outline(tile) {
    const x0 = (tile % this.#columns()) * TILE.width;
    const y0 = Math.floor(tile / this.#columns()) * TILE.height;
    const area = {
      x0,
      y0,
      x1: Math.min(this.map.width, x0 + TILE.width),
      y1: Math.min(this.map.height, y0 + TILE.height),
    };
    return outlinesOf(this.map, area, this.#colours, this.#exact);
  }

  /**
   * Draws into a context whose unit is a pixel of the frame; `unit` is one screen pixel in that unit.
   * `opacity` is that of the fill, `strength` that of the outlines; `part`, a rectangle, is all that is needed.
   */
  draw(context, opacity, unit, strength = 1, part = null) {
    if (!this.map) return;
    if (this.#exact !== 1 / unit >= EXACT_FROM) {
      this.#exact = !this.#exact;
      this.#tiles = [];
    }
    context.save();
    context.imageSmoothingEnabled = unit > 1;
    context.globalAlpha = opacity;
    if (part) this.#drawPart(context, part);
    else this.#drawWhole(context);
    context.globalAlpha = strength;
    context.lineCap = this.#exact ? "square" : "round";
    const tiles = [...this.#tilesIn(part ?? this.#whole())];
    for (const tile of tiles) this.#tiles[tile] ??= this.#outline(tile);
    for (const [thickness, dark] of [[3, true], [1.4, false]]) {
      context.lineWidth = thickness * unit;
      for (const tile of tiles) {
        for (const [id, path] of this.#tiles[tile]) {
          context.strokeStyle = dark ? "#0000006e" : this.#colours.get(id);
          context.stroke(path);
        }
      }
    }
    context.restore();
  }

  #drawWhole(context) {
    const { x0, y0, x1, y1 } = this.#behind ?? {};
    if (this.#behind) this.#context.putImageData(this.#image, 0, 0, x0, y0, x1 - x0, y1 - y0);
    this.#behind = null;
    context.drawImage(this.#canvas, 0, 0);
  }

  // The whole canvas would be copied each time that a little of it changes between two pictures.
  #drawPart(context, { x0, y0, x1, y1 }) {
    this.#part.width = x1 - x0;
    this.#part.height = y1 - y0;
    this.#part.getContext("2d").putImageData(this.#image, -x0, -y0, x0, y0, x1 - x0, y1 - y0);
    context.drawImage(this.#part, x0, y0);
  }
}
