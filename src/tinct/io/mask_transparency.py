"""Masks that lie in the transparency of a picture: a layer of black paint, or a cut-out."""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image as Pictures

from tinct.io.masks import MAX_OBJECTS, MaskWarning
from tinct.shapes import BinaryMask, UInt8

_PAINTED = 0.8  # A painting has nearly all of its pixels in a few colours, a cut-out photo in thousands.


def opaque_object(picture: Pictures.Image, name: str) -> BinaryMask | None:
    """The opaque pixels of a picture whose transparency is the mask; None if its colours are.

    Transparency is the mask if all that can be seen is black (which would be background), or if it shows
    too many colours to be painted.

    Args:
        picture: In any mode.
        name: The file's name, for messages.

    Returns:
        bool [H, W]: where the picture is at least half opaque.

    Warns:
        MaskWarning: Transparency is the mask.
    """
    if not (picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info):
        return None
    rgba = np.asarray(picture.convert("RGBA"))
    alpha = rgba[..., 3]
    mask: BinaryMask = alpha >= 128
    if mask.all() or not mask.any():
        return None
    colours = rgba[mask, :3]
    if not colours.any():
        what = "all that can be seen in it is black"
    elif _is_photo(colours):
        what = "it is a cut-out (a picture, with transparency around it)"
    else:
        return None
    cut = int(((alpha > 0) & (alpha < 255)).sum())
    soft = f"; {cut} pixels are half transparent and were decided at 50 %" if cut else ""
    text = f"{name}: its transparency (alpha) is taken for the mask of one object, since {what}{soft}."
    warnings.warn(text, MaskWarning, stacklevel=5)
    return mask


def _is_photo(colours: UInt8[np.ndarray, "N 3"]) -> bool:
    """Whether pixels show more colours than anyone paints."""
    packed = colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    counts = np.sort(np.unique(packed, return_counts=True)[1])[::-1]
    return len(counts) > MAX_OBJECTS and bool(counts[:MAX_OBJECTS].sum() < _PAINTED * len(packed))
