// Box: drag it around an object, and the server finds the outline in it.
import { clamp } from "../dom.js";
import { redrawGestures } from "../gestures.js";
import { store } from "../store.js";
import { Proposal } from "./proposal.js";

const SMALLEST_PX = 4;

class Box {
  name = "box";
  title = "Box";
  key = "X";
  hint = "Drag a box around the object; its outline is found.";
  cursor = "crosshair";
  #drag = null; // [from, to] while the button is down
  #box = null; // [x0, y0, x1, y1] whose outline was asked for
  #proposal = new Proposal(() => redrawGestures());

  get busy() {
    return Boolean(this.#drag || this.#box);
  }

  down(point) {
    this.drop();
    this.#drag = [point, point];
  }

  move(point) {
    if (this.#drag) this.#drag[1] = point;
  }

  up() {
    if (!this.#drag) return;
    const { width, height } = store.now.project;
    const xs = this.#drag.map(({ x }) => clamp(x, 0, width)).sort((a, b) => a - b);
    const ys = this.#drag.map(({ y }) => clamp(y, 0, height)).sort((a, b) => a - b);
    this.#drag = null;
    const box = [Math.floor(xs[0]), Math.floor(ys[0]), Math.ceil(xs[1]), Math.ceil(ys[1])];
    if (box[2] - box[0] < SMALLEST_PX || box[3] - box[1] < SMALLEST_PX) return;
    this.#box = box;
    this.#proposal.ask({ kind: "box", box });
  }

  accept() {
    this.#box = null;
    this.#proposal.accept();
  }

  drop() {
    this.#drag = this.#box = null;
    this.#proposal.drop();
  }

  draw(context, { unit, colour }) {
    this.#proposal.draw(context, colour, unit);
    const [from, to] = this.#drag ?? [];
    const corners = this.#drag ? [from.x, from.y, to.x, to.y] : this.#box;
    if (!corners) return;
    for (const [width, style] of [[3, "#000a"], [1.4, colour]]) {
      context.lineWidth = width * unit;
      context.strokeStyle = style;
      context.strokeRect(corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]);
    }
  }
}

export const box = new Box();
