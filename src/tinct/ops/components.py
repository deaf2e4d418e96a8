"""Connected components: those far from the previous mask of their object, and those that a mark touches."""

from __future__ import annotations

import cv2
import numpy as np

from tinct.shapes import Bool, Integer


def apart_from(
    labels: Integer[np.ndarray, "H W"], previous: Integer[np.ndarray, "H W"], count: int, reach_px: int
) -> Bool[np.ndarray, "L H W"]:
    """The pixels of each object's components that are further than a distance from its previous mask.

    An object moves little from one frame to the next, so a component far from all of its previous
    mask is most likely a look-alike. An object that was invisible (hidden, or new) may
    appear anywhere: none of its components is apart.

    Args:
        labels: 0 background, 1 to count - 1 the objects.
        previous: The label map of the previous frame.
        count: L, the number of labels with the background.
        reach_px: The distance in pixels of these maps, along rows and columns (a square).

    Returns:
        True where a pixel of label l should not be l; the background's map is all False.
    """
    apart = np.zeros((count, *labels.shape), bool)
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    for label in range(1, count):
        was = (previous == label).astype(np.uint8)
        now = (labels == label).astype(np.uint8)
        if not was.any() or not now.any():
            continue
        near = cv2.dilate(was, kernel)
        number, components = cv2.connectedComponents(now, connectivity=8)
        touching = np.zeros(number, bool)
        touching[np.unique(components[near > 0])] = True
        touching[0] = True
        apart[label] = ~touching[components]
    return apart


def touching(mask: Bool[np.ndarray, "H W"], seeds: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The components of a mask that hold a seed; all of them where none does."""
    number, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    seeded = np.zeros(number, bool)
    seeded[np.unique(components[seeds & mask])] = True
    return seeded[components] & mask if seeded.any() else mask
