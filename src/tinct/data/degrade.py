"""Degraded previous masks, like those of a network, so that training sees such errors."""

from __future__ import annotations

import cv2
import numpy as np

from tinct.shapes import BinaryMask, UInt8

Random = np.random.Generator

SoftMask = UInt8[np.ndarray, "H W"]
"""Probabilities of one object × 255."""

EMPTIED = 1 / 30
"""Share of masks that are emptied, like those of a lost object."""


def degrade_mask(mask: BinaryMask, random: Random) -> SoftMask:
    """Degrade a copy of one object's mask.

    Shift, scale, dilation or erosion, missing discs, false discs beside it, and blur; a share of
    `EMPTIED` is emptied. An empty mask stays empty.

    Args:
        mask: bool [H, W], the ground truth; not changed.
        random: The source of randomness: the same state gives the same result.

    Returns:
        uint8 [H, W]: probabilities × 255.
    """
    H, W = mask.shape
    extent = max(8.0, float(np.sqrt(mask.sum())))
    if random.random() < EMPTIED:
        return np.zeros((H, W), np.uint8)
    soft = mask.astype(np.uint8) * 255
    soft = _shift_and_scale(soft, random, extent)
    soft = _grow_or_shrink(soft, random, extent)
    if random.random() < 0.3:
        soft = _discs(soft, mask, random, extent, value=0, inside=True)
    if random.random() < 0.3:
        soft = _discs(soft, mask, random, extent, value=255, inside=False)
    spread = random.uniform(0.5, 4.0)
    return np.asarray(cv2.GaussianBlur(soft, (0, 0), spread), np.uint8)


def _shift_and_scale(soft: SoftMask, random: Random, extent: float) -> SoftMask:
    H, W = soft.shape
    ys, xs = np.nonzero(soft)
    centre = np.array([xs.mean(), ys.mean()]) if len(xs) else np.array([W / 2, H / 2])
    scale = np.exp(random.normal(0, 0.05))
    shift = random.normal(0, 0.05 * extent, 2)
    matrix = np.column_stack([np.eye(2) * scale, centre + shift - scale * centre])
    return np.asarray(cv2.warpAffine(soft, matrix, (W, H)), np.uint8)


def _grow_or_shrink(soft: SoftMask, random: Random, extent: float) -> SoftMask:
    reach = int(abs(random.normal(0, 0.03 * extent)))
    if reach == 0:
        return soft
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    changed = cv2.dilate(soft, kernel) if random.random() < 0.5 else cv2.erode(soft, kernel)
    return np.asarray(changed, np.uint8)


def _discs(
    soft: SoftMask, mask: BinaryMask, random: Random, extent: float, *, value: int, inside: bool
) -> SoftMask:
    """Discs of a value around pixels of the object, or (not `inside`) around pixels not far from it."""
    H, W = mask.shape
    ys, xs = np.nonzero(mask)
    if len(xs) == 0:
        return soft
    for _ in range(random.integers(1, 4)):
        pick = random.integers(len(xs))
        x, y = int(xs[pick]), int(ys[pick])
        if not inside:
            dx, dy = random.normal(0, 0.8 * extent, 2)
            x, y = int(np.clip(x + dx, 0, W - 1)), int(np.clip(y + dy, 0, H - 1))
        radius = max(1, int(random.uniform(0.05, 0.25) * extent))
        soft = np.asarray(cv2.circle(soft.copy(), (x, y), radius, value, -1), np.uint8)
    return soft
