"""Sizes at which networks work."""

from __future__ import annotations

import cv2
import numpy as np

from tinct.shapes import Image, UInt8


def working_size(size: tuple[int, int], working_height: int | None) -> tuple[int, int]:
    """The (H, W) of a frame in the network: short side `working_height`, both in steps of 8 pixels.

    A small frame is enlarged to at most twice its size: beyond that there is no more detail.
    """
    if working_height is None:
        return size
    factor = min(2.0, working_height / min(size))
    height, width = (max(8, round(side * factor / 8) * 8) for side in size)
    return height, width


def working_frame(frame: Image, working_height: int | None) -> UInt8[np.ndarray, "h w 3"]:
    """A frame at its working size (`working_size`)."""
    height, width = working_size((frame.shape[0], frame.shape[1]), working_height)
    if (height, width) == frame.shape[:2]:
        return frame
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
