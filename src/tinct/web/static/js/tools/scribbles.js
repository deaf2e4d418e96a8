// Scribbles: strokes on the object and, with the right button or Shift, strokes on what is not.
import { redrawGestures } from "../gestures.js";
import { store } from "../store.js";
import { Proposal } from "./proposal.js";

class Scribbles {
  name = "scribbles";
  title = "Scribbles";
  key = "S";
  hint = "Scribble on the object; right button or Shift on what is not. Enter applies.";
  cursor = "crosshair";
  sized = true;
  #strokes = [];
  #open = null;
  #proposal = new Proposal(() => redrawGestures());

  get busy() {
    return this.#strokes.length > 0 || this.#open !== null;
  }

  down(point, event) {
    const keep = event.button !== 2 && !event.shiftKey;
    this.#open = { keep, radius: Math.max(1, store.now.brush / 4), points: [[point.x, point.y]] };
  }

  move(point) {
    this.#open?.points.push([point.x, point.y]);
  }

  up() {
    if (!this.#open) return;
    this.#strokes.push(this.#open);
    this.#open = null;
    if (this.#strokes.some(({ keep }) => keep)) this.#proposal.ask({ kind: "scribbles", strokes: this.#strokes });
  }

  accept() {
    this.#strokes = [];
    this.#proposal.accept();
  }

  drop() {
    this.#strokes = [];
    this.#open = null;
    this.#proposal.drop();
  }

  back() {
    this.#strokes.pop();
    if (this.#strokes.some(({ keep }) => keep)) this.#proposal.ask({ kind: "scribbles", strokes: this.#strokes });
    else this.drop();
  }

  draw(context, { unit, colour }) {
    this.#proposal.draw(context, colour, unit);
    context.lineCap = context.lineJoin = "round";
    for (const { keep, radius, points } of [...this.#strokes, ...(this.#open ? [this.#open] : [])]) {
      context.beginPath();
      for (const [x, y] of points) context.lineTo(x, y);
      context.lineTo(points.at(-1)[0] + 0.01, points.at(-1)[1]); // a single point is a dot
      for (const [width, style] of [[2 * radius + 2 * unit, "#000a"], [2 * radius, keep ? colour : "#f2f2f2"]]) {
        context.lineWidth = width;
        context.strokeStyle = style;
        context.stroke();
      }
    }
  }
}

export const scribbles = new Scribbles();
