// The few things that every part needs from the document.

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/**
 * A new element. `traits` are properties (`className`, `onclick`) or, with a dash or for ARIA, attributes;
 * children are elements or text.
 */
export function make(tag, traits = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(traits)) {
    if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

let sprite = "/static/icons.svg";

/** Takes the pictures into the page, so that new buttons have theirs even when the server is gone. */
export async function keepIcons() {
  const text = await (await fetch(sprite)).text();
  const pictures = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  pictures.setAttribute("class", "out-of-sight");
  pictures.setAttribute("aria-hidden", "true");
  document.body.append(document.importNode(pictures, true));
  sprite = "";
}

/** A picture of icons.svg. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows only a picture: `label` is what it is called, and its tip if it has no other. */
export function iconButton(picture, label, onclick, traits = {}) {
  const named = { type: "button", className: "icon", "aria-label": label, title: label, ...traits };
  const button = make("button", named, icon(picture));
  button.addEventListener("click", onclick);
  return button;
}

/** Says something to screen readers, politely. */
export function announce(text) {
  $("announcer").textContent = text;
}

/** Calls `work` once before the next picture of the screen, however often it is asked. */
export function oncePerFrame(work) {
  let asked = 0;
  return () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      work();
    });
  };
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
