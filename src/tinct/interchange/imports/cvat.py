"""CVAT XML 1.1, for images and for video: polygons, boxes and masks.

For images, all shapes of a label are one object; a `group_id` above 0 distinguishes two objects of one
label. For video, every track is an object, and its id is that of the track; in a file with a track 0, as CVAT
writes them, that of the track and 1, since a label map has 0 for the background. Of a track, the frames that
somebody drew (keyframes) are taken; frames in between, which CVAT interpolates, are not. Shapes are drawn by
`z_order`, then in the order of the file. Objects are in the order in which the task declares its labels.
Shapes without an area (points, lines) are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from tinct.errors import MaskError
from tinct.interchange.imports.pictures import (
    AnnotatedPicture,
    NoAreaError,
    Region,
    decode_runs,
    named,
    number,
    regions_of,
    whole_number,
)
from tinct.interchange.imports.polygons import fill_box, fill_polygon
from tinct.io.masks import MaskWarning
from tinct.shapes import BinaryMask

_KINDS = ("polygon", "box", "mask")
_NOT_DRAWN = ("tag",)
"""Elements among the shapes that describe the whole picture."""


def cvat_pictures(text: str, name: str, size: tuple[int, int]) -> list[AnnotatedPicture]:
    """The pictures of a CVAT file.

    Args:
        text: The XML.
        name: The file's name, for messages.
        size: (H, W) of the video, for tracks of a file that does not say its own.

    Raises:
        MaskError: The file is damaged or of another kind, has a document type or entities, or uses a label
            that it does not declare.
    """
    root = parse_safely(text, name)
    if root.tag != "annotations":
        raise MaskError(f"{name} is XML, but not of CVAT (<{root.tag}>); export it as CVAT for images 1.1.")
    labels = [str(node.text or "").strip() for node in root.findall("meta//labels/label/name")]
    pictures = [_picture(image, labels, name) for image in root.findall("image")]
    return pictures + _frames_of_tracks(root, labels, name, size)


def parse_safely(text: str, name: str) -> Element:
    """Parse XML without a document type.

    Nested entities grow without bound, and external ones read files; neither is needed here.

    Raises:
        MaskError: The text has a document type, or is damaged.
    """

    def reject(*_: object) -> NoReturn:
        raise MaskError(
            f"{name} has a document type (<!DOCTYPE>), which can hide entities; CVAT writes none. Remove it."
        )

    tree = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reject
    parser.EntityDeclHandler = reject
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise MaskError(f"{name} is damaged XML ({error}); export it again.") from error
    return tree.close()


def _picture(image: Element, labels: list[str], name: str) -> AnnotatedPicture:
    file_name = image.get("name", "")
    where = f"Picture {file_name!r} of {name}"
    size = whole_number(image.get("height"), where), whole_number(image.get("width"), where)
    shapes = [shape for shape in image if shape.tag not in _NOT_DRAWN]
    shapes.sort(key=lambda shape: _height(shape, where))
    readers = (partial(_region, shape, labels, size, where) for shape in shapes)
    return AnnotatedPicture(file_name, size, *regions_of(readers))


def _frames_of_tracks(
    root: Element, labels: list[str], name: str, size: tuple[int, int]
) -> list[AnnotatedPicture]:
    """The frames in which a track has a keyframe that is not `outside`."""
    if len({track.get("task_id") for track in root.findall("track")}) > 1:
        raise MaskError(f"{name} has the tracks of several tasks; export the task of this video alone.")
    original = root.find("meta//original_size")
    if original is not None:
        extent = [original.findtext(side) for side in ("height", "width")]
        rows, columns = (whole_number(value, f"original_size of {name}") for value in extent)
        size = rows, columns
    drawn: dict[int, list[tuple[Element, Element]]] = {}
    for track in root.findall("track"):
        for shape in track:
            if shape.get("keyframe", "1") == "1" and shape.get("outside", "0") == "0":
                frame = whole_number(shape.get("frame"), f"A frame of track {track.get('id')} of {name}")
                drawn.setdefault(frame, []).append((track, shape))
    shift = _shift_of_ids(root.findall("track"), name) if drawn else 0
    pictures = []
    for frame, shapes in sorted(drawn.items()):
        where = f"Frame {frame} of {name}"
        shapes.sort(key=lambda pair: _height(pair[1], where))
        readers = (partial(_tracked, *pair, labels, size, where, shift) for pair in shapes)
        pictures.append(AnnotatedPicture("", size, *regions_of(readers), index=frame))
    return pictures


def _shift_of_ids(tracks: list[Element], name: str) -> int:
    """What is added to the ids of all tracks: 1, with a warning, if there is a track 0."""
    ids = sorted(whole_number(track.get("id"), f"The id of a track of {name}") for track in tracks)
    if 0 not in ids:
        return 0
    shown = ", ".join(f"track {i} is object {i + 1}" for i in ids[:3])
    text = f"{name} numbers its tracks from 0, which no object can be called, so 1 is added to each: {shown}"
    warnings.warn(f"{text}{', …' if len(ids) > 3 else ''}.", MaskWarning, stacklevel=6)
    return 1


def _height(shape: Element, where: str) -> int:
    return whole_number(shape.get("z_order", "0"), f"{where}: z_order")


def _region(shape: Element, labels: list[str], size: tuple[int, int], where: str) -> Region:
    label = _label(shape, labels, where)
    group = whole_number(shape.get("group_id") or "0", f"{where}: group_id")
    rank = (labels.index(label) if labels else 0, group)
    owner = named(f"{label}\n{group}", label, rank=rank, by_label=not group)
    return Region(owner, _mask_reader(shape, label, size, where))


def _tracked(
    track: Element, shape: Element, labels: list[str], size: tuple[int, int], where: str, shift: int
) -> Region:
    label = _label(track, labels, where)
    number_of_track = whole_number(track.get("id"), f"{where}: id of a track") + shift
    owner = named(f"track {number_of_track}", label, number_of_track, rank=(number_of_track, 0))
    return Region(owner, _mask_reader(shape, label, size, where))


def _label(labelled: Element, labels: list[str], where: str) -> str:
    label = labelled.get("label", "").strip()
    if not label or (labels and label not in labels):
        known = ", ".join(labels) or "none"
        raise MaskError(
            f"{where} has a {labelled.tag} of the label {label!r}, which its task does not know ({known}); "
            "export it again."
        )
    return label


def _mask_reader(shape: Element, label: str, size: tuple[int, int], where: str) -> Callable[[], BinaryMask]:
    """A function that draws a shape's mask; numbers are parsed at once, so that errors come early."""
    if shape.tag not in _KINDS:
        raise NoAreaError(
            f"{where} has a {shape.tag} ({label}), which is not read; expected {', '.join(_KINDS)}. Draw a "
            "polygon or a mask."
        )
    where = f"{where}: {shape.tag} {label!r}"

    def read(*keys: str) -> list[float]:
        return [number(shape.get(key), f"{where}, {key}") for key in keys]

    if shape.tag == "box":
        left, top, right, bottom = read("xtl", "ytl", "xbr", "ybr")
        turned = number(shape.get("rotation") or "0", f"{where}, rotation")
        return partial(fill_box, (left, top), (right, bottom), size, turned)
    if shape.tag == "mask":
        corner = whole_number(shape.get("top"), where), whole_number(shape.get("left"), where)
        extent = whole_number(shape.get("height"), where), whole_number(shape.get("width"), where)
        counts = [whole_number(part, f"{where}, rle") for part in shape.get("rle", "").split(",")]
        return partial(_patch, counts, corner, extent, size, where)
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise MaskError(f"{where} has no points x,y;x,y;x,y; export it again.")
    points = np.array([[number(value, where) for value in pair] for pair in pairs], np.float64)
    if len(points) < 3:
        raise NoAreaError(f"{where} has {len(points)} points; a polygon needs 3. Draw it again.")
    return partial(fill_polygon, points, size)


def _patch(
    counts: list[int], corner: tuple[int, int], extent: tuple[int, int], size: tuple[int, int], where: str
) -> BinaryMask:
    """A mask from run lengths within its box, along the rows (unlike COCO's).

    Args:
        counts: The run lengths.
        corner: (row, column) of the box's first pixel.
        extent: (rows, columns) of the box.
        size: (H, W) of the picture.
        where: The name of the shape in messages.

    Raises:
        MaskError: The box leaves the picture, or the run lengths do not fill it.
    """
    (top, left), (rows, columns) = corner, extent
    if min(*corner, rows - 1, columns - 1) < 0 or top + rows > size[0] or left + columns > size[1]:
        raise MaskError(f"{where} lies outside its picture of {size[1]}×{size[0]} pixels; export it again.")
    mask = np.zeros(size, np.bool_)
    patch = decode_runs(counts, extent, f"{where} has run lengths", "its box")
    mask[top : top + rows, left : left + columns] = patch
    return mask
