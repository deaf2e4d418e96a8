"""Objects pasted into clips as layers: cut out and animated, hidden behind others, or crossing them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from tinct.data.synthetic import Layer, Motion, cut_out, draw_motion, move_each
from tinct.shapes import VOID, Image, LabelMap

Random = np.random.Generator

PASTED = Motion(
    scale=(0.2, 0.9), turn_degrees=15.0, shift=0.4,
    step_scale=0.03, step_turn_degrees=3.0, step_shift=0.03, bend=0.012, covering=False,
)  # fmt: skip
"""The motion of a pasted object."""

MIN_PASTED_PIXELS = 200
"""Minimum size of a pasted object."""


def pasted_layer(
    random: Random,
    images: list[Image],
    labels: list[LabelMap],
    times: list[float],
    size: tuple[int, int],
    motion: Motion = PASTED,
) -> Layer | None:
    """Cut one object out of a clip or a photo, and animate it.

    Args:
        random: The source of randomness.
        images: Frames of a video, one per time; or one photo.
        labels: The label maps of the images.
        times: The time of each frame of the clip.
        size: (H, W) of the clip.
        motion: The range of its motion; at scale 1 the object just fits into the frame.

    Returns:
        The layer; None if the first frame shows no object, or too little of one.
    """
    ids = np.flatnonzero(np.bincount(labels[0].ravel(), minlength=256)[:VOID])
    ids = ids[ids > 0]
    if len(ids) == 0:
        return None
    object_id = int(random.choice(ids))
    cutouts = [cut_out(y, object_id) for y in labels]
    ys, xs = np.nonzero(np.maximum.reduce([mask for mask, _ in cutouts]))
    if len(ys) < MIN_PASTED_PIXELS:
        return None
    box = np.s_[max(0, ys.min() - 2) : ys.max() + 3, max(0, xs.min() - 2) : xs.max() + 3]
    masks, alphas = [mask[box] for mask, _ in cutouts], [alpha[box] for _, alpha in cutouts]
    pictures = [image[box] for image in images]
    repeat = len(times) // len(pictures)
    maps = draw_motion(random, times, motion, masks[0].shape, size)
    return move_each(pictures * repeat, masks * repeat, alphas * repeat, maps)


def hidden_behind(layer: Layer, front: Layer) -> Layer:
    """The layer without the pixels of another layer's objects, so that it passes behind them."""
    is_object = (front.labels > 0) & (front.labels != VOID)
    return Layer(layer.images, layer.labels, np.where(is_object, 0, layer.alphas).astype(np.uint8))


def crossing(layer: Layer, back: Layer, random: Random) -> Layer:
    """Shift a layer so that its object meets an object of another layer in mid-clip, and passes it.

    From frame 1 on (frame 0 is the reference); unchanged if either object is invisible at that time.
    """
    T = len(layer.labels)
    meeting = int(random.integers(2, T))
    ids = ids_in([back.labels[meeting]])
    own = layer.labels[meeting] > 0
    if not ids or not own.any():
        return layer
    target = back.labels[meeting] == random.choice(ids)
    centre, aim = _centre(own), _centre(target)
    angle = random.uniform(0, 2 * np.pi)
    reach = np.sqrt(own.sum()) + np.sqrt(target.sum())
    pace = random.uniform(0.1, 0.4) * reach * np.array([np.cos(angle), np.sin(angle)])
    shifts = [np.zeros(2)] + [aim - centre + pace * (t - meeting) for t in range(1, T)]
    offsets = [(round(x), round(y)) for x, y in shifts]
    return Layer(*(_shift(stack, offsets) for stack in (layer.images, layer.labels, layer.alphas)))


def _centre(mask: Bool[np.ndarray, "H W"]) -> np.ndarray:
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


def _shift(stack: UInt8[np.ndarray, "T ..."], offsets: list[tuple[int, int]]) -> UInt8[np.ndarray, "T ..."]:
    """Each frame shifted right and down by whole pixels, filled with 0."""
    moved = np.zeros_like(stack)
    H, W = stack.shape[1:3]
    for frame, target, (dx, dy) in zip(stack, moved, offsets, strict=True):
        if abs(dx) < W and abs(dy) < H:
            into = np.s_[max(0, dy) : H + min(0, dy), max(0, dx) : W + min(0, dx)]
            target[into] = frame[max(0, -dy) : H - max(0, dy), max(0, -dx) : W - max(0, dx)]
    return moved


def concatenate(first: Layer, rest: Layer) -> Layer:
    """The frames of one layer, then those of another."""
    pairs = ((getattr(first, name), getattr(rest, name)) for name in ("images", "labels", "alphas"))
    return Layer(*(np.concatenate(pair) for pair in pairs))


def ids_in(labels: Sequence[LabelMap]) -> list[int]:
    """The ids of objects that label maps show, in order."""
    counts = sum(np.bincount(y.ravel(), minlength=256) for y in labels)
    return [i for i in np.flatnonzero(counts).tolist() if 0 < i < VOID]
