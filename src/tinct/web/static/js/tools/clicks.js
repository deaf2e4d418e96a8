// Clicks: on the object, and with the right button or Shift where it is not; each is answered by an outline.
import { redrawGestures } from "../gestures.js";
import { masks } from "../masks.js";
import { store } from "../store.js";
import { Proposal } from "./proposal.js";

const RADIUS_PX = 6;

class Clicks {
  name = "clicks";
  title = "Clicks";
  key = "C";
  hint = "Click the object; right button takes away.";
  cursor = "crosshair";
  #points = []; // [[x, y, inside]...]
  #proposal = new Proposal(() => redrawGestures());

  get busy() {
    return this.#points.length > 0;
  }

  down({ x, y }, event) {
    const { width, height } = store.now.project;
    if (x < 0 || y < 0 || x > width || y > height) return;
    this.#points.push([x, y, event.button !== 2 && !event.shiftKey]);
    this.#ask();
  }

  move() {}
  up() {}

  #ask() {
    const { object, frame } = store.now;
    const corrects = object !== null && masks.peek(frame)?.data.includes(object);
    if (corrects || this.#points.some(([, , inside]) => inside)) {
      this.#proposal.ask({ kind: "points", points: this.#points, ...(corrects ? { corrects: object } : {}) });
    } else this.#proposal.drop();
  }

  accept() {
    this.#points = [];
    this.#proposal.accept();
  }

  drop() {
    this.#points = [];
    this.#proposal.drop();
  }

  back() {
    this.#points.pop();
    if (this.#points.length) this.#ask();
    else this.drop();
  }

  draw(context, { unit, colour }) {
    this.#proposal.draw(context, colour, unit);
    for (const [x, y, inside] of this.#points) {
      context.beginPath();
      context.arc(x, y, RADIUS_PX * unit, 0, 2 * Math.PI);
      context.fillStyle = inside ? colour : "#f2f2f2";
      context.fill();
      context.lineWidth = 1.5 * unit;
      context.strokeStyle = "#000c";
      context.moveTo(x - 3 * unit, y);
      context.lineTo(x + 3 * unit, y);
      if (inside) {
        context.moveTo(x, y - 3 * unit);
        context.lineTo(x, y + 3 * unit);
      }
      context.stroke();
    }
  }
}

export const clicks = new Clicks();
