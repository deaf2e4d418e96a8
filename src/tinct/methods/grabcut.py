"""The mask of an object from clicks, a box or scribbles by its colours alone: no weights are needed.

GrabCut (Rother, Kolmogorov and Blake, "GrabCut": interactive foreground extraction using iterated graph cuts,
SIGGRAPH 2004) as OpenCV has it, on a crop of reduced size, so that the answer is quick.
"""

from __future__ import annotations

import cv2
import numpy as np

from tinct.data.clicks import draw_clicks
from tinct.inference.promptable import FramePrompt, ObjectPrompt, PromptableSegmenter
from tinct.io.masks import ObjectMasks
from tinct.ops.components import touching
from tinct.shapes import BinaryMask, Float, Image, UInt8

LONG_SIDE_PX = 320
"""The longer side to which the crop is reduced."""

ITERATIONS = 4
"""Iterations of GrabCut; more change hardly anything."""

MARGIN = 0.35
"""The margin of background around a box, as a fraction of its longer side; around scribbles it is 1."""

NEAR = 0.12
"""How far around a click the object probably reaches, as a fraction of the frame's shorter side."""

CLICK_RADIUS = 0.008
"""Of the disk that a click marks for certain, as a fraction of the frame's shorter side."""

MARKED = 0.1
"""Share of a reduced pixel from which a mark counts; thin strokes on large frames must not vanish."""

Bounds = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""


class GrabCut(PromptableSegmenter):
    """Tells object from background by their colours; where they do not differ, the marks are the answer."""

    def propose(self, frame: Image, prompt: FramePrompt) -> ObjectMasks:
        """See `PromptableSegmenter.propose`; probabilities are 0 or 1."""
        ids = tuple(sorted(prompt.objects))
        masks = [_segment(frame, prompt.objects[object_id]) for object_id in ids]
        return ObjectMasks(ids, np.stack(masks).astype(np.float32))


def _segment(frame: Image, prompt: ObjectPrompt) -> BinaryMask:
    H, W = frame.shape[:2]
    prompt.check(H, W)
    inside, outside = (marked(prompt, (H, W), inside=side) for side in (True, False))
    left, top, right, bottom = _crop(prompt, inside, (H, W))
    rows, columns = slice(top, bottom), slice(left, right)
    crop = frame[rows, columns]
    scale = min(1.0, LONG_SIDE_PX / max(crop.shape[:2]))
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    previous = None if prompt.previous is None else _reduced(prompt.previous[rows, columns], size)
    small_inside, small_outside = (_reduced(m[rows, columns], size) for m in (inside, outside))
    labels = _initial_labels(prompt, small_inside, small_outside, scale, (left, top), previous)
    found = _grab_cut(np.ascontiguousarray(small), labels)
    if prompt.box is None:
        seeds = labels == cv2.GC_FGD
        if previous is not None:
            seeds |= previous > 0.5
        found = touching(found, seeds)
    soft = cv2.resize(found.astype(np.float32), crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    mask = np.zeros((H, W), np.bool_)
    mask[rows, columns] = soft > 0.5
    return np.asarray((mask | inside) & ~outside)  # marks hold exactly at full size, too


def marked(prompt: ObjectPrompt, size: tuple[int, int], *, inside: bool) -> BinaryMask:
    """Where clicks and scribbles say that the object is, or that it is not: bool [H, W]."""
    canvas = np.zeros(size, np.float32)
    points = [(x, y) for x, y, within in prompt.points if within == inside]
    draw_clicks(canvas, points, max(1.0, CLICK_RADIUS * min(size)))
    scribbles = prompt.inside if inside else prompt.outside
    return canvas > 0 if scribbles is None else (canvas > 0) | scribbles


def _crop(prompt: ObjectPrompt, inside: BinaryMask, size: tuple[int, int]) -> Bounds:
    """The part of the frame that matters: around the box; around scribbles or the mask so far, wider."""
    H, W = size
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
    else:
        area = inside if prompt.previous is None else inside | (prompt.previous > 0.5)
        if prompt.previous is None and not prompt.scribbled:
            return 0, 0, W, H  # a click says nothing of the size
        rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
        x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    margin = (MARGIN if prompt.box is not None else 1.0) * max(x1 - x0, y1 - y0) + 4
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    return left, top, min(W, int(np.ceil(x1 + margin))), min(H, int(np.ceil(y1 + margin)))


def _reduced(map_: BinaryMask | Float[np.ndarray, "H W"], size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    return np.asarray(cv2.resize(map_.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _initial_labels(
    prompt: ObjectPrompt,
    inside: Float[np.ndarray, "h w"],
    outside: Float[np.ndarray, "h w"],
    scale: float,
    corner: tuple[int, int],
    previous: Float[np.ndarray, "h w"] | None,
) -> UInt8[np.ndarray, "h w"]:
    """Initial labels of GrabCut: certain outside the box and where marked, else probable."""
    labels = np.full(inside.shape, cv2.GC_PR_BGD, np.uint8)
    if prompt.box is not None:
        x0, y0, x1, y1 = (round((edge - corner[i % 2]) * scale) for i, edge in enumerate(prompt.box))
        labels[:] = cv2.GC_BGD
        labels[max(0, y0) : max(y0 + 1, y1), max(0, x0) : max(x0 + 1, x1)] = cv2.GC_PR_FGD
    elif previous is not None:
        labels[previous > 0.5] = cv2.GC_PR_FGD
    else:
        labels[_near(inside > MARKED, prompt)] = cv2.GC_PR_FGD
    if prompt.box is None:
        # Nothing gives certain background; the rim of the crop is far from the marks.
        rim = np.ones(labels.shape, np.bool_)
        rim[1:-1, 1:-1] = False
        labels[rim & (labels == cv2.GC_PR_BGD)] = cv2.GC_BGD
    labels[inside > MARKED] = cv2.GC_FGD
    labels[outside > MARKED] = cv2.GC_BGD
    return labels


def _near(marks: BinaryMask, prompt: ObjectPrompt) -> BinaryMask:
    """Near a mark the object probably continues: as far as a stroke is wide, or `NEAR` around a click."""
    apart = cv2.distanceTransform((~marks).astype(np.uint8), cv2.DIST_L2, 5)
    width = float(cv2.distanceTransform(marks.astype(np.uint8), cv2.DIST_L2, 5).max())
    return np.asarray(apart <= (2 * width + 4 if prompt.scribbled else NEAR * min(marks.shape)), np.bool_)


def _grab_cut(image: Image, labels: UInt8[np.ndarray, "h w"]) -> BinaryMask:
    start = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if start.all() or not start.any() or not (labels == cv2.GC_BGD).any():
        return start
    cv2.setRNGSeed(0)  # its colour clusters start at random; the same prompt shall give the same mask
    labels, models = labels.copy(), [np.zeros((1, 65)) for _ in range(2)]
    try:
        cv2.grabCut(image, labels, None, models[0], models[1], ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # one flat colour
        return start
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return found if found.any() else start
