// Brush and eraser: a round brush of whole pixels. The right button, or Shift, turns one into the other.
import { stroke as draw } from "../labels.js";
import { Stroke } from "../painting.js";
import { store } from "../store.js";

class Brush {
  #stroke = null;
  #from = null;
  #erases = false;

  constructor(name, title, key, hint, erases) {
    Object.assign(this, { name, title, key, hint, erases, sized: true, cursor: "none" });
  }

  down(point, event) {
    this.#erases = this.erases !== (event.button === 2 || event.shiftKey);
    this.#stroke = new Stroke();
    this.#from = point;
    this.move(point);
  }

  move(point) {
    if (!this.#stroke) return;
    const [from, erases, diameter] = [this.#from, this.#erases, store.now.brush];
    this.#stroke.apply((map, ink) => draw(map, from, point, diameter, ink(erases)));
    this.#from = point;
  }

  up() {
    this.#stroke?.end();
    this.#stroke = null;
  }

  draw(context, { pointer, unit, colour }) {
    if (!pointer) return;
    const radius = Math.max(store.now.brush / 2, 0.5);
    for (const [width, style] of [[3, "#000a"], [1.3, this.erases ? "#fff" : colour]]) {
      context.lineWidth = width * unit;
      context.strokeStyle = style;
      context.beginPath();
      context.arc(pointer.x, pointer.y, radius, 0, 2 * Math.PI);
      context.moveTo(pointer.x - 3 * unit, pointer.y);
      context.lineTo(pointer.x + 3 * unit, pointer.y);
      context.moveTo(pointer.x, pointer.y - 3 * unit);
      context.lineTo(pointer.x, pointer.y + 3 * unit);
      context.stroke();
    }
  }
}

export const brush = new Brush("brush", "Brush", "B", "Paint the object. Right button or Shift erases.", false);
export const eraser = new Brush("eraser", "Eraser", "E", "Erase. Right button or Shift paints.", true);
