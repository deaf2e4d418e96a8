// The borders of the objects in a label map, as paths in pixels of the frame.
//
// Close up they run exactly along the pixels' edges. From afar those stairs are only noise: there the border
// cuts each corner from the middle of one pixel edge to the middle of the next (marching squares at a half).

/**
 * The borders in a rectangle {x0, y0, x1, y1} of a map; those of neighbouring rectangles join.
 * @param wanted which ids are outlined
 * @param exact along the pixels' edges, or with the corners cut
 * @returns Map of id to Path2D
 */
export function outlinesOf(map, area, wanted, exact) {
  const paths = new Map();
  const line = (id, x0, y0, x1, y1) => {
    if (!wanted.has(id)) return;
    let path = paths.get(id);
    if (!path) paths.set(id, (path = new Path2D()));
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  for (let y = area.y0; y < area.y1; y++) (exact ? edgesOf : cutCornersOf)(map, y, area, line);
  return paths;
}

// The edges to the left of and below the pixels of row y; along the row, long runs are one line each.
function edgesOf({ width, height, data }, y, { x0, x1 }, line) {
  const row = y * width;
  for (let x = Math.max(1, x0); x < x1; x++) {
    const [before, here] = [data[row + x - 1], data[row + x]];
    if (before === here) continue;
    line(before, x, y, x, y + 1);
    line(here, x, y, x, y + 1);
  }
  if (y + 1 >= height) return;
  let start = x0;
  for (let x = x0 + 1; x <= x1; x++) {
    const [up, down] = [data[row + start], data[row + width + start]];
    if (x < x1 && data[row + x] === up && data[row + width + x] === down) continue;
    if (up !== down) {
      line(up, start, y + 1, x, y + 1);
      line(down, start, y + 1, x, y + 1);
    }
    start = x;
  }
}

// The cells between the pixel centres of row y and the next one: each has four pixels at its corners.
function cutCornersOf({ width, height, data }, y, { x0, x1 }, line) {
  if (y + 1 >= height) return;
  const row = y * width;
  for (let x = Math.max(1, x0); x < x1; x++) {
    const at = row + x;
    const here = data[at];
    if (data[at - 1] === here && data[at + width] === here && data[at + width - 1] === here) continue;
    const corners = [data[at - 1], here, data[at + width], data[at + width - 1]];
    corners.forEach((id, i) => {
      if (corners.indexOf(id) === i) cellBorder(corners, id, x, y + 1, line);
    });
  }
}

// The border of one id in the cell around the grid corner (x, y): between the middles of the edges it crosses.
function cellBorder([a, b, c, d], id, x, y, line) {
  const middles = [];
  if ((a === id) !== (b === id)) middles.push([x, y - 0.5]);
  if ((b === id) !== (c === id)) middles.push([x + 0.5, y]);
  if ((c === id) !== (d === id)) middles.push([x, y + 0.5]);
  if ((d === id) !== (a === id)) middles.push([x - 0.5, y]);
  for (let i = 0; i + 1 < middles.length; i += 2) line(id, ...middles[i], ...middles[i + 1]);
}
