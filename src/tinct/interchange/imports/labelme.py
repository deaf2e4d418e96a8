"""LabelMe JSON: polygons, rectangles, circles and masks of one picture; X-AnyLabeling's turned rectangles.

All shapes of a label are one object; a `group_id` distinguishes two objects of one label. Later shapes
cover earlier ones. Shapes without an area (points, lines) are left out. `imageData`, the picture itself, is
ignored.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from tinct.errors import MaskError
from tinct.interchange.imports.pictures import (
    AnnotatedPicture,
    NoAreaError,
    Region,
    named,
    number,
    regions_of,
    whole_number,
)
from tinct.interchange.imports.polygons import fill_box, fill_circle, fill_polygon
from tinct.io.image_files import opened_picture
from tinct.shapes import BinaryMask, Float

_KINDS = ("polygon", "rectangle", "circle", "mask")
_FOUR_CORNERS = ("rotation", "quadrilateral", "oriented_rectangle")
"""X-AnyLabeling's names of shapes that are given by their corners, as polygons are."""
_WHY_NOT = {
    "cuboid": "which is a body in space, not an outline in the picture",
    **dict.fromkeys(("point", "points", "line", "linestrip"), "which has no area"),
}


def labelme_pictures(content: Mapping[str, Any], name: str) -> list[AnnotatedPicture]:
    """The picture of a LabelMe file.

    Args:
        content: The JSON.
        name: The file's name, for messages.

    Raises:
        MaskError: The file is damaged, or lacks the size of the picture.
    """
    shapes = content["shapes"]
    H = whole_number(content.get("imageHeight"), f"imageHeight of {name}")
    W = whole_number(content.get("imageWidth"), f"imageWidth of {name}")
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise MaskError(f"`shapes` of {name} is no list of shapes; save it again with LabelMe.")
    readers = (partial(_region, shape, f"Shape {at} of {name}", (H, W)) for at, shape in enumerate(shapes))
    return [AnnotatedPicture(str(content.get("imagePath") or ""), (H, W), *regions_of(readers))]


def _region(shape: Mapping[str, Any], where: str, size: tuple[int, int]) -> Region:
    label, group = str(shape.get("label") or "").strip(), shape.get("group_id")
    if not label:
        raise MaskError(f"{where} has no label, so nobody knows which object it is. Give it one.")
    kind = shape.get("shape_type") or "polygon"
    if kind not in (*_KINDS, *_FOUR_CORNERS):
        why = _WHY_NOT.get(str(kind), "which is not known here")
        raise NoAreaError(
            f"{where} ({label}) is a {kind}, {why}; expected {', '.join(_KINDS)}. Draw a polygon."
        )
    points = _points(shape.get("points"), where)
    owner = named(f"{label}\n{'' if group is None else group}", label, by_label=group is None)
    needed = 3 if kind in ("polygon", *_FOUR_CORNERS) else 2
    if len(points) < needed:
        raise NoAreaError(
            f"{where} ({label}) has {len(points)} points; a {kind} needs {needed}. Draw it again."
        )
    if kind == "mask":
        return Region(owner, partial(_mask, shape.get("mask"), points, size, where))
    return Region(owner, partial(_outline, kind, points, size))


def _points(points: Any, where: str) -> Float[np.ndarray, "K 2"]:
    pairs = points if isinstance(points, list) else []
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise MaskError(f"{where} has no points [[x, y], ...]; draw it again.")
    return np.array([[number(value, where) for value in pair] for pair in pairs], np.float64)


def _outline(kind: str, points: Float[np.ndarray, "K 2"], size: tuple[int, int]) -> BinaryMask:
    first, second = points[0], points[1]
    if kind == "circle":  # the middle, and a point on the rim
        return fill_circle((first[0], first[1]), float(np.hypot(*(second - first))), size)
    if kind == "rectangle" and len(points) == 2:
        return fill_box((first[0], first[1]), (second[0], second[1]), size)
    return fill_polygon(points, size)


def _mask(encoded: Any, points: Float[np.ndarray, "K 2"], size: tuple[int, int], where: str) -> BinaryMask:
    """The mask of a patch: a PNG as base64 text, and its corners by the first and the last pixel."""
    left, top = (round(float(value)) for value in points.min(axis=0))

    def explain(reason: object) -> MaskError:
        return MaskError(f"{where}: its mask cannot be read ({reason}); draw it again.")

    try:
        data = base64.b64decode(str(encoded), validate=True)
    except binascii.Error as error:
        raise explain(error) from error
    with opened_picture(io.BytesIO(data), explain, formats=("PNG",)) as picture:
        if picture.height > size[0] or picture.width > size[1]:
            raise explain("it is larger than the picture")
        patch = np.asarray(picture.convert("L")) > 0
    if left < 0 or top < 0 or top + patch.shape[0] > size[0] or left + patch.shape[1] > size[1]:
        raise MaskError(f"{where}: its mask lies outside the picture; draw it again.")
    mask = np.zeros(size, np.bool_)
    mask[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return mask
