// Hand: drag the picture. The middle button does the same with every tool.
import { viewer } from "../viewer.js";

class Pan {
  name = "pan";
  title = "Hand";
  key = "H";
  hint = "Drag the picture; the wheel zooms. The middle button drags with every tool.";
  cursor = "grab";
  #at = null;

  down(_, event) {
    this.#at = event;
  }

  move(_, event) {
    if (!this.#at) return;
    viewer.pan(event.clientX - this.#at.clientX, event.clientY - this.#at.clientY);
    this.#at = event;
  }

  up() {
    this.#at = null;
  }

  draw() {}
}

export const pan = new Pan();
