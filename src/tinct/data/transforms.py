"""Colour changes for training clips.

Geometric changes are in `synthetic`, where images and labels move together.
"""

from __future__ import annotations

import cv2
import numpy as np

from tinct.shapes import Float, Image, UInt8

Random = np.random.Generator


def jitter_colours(
    images: UInt8[np.ndarray, "T H W 3"], random: Random, *, strength: float = 1.0
) -> UInt8[np.ndarray, "T H W 3"]:
    """Change brightness, contrast, gamma, colour cast and saturation, mostly per clip.

    A small part of the change differs from frame to frame.

    Args:
        images: uint8 RGB [T, H, W, 3]; not changed.
        random: The source of randomness.
        strength: 1 in the recipes; 0 changes nothing.
    """
    clip = random.normal(size=7) * strength
    changed = np.empty_like(images)
    for t, image in enumerate(images):
        amounts = clip + 0.2 * strength * random.normal(size=7)
        changed[t] = _change_colours(image, amounts)
    return changed


def _change_colours(image: Image, amounts: Float[np.ndarray, "7"]) -> Image:
    brightness, contrast, gamma, saturation = amounts[:4] * [0.08, 0.12, 0.12, 0.2]
    cast = amounts[4:7] * 0.03
    values = np.linspace(0, 1, 256) ** np.exp(gamma)
    values = (values - 0.5) * np.exp(contrast) + 0.5 + brightness
    table = np.clip(values[:, None] * (1 + cast), 0, 1) * 255
    image = cv2.LUT(image, table.astype(np.uint8).reshape(1, 256, 3))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    weight = float(np.clip(1 + saturation, 0.2, 1.8))
    return np.asarray(cv2.addWeighted(image, weight, grey, 1 - weight, 0), np.uint8)
