"""COCO JSON: run lengths, compressed or not, and polygons.

Track ids (`track_id`, `attributes.track_id` or `instance_id`) become object ids. Without them, each
annotation of a single picture is an object; over several pictures each category is one, if no picture
shows it twice. Later annotations cover earlier ones. `iscrowd` is ignored: labelling programs set it for
every mask that is stored as run lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from tinct.errors import MaskError
from tinct.interchange.imports.pictures import (
    AnnotatedObject,
    AnnotatedPicture,
    Region,
    decode_runs,
    named,
    number,
    whole_number,
)
from tinct.interchange.imports.polygons import fill_polygon
from tinct.shapes import BinaryMask, Float

_Row = Mapping[str, Any]


def coco_pictures(content: _Row, name: str) -> list[AnnotatedPicture]:
    """The pictures of a COCO file.

    Args:
        content: The JSON.
        name: The file's name, for messages.

    Raises:
        MaskError: The file is damaged, refers to pictures or categories that it does not declare, or its
            objects cannot be identified across pictures.
    """
    images = {image.get("id"): image for image in _rows(content, "images", name)}
    annotations = _rows(content, "annotations", name)
    categories = {row.get("id"): str(row.get("name") or "") for row in _rows(content, "categories", name)}
    owners = _owners(annotations, categories, name)
    regions: dict[Any, list[Region]] = {key: [] for key in images}
    for row, owner in zip(annotations, owners, strict=True):
        if row.get("image_id") not in images:
            raise MaskError(
                f"{_describe(row, name)} is of picture {row.get('image_id')!r}, which {name} does not list; "
                "export it again."
            )
        size = _size(images[row["image_id"]], name)
        shape = _checked(row.get("segmentation"), size, _describe(row, name))
        regions[row["image_id"]].append(Region(owner, partial(_mask, shape, size, _describe(row, name))))
    return [
        AnnotatedPicture(str(image.get("file_name") or ""), _size(image, name), tuple(regions[key]))
        for key, image in images.items()
    ]


def _rows(content: _Row, part: str, name: str) -> list[_Row]:
    rows = content.get(part) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MaskError(f"`{part}` of {name} is no list of objects; export it again.")
    if any(not isinstance(row.get("id"), int | str | None) for row in rows):
        raise MaskError(f"`{part}` of {name} has an id that is no number; export it again.")
    return rows


def _describe(row: _Row, name: str) -> str:
    return f"Annotation {row.get('id')} of {name}"


def _size(image: _Row, name: str) -> tuple[int, int]:
    where = f"Picture {image.get('file_name')!r} of {name}"
    return whole_number(image.get("height"), where), whole_number(image.get("width"), where)


def _owners(annotations: list[_Row], categories: Mapping[Any, str], name: str) -> list[AnnotatedObject]:
    """The object of each annotation."""
    labels = [_label(row, categories, name) for row in annotations]
    tracks = [_track(row) for row in annotations]
    if all(track is not None for track in tracks):
        return [named(f"track {t}", label, t) for t, label in zip(tracks, labels, strict=True)]
    if any(track is not None for track in tracks):
        lacking = annotations[tracks.index(None)]
        raise MaskError(f"{_describe(lacking, name)} has no track id, but others have; give all of them one.")
    if len({row.get("image_id") for row in annotations}) == 1:
        return [named(f"annotation {at}", label) for at, label in enumerate(labels)]
    shown = Counter((row.get("image_id"), row.get("category_id")) for row in annotations)
    (picture, _), times = shown.most_common(1)[0] if shown else ((None, None), 0)
    if times > 1:
        raise MaskError(
            f"{name} has several pictures, picture {picture} shows one category {times} times, and no "
            "annotation has a track id, so nobody knows which object is which. Export it with track ids, or "
            "one picture alone."
        )
    ranks = {category: (rank, 0) for rank, category in enumerate(categories)}
    return [
        named(f"category {row.get('category_id')}", label, rank=ranks.get(row.get("category_id"), (0, 0)))
        for row, label in zip(annotations, labels, strict=True)
    ]


def _label(row: _Row, categories: Mapping[Any, str], name: str) -> str:
    category = row.get("category_id")
    if categories and category not in categories:
        raise MaskError(
            f"{_describe(row, name)} is of category {category!r}, which {name} does not list; "
            "export it again."
        )
    return categories.get(category, "")


def _track(row: _Row) -> int | None:
    attributes = row.get("attributes")
    inner = attributes.get("track_id") if isinstance(attributes, dict) else None
    for value in (row.get("track_id"), inner, row.get("instance_id")):
        if value is not None:
            return whole_number(value, f"The track id of annotation {row.get('id')}")
    return None


def _checked(shape: Any, size: tuple[int, int], where: str) -> Any:
    """Check a segmentation; polygons become arrays. MaskError if it is malformed."""
    if isinstance(shape, dict):
        if shape.get("size") != list(size):
            raise MaskError(
                f"{where} has run lengths of the size {shape.get('size')}, and its picture {list(size)} "
                "(rows, columns); export it again."
            )
        return shape
    if not isinstance(shape, list) or not shape:
        raise MaskError(f"{where} has no mask, perhaps a box only; export polygons or run lengths.")
    return [_polygon(polygon, where) for polygon in shape]


def _polygon(polygon: Any, where: str) -> Float[np.ndarray, "K 2"]:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise MaskError(f"{where} has a polygon that is not [x, y, x, y, x, y, ...]; export it again.")
    return np.array([number(value, where) for value in polygon], np.float64).reshape(-1, 2)


def _mask(shape: Any, size: tuple[int, int], where: str) -> BinaryMask:
    if isinstance(shape, list):
        mask = np.zeros(size, np.bool_)
        for polygon in shape:
            mask |= fill_polygon(polygon, size)
        return mask
    counts = shape.get("counts")
    if isinstance(counts, str):
        return _mask_of_counts(decode_counts(counts, where), size, where)
    numbers = [whole_number(count, where) for count in counts] if isinstance(counts, list) else []
    return _mask_of_counts(numbers, size, where)


def _mask_of_counts(counts: list[int], size: tuple[int, int], where: str) -> BinaryMask:
    """The mask of run lengths that go down the columns."""
    return decode_runs(counts, size[::-1], f"{where} has run lengths", "its picture").T


def decode_counts(text: str, where: str) -> list[int]:
    """Decode compressed run lengths (pycocotools, `common/maskApi.c`, `rleFrString`).

    Each number is written in groups of five bits, the lowest first: 48 + group, + 32 if more follow; the
    fifth bit of the last group is the sign. From the fourth number on they are differences to the last but
    one. They are decoded here, not by pycocotools, which leaves the rest of the mask undefined where the
    numbers fall short (version 2.0.11): files are untrusted.

    Args:
        text: The compressed counts.
        where: The name of the annotation in messages.

    Raises:
        MaskError: The text is damaged.
    """
    counts: list[int] = []
    value = bits = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64 or bits > 30:
            raise MaskError(f"{where} has damaged run lengths; export it again.")
        value |= (group & 31) << bits
        bits += 5
        if not group & 32:
            value -= (group & 16) << (bits - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = bits = 0
    if bits:
        raise MaskError(f"{where} has run lengths that were cut short; export it again.")
    return counts
