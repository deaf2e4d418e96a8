// Polygon: click the corners; a click on the first one, a double click or Enter fills it.
import { fillPolygon } from "../labels.js";
import { paintAtOnce } from "../painting.js";
import { viewer } from "../viewer.js";

const NEAR_PX = 9;

class Polygon {
  name = "polygon";
  title = "Polygon";
  key = "P";
  hint = "Click corners; Enter fills, Shift+Enter cuts out, Backspace takes one back, Esc drops.";
  cursor = "crosshair";
  #corners = [];

  get busy() {
    return this.#corners.length > 0;
  }

  down(point, event) {
    const near = (corner) => Math.hypot(corner.x - point.x, corner.y - point.y) * viewer.view.scale < NEAR_PX;
    const doubled = this.#corners.length > 0 && near(this.#corners.at(-1));
    if (this.#corners.length > 2 && (doubled || near(this.#corners[0]))) return this.accept(event);
    if (!doubled) this.#corners.push(point);
  }

  move() {}
  up() {}

  accept(event) {
    const corners = this.#corners;
    this.#corners = [];
    if (corners.length > 2) paintAtOnce((map, ink) => fillPolygon(map, corners, ink(Boolean(event?.shiftKey))));
  }

  drop() {
    this.#corners = [];
  }

  back() {
    this.#corners.pop();
  }

  draw(context, { pointer, unit, colour }) {
    const corners = this.#corners;
    if (!corners.length) return;
    const path = [...corners, ...(pointer ? [pointer] : [])];
    context.beginPath();
    path.forEach(({ x, y }) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = `${colour}40`;
    context.fill();
    for (const [width, style] of [[3.5, "#000a"], [1.5, colour]]) {
      context.lineWidth = width * unit;
      context.strokeStyle = style;
      context.stroke();
    }
    corners.forEach(({ x, y }, i) => {
      context.beginPath();
      context.arc(x, y, (i ? 3 : 5) * unit, 0, 2 * Math.PI);
      context.fillStyle = i ? colour : "#fff";
      context.fill();
    });
  }
}

export const polygon = new Polygon();
