"""Previous masks as a network would have made them: damaged on purpose, so that training meets its own errors."""

from __future__ import annotations

import cv2
import numpy as np

from tinct.shapes import BinaryMask

Random = np.random.Generator


def degrade_mask(mask: BinaryMask, random: Random) -> np.ndarray:
    """A damaged copy of one object's mask, as probabilities.

    Shift, scale, dilation or erosion, bites out of it and blobs beside it, blur; one in thirty is
    emptied, as for an object that was lost.

    Returns:
        uint8 [H, W]: 255 is certain.
    """
    H, W = mask.shape
    extent = max(8.0, float(np.sqrt(mask.sum())))
    if random.random() < 1 / 30:
        return np.zeros((H, W), np.uint8)
    soft = mask.astype(np.uint8) * 255
    soft = _shift_and_scale(soft, random, extent)
    soft = _grow_or_shrink(soft, random, extent)
    if random.random() < 0.3:
        soft = _discs(soft, mask, random, extent, value=0, inside=True)
    if random.random() < 0.3:
        soft = _discs(soft, mask, random, extent, value=255, inside=False)
    spread = random.uniform(0.5, 4.0)
    return cv2.GaussianBlur(soft, (0, 0), spread)


def _shift_and_scale(soft: np.ndarray, random: Random, extent: float) -> np.ndarray:
    H, W = soft.shape
    ys, xs = np.nonzero(soft)
    centre = np.array([xs.mean(), ys.mean()]) if len(xs) else np.array([W / 2, H / 2])
    scale = np.exp(random.normal(0, 0.05))
    shift = random.normal(0, 0.05 * extent, 2)
    matrix = np.column_stack([np.eye(2) * scale, centre + shift - scale * centre])
    return cv2.warpAffine(soft, matrix, (W, H))


def _grow_or_shrink(soft: np.ndarray, random: Random, extent: float) -> np.ndarray:
    reach = int(abs(random.normal(0, 0.03 * extent)))
    if reach == 0:
        return soft
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(soft, kernel) if random.random() < 0.5 else cv2.erode(soft, kernel)


def _discs(
    soft: np.ndarray, mask: BinaryMask, random: Random, extent: float, *, value: int, inside: bool
) -> np.ndarray:
    """Discs of a value: around pixels of the object, or around any pixel not far from it."""
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
        soft = cv2.circle(soft.copy(), (x, y), radius, value, -1)
    return soft
