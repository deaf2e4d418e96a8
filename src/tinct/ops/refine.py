"""Boundary refinement: masks aligned with the edges of the frame (OSVOS, 3.3).

OSVOS snaps its masks by a fast bilateral solver, or by a majority vote within superpixels. Here the
edge-aware smoothing is the guided filter (He, Sun, Tang, TPAMI 2013), made of box filters and so
without OpenCV's extra modules; superpixels may come from anywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Integer

from tinct.errors import OptionError
from tinct.shapes import BinaryMask, Image


def guided_filter(
    probs: Float[np.ndarray, "H W"], frame: Image, *, radius_px: int = 8, epsilon: float = 1e-3
) -> Float[np.ndarray, "H W"]:
    """Probabilities smoothed along the frame's edges, not across them (eq. 5, 6 and 8 with a grey guide).

    Within each window the result is a linear function of the frame's brightness, the one that is
    nearest to the probabilities.

    Args:
        probs: float32 in [0, 1].
        frame: uint8 RGB of the same size.
        radius_px: Half the window's side.
        epsilon: Variance of brightness (of 1) from which on something counts as an edge.

    Raises:
        OptionError: A number is not above 0.
    """
    if radius_px < 1 or epsilon <= 0:
        raise OptionError(
            f"A guided filter of radius {radius_px} and epsilon {epsilon} came; both are above 0."
        )
    guide = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    target = probs.astype(np.float32)

    def mean(values: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
        side = 2 * radius_px + 1
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    mean_guide, mean_target = mean(guide), mean(target)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * target) - mean_guide * mean_target
    slope = covariance / (np.maximum(variance, 0) + np.float32(epsilon))
    offset = mean_target - slope * mean_guide
    return np.asarray(np.clip(mean(slope) * guide + mean(offset), 0, 1), np.float32)


def superpixel_vote(
    mask: BinaryMask, superpixels: Integer[np.ndarray, "H W"], threshold: float = 0.5
) -> BinaryMask:
    """Include every superpixel of which more than a share is in the mask, and no other (OSVOS, 3.3).

    Args:
        mask: The segmentation.
        superpixels: The number of each pixel's superpixel, from 0; from any algorithm.
        threshold: The share that must be exceeded.

    Raises:
        OptionError: A superpixel has a number below 0.
    """
    if superpixels.min(initial=0) < 0:
        raise OptionError(f"A superpixel numbered {superpixels.min()} came; numbers start at 0.")
    flat = superpixels.ravel()
    sizes = np.bincount(flat)
    inside = np.bincount(flat, weights=mask.ravel().astype(float))
    taken = inside > threshold * sizes
    return np.asarray(taken[superpixels])
