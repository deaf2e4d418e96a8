"""Dimension letters and array types, named once.

B batch, T frames, N objects, C channels, H rows, W columns, R reference pixels, Q query pixels.

Outside the networks everything is numpy: an `Image` is uint8 RGB, a `LabelMap` holds object ids
(0 background, 255 void). Inside, frames are float tensors [3, H, W] in [0, 1] until a network
normalises them. Shapes are checked only under test (jaxtyping + beartype, switched on by pytest).

The array types of jaxtyping come from here where no tensors are about: importing jaxtyping takes a
fifth of the time that a short score takes, and without a checker nothing reads them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, Shaped, UInt8, UInt64
else:

    class _Unchecked:
        """`UInt8[np.ndarray, "H W"]` and its like, where nobody checks."""

        def __class_getitem__(cls, _: object) -> type:
            return np.ndarray

    Bool = Float = Float32 = Float64 = Int = Int64 = Shaped = UInt8 = UInt64 = _Unchecked

__all__ = [
    "BACKGROUND",
    "VOID",
    "BinaryMask",
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Image",
    "Int",
    "Int64",
    "LabelMap",
    "Probabilities",
    "Shaped",
    "UInt8",
    "UInt64",
]

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
