// Painting in a label map {width, height, data: Uint8Array}: whole pixels, exact ids, nothing in between.
// Points are in pixels of the frame, (0, 0) the corner of the first; a pixel is taken if its centre is in.
// Every function returns the rectangle that it may have touched, {x0, y0, x1, y1}, upper ends excluded.

import { clamp } from "./dom.js";

export const BACKGROUND = 0;
export const VOID = 255;

export const emptyMap = (width, height) => ({ width, height, data: new Uint8Array(width * height) });
export const copyOf = (map) => ({ ...map, data: map.data.slice() });

/**
 * What a tool does to a pixel: `paint` puts the object, `erase` takes it away.
 * With `keepOthers` the pixels of other objects stay as they are.
 */
export function inkOf(object, erase, keepOthers) {
  const value = erase ? BACKGROUND : object;
  const touches = new Uint8Array(256).fill(1);
  if (keepOthers) {
    touches.fill(0);
    touches[object] = 1;
    if (!erase) touches[BACKGROUND] = touches[VOID] = 1;
  }
  return { value, touches };
}

/** The smallest rectangle around two, either of which may be null. */
export const union = (one, other) =>
  one && other
    ? {
        x0: Math.min(one.x0, other.x0),
        y0: Math.min(one.y0, other.y0),
        x1: Math.max(one.x1, other.x1),
        y1: Math.max(one.y1, other.y1),
      }
    : (one ?? other);

function rectangle(map, left, top, right, bottom) {
  return {
    x0: clamp(Math.floor(left), 0, map.width),
    y0: clamp(Math.floor(top), 0, map.height),
    x1: clamp(Math.ceil(right), 0, map.width),
    y1: clamp(Math.ceil(bottom), 0, map.height),
  };
}

/** A round brush of this diameter, drawn from one point to another. Under 1.5 it is single pixels. */
export function stroke(map, from, to, diameter, ink) {
  if (diameter < 1.5) return thinStroke(map, from, to, ink);
  const radius = diameter / 2;
  const area = rectangle(
    map,
    Math.min(from.x, to.x) - radius,
    Math.min(from.y, to.y) - radius,
    Math.max(from.x, to.x) + radius,
    Math.max(from.y, to.y) + radius,
  );
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length2 = dx * dx + dy * dy;
  for (let y = area.y0; y < area.y1; y++) {
    for (let x = area.x0; x < area.x1; x++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const along = length2 ? clamp((px * dx + py * dy) / length2, 0, 1) : 0;
      const [ex, ey] = [px - along * dx, py - along * dy];
      if (ex * ex + ey * ey <= radius * radius) put(map, y * map.width + x, ink);
    }
  }
  return area;
}

function thinStroke(map, from, to, ink) {
  const steps = Math.max(1, Math.ceil(2 * Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y))));
  for (let step = 0; step <= steps; step++) {
    const x = Math.floor(from.x + ((to.x - from.x) * step) / steps);
    const y = Math.floor(from.y + ((to.y - from.y) * step) / steps);
    if (x >= 0 && y >= 0 && x < map.width && y < map.height) put(map, y * map.width + x, ink);
  }
  const [xs, ys] = [[from.x, to.x], [from.y, to.y]];
  return rectangle(map, Math.min(...xs), Math.min(...ys), Math.max(...xs) + 1, Math.max(...ys) + 1);
}

/** The inside of a polygon, by the even-odd rule. */
export function fillPolygon(map, points, ink) {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const area = rectangle(map, Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
  for (let y = area.y0; y < area.y1; y++) {
    const crossings = crossingsAt(points, y + 0.5);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const first = Math.max(area.x0, Math.ceil(crossings[i] - 0.5));
      const end = Math.min(area.x1, Math.ceil(crossings[i + 1] - 0.5));
      for (let x = first; x < end; x++) put(map, y * map.width + x, ink);
    }
  }
  return area;
}

function crossingsAt(points, height) {
  const crossings = [];
  points.forEach((a, i) => {
    const b = points[(i + 1) % points.length];
    if (a.y <= height !== b.y <= height) crossings.push(a.x + ((height - a.y) / (b.y - a.y)) * (b.x - a.x));
  });
  return crossings.sort((a, b) => a - b);
}

/** Everything that is not 0 in `mask`, a label map of the same size. */
export function fillMask(map, mask, ink) {
  if (mask.width !== map.width || mask.height !== map.height) {
    throw new Error(`An outline of ${mask.width}×${mask.height} came for a frame of ${map.width}×${map.height}.`);
  }
  for (let i = 0; i < mask.data.length; i++) if (mask.data[i]) put(map, i, ink);
  return rectangle(map, 0, 0, map.width, map.height);
}

/** Makes the object of an ink exactly what is not 0 in `mask`: what it has elsewhere is taken away. */
export function replaceObject(map, mask, object, ink) {
  const area = fillMask(map, mask, ink(false));
  const eraser = ink(true);
  for (let i = 0; i < mask.data.length; i++) if (!mask.data[i] && map.data[i] === object) put(map, i, eraser);
  return area;
}

function put(map, at, { value, touches }) {
  if (touches[map.data[at]]) map.data[at] = value;
}
