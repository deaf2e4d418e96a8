"""Dimension letters and array types, named once.

B batch, T frames, N objects, C channels, H rows, W columns, R reference pixels, Q query pixels.

Outside the networks everything is numpy: an `Image` is uint8 RGB, a `LabelMap` holds object ids
(0 background, 255 void). Inside, frames are float tensors [3, H, W] in [0, 1] until a network
normalises them. Shapes are checked only under test (jaxtyping + beartype, switched on by pytest).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

BACKGROUND = 0
"""The label of everything that is no object."""

VOID = 255
"""The label of a pixel that nobody decided: it is neither taught to a network nor scored."""

Image = UInt8[np.ndarray, "H W 3"]
"""One frame: RGB."""

LabelMap = UInt8[np.ndarray, "H W"]
"""One mask image: an object id per pixel, 0 background, 255 void."""

BinaryMask = Bool[np.ndarray, "H W"]
"""One object's pixels."""

Probabilities = Float[np.ndarray, "N H W"]
"""One probability map per object."""
