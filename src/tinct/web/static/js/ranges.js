// Sorted lists of [first, last] frames, both included: how the server says which frames are computed.

export const within = (ranges, index) => ranges.some(([first, last]) => first <= index && index <= last);

/** The ranges with one more frame. */
export function joined(ranges, index) {
  if (within(ranges, index)) return ranges;
  const merged = [];
  for (const [first, last] of [...ranges, [index, index]].sort((a, b) => a[0] - b[0])) {
    const before = merged.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

/** The ranges without one frame. */
export function without(ranges, index) {
  return ranges.flatMap(([first, last]) => {
    if (index < first || index > last) return [[first, last]];
    return [
      [first, index - 1],
      [index + 1, last],
    ].filter(([from, to]) => from <= to);
  });
}
