"""COCO JSON: run lengths, compressed or not, and polygons.

Track ids (`track_id`, `attributes.track_id` or `instance_id`) become object ids. Without them, each
annotation of a single picture is an object; over several pictures each category is one, if no picture
shows it twice. Later annotations cover earlier ones. `iscrowd` is ignored: labelling programs set it for
every mask that is stored as run lengths.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinct.errors import MaskError
from tinct.interchange.imports.pictures import (
    AnnotatedObject,
    AnnotatedPicture,
    NoAreaError,
    Region,
    decode_runs,
    named,
    number,
    regions_of,
    whole_number,
)
from tinct.interchange.imports.polygons import fill_polygon
from tinct.io.masks import MaskWarning
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
    readers: dict[Any, list[Callable[[], Region]]] = {key: [] for key in images}
    for row, owner in zip(annotations, owners, strict=True):
        if row.get("image_id") not in images:
            raise MaskError(
                f"{_describe(row, name)} is of picture {row.get('image_id')!r}, which {name} does not list; "
                "export it again."
            )
        size = _size(images[row["image_id"]], name)
        readers[row["image_id"]].append(partial(_region, row, owner, size, _describe(row, name)))
    return [
        AnnotatedPicture(str(image.get("file_name") or ""), _size(image, name), *regions_of(readers[key]))
        for key, image in images.items()
    ]


def _region(row: _Row, owner: AnnotatedObject, size: tuple[int, int], where: str) -> Region:
    return Region(owner, partial(_mask, _checked(row.get("segmentation"), size, where), size, where))


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
    labelled = {at: named("", label) for at, label in enumerate(labels)}
    if any(one.label is not None for one in labelled.values()):  # background and void are no objects
        rows = [row for at, row in enumerate(annotations) if labelled[at].label is None]
        owners = iter(_owners(rows, categories, name) if rows else [])
        return [one if one.label is not None else next(owners) for one in labelled.values()]
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
    # An outline without the list around it, and corners as pairs, mean one thing only.
    in_pairs = len(shape) > 2 and all(isinstance(pair, list) and len(pair) == 2 for pair in shape)
    outlines = [shape] if in_pairs or not isinstance(shape[0], list) else shape
    polygons = [_polygon(outline, where) for outline in outlines]
    flat = [polygon for polygon in polygons if len(polygon) < 3]
    if len(flat) == len(polygons):
        raise NoAreaError(
            f"{where} has an outline of {len(flat[0])} points, which has no area; a polygon needs 3."
        )
    if flat:
        text = f"{where} has a part of {len(flat[0])} points, which has no area; it is left out."
        warnings.warn(text, MaskWarning, stacklevel=6)
    return polygons


def _polygon(polygon: Any, where: str) -> Float[np.ndarray, "K 2"]:
    values = polygon
    in_pairs = isinstance(polygon, list) and all(isinstance(p, list) and len(p) == 2 for p in polygon)
    if in_pairs:
        values = [value for pair in polygon for value in pair]
    if not isinstance(values, list) or not values or len(values) % 2:
        raise MaskError(f"{where} has a polygon that is not [x, y, x, y, x, y, ...]; export it again.")
    return np.array([number(value, where) for value in values], np.float64).reshape(-1, 2)


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
