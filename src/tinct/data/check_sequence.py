"""Checks of the files of one sequence; faults are data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tinct.data.annotations import AnnotationFile, ObjectFiles, read_annotation
from tinct.data.image_headers import ImageHeader, read_header
from tinct.data.images import read_indices, read_rgb
from tinct.data.lists import first_names
from tinct.errors import DatasetError
from tinct.shapes import BACKGROUND, VOID

Kind = Literal["layout", "absent", "list", "count", "missing", "extra", "broken", "size", "palette", "ids"]
"""The kind of a finding."""

SOFT_VALUES = 16
"""The number of grey values beside 255 above which they are soft edges, not objects."""

GREY = frozenset({"L", "LA", "1"})
PALETTE = frozenset({"P"})


@dataclass(frozen=True)
class Finding:
    """One fault of a dataset.

    Attributes:
        kind: The kind of fault.
        sequence: The name of the sequence; empty for faults of the whole dataset.
        path: The file or folder, if there is one.
        message: The predicate for the path or name: "is cut short".
    """

    kind: Kind
    sequence: str
    path: Path | None
    message: str


@dataclass(frozen=True)
class SequenceFiles:
    """The files of a sequence, and what they should be.

    Attributes:
        name: Such as "bear".
        frames: The frames by name, in order.
        masks: The annotations by frame name, in order.
        annotated: Which frames need an annotation: "all", the "first", or "any" one of them.
        mask_modes: The allowed modes of annotations (Pillow's names); None for all.
        frame_count: The known number of frames.
        object_ids: The known object ids.
        ids_at_once: Whether the first annotation holds all objects, with ids without gaps.
        size: (H, W) that its frames should have; None for any.
    """

    name: str
    frames: dict[str, Path]
    masks: dict[str, AnnotationFile]
    annotated: Literal["all", "first", "any"] = "any"
    mask_modes: frozenset[str] | None = None
    frame_count: int | None = None
    object_ids: frozenset[int] | None = None
    ids_at_once: bool = False
    size: tuple[int, int] | None = None


def check_sequence(files: SequenceFiles, *, deep: bool) -> Iterator[Finding]:
    """Find the faults of a sequence's files.

    Args:
        files: The sequence.
        deep: Decode every file; otherwise heads and ends are read, and the first annotation decoded.
    """
    yield from _check_pairs(files)
    headers: dict[Path, ImageHeader] = {}
    for path in (*files.frames.values(), *_mask_paths(files.masks.values())):
        reason = _read_into(headers, path)
        if reason:
            yield Finding("broken", files.name, path, reason)
    yield from _check_sizes(files, headers)
    bad_modes = []
    for finding in _check_modes(files, headers):
        bad_modes.append(finding.path)
        yield finding
    masks = [file for file in files.masks.values() if all(p in headers for p in _mask_paths([file]))]
    yield from _check_ids(files, [file for file in masks if file not in bad_modes], deep)
    if deep:
        yield from _decode(files, [path for path in files.frames.values() if path in headers])


def _check_pairs(files: SequenceFiles) -> Iterator[Finding]:
    """Compare the frames with their known number, and with the annotations."""
    if files.frame_count is not None and files.frames and len(files.frames) != files.frame_count:
        yield Finding("count", files.name, None, f"has {len(files.frames)} frames of {files.frame_count}")
    if files.frames:
        wanted = {"all": list(files.frames), "first": list(files.frames)[:1], "any": []}[files.annotated]
        for name in wanted:
            if name not in files.masks:
                yield Finding("missing", files.name, files.frames[name], "has no annotation")
        for name in files.masks:
            if name not in files.frames:
                path = _mask_paths([files.masks[name]])[0]
                yield Finding("extra", files.name, path, "is an annotation without a frame")
    elif files.masks:
        yield Finding("missing", files.name, None, f"has {len(files.masks)} annotations, but no frame")
    if not files.masks and files.annotated == "any":
        yield Finding("missing", files.name, None, "has no annotation")


def _read_into(headers: dict[Path, ImageHeader], path: Path) -> str:
    """Store the header of an intact file; else return what is wrong with it."""
    try:
        header = read_header(path)
    except DatasetError:
        empty = path.is_file() and not path.stat().st_size
        return "is empty" if empty else "is no image that can be read"
    if header.ends_early:
        return "is cut short: its end is missing"
    headers[path] = header
    return ""


def _check_sizes(files: SequenceFiles, headers: dict[Path, ImageHeader]) -> Iterator[Finding]:
    """Compare frames with the expected or most common size, and masks with their frames."""
    sizes = {name: headers[path].size for name, path in files.frames.items() if path in headers}
    usual = files.size or (Counter(sizes.values()).most_common(1)[0][0] if sizes else None)
    for name, size in sizes.items():
        if size != usual:
            yield Finding("size", files.name, files.frames[name], f"is {_pixels(size)}, not {_pixels(usual)}")
    for name, file in files.masks.items():
        wanted = sizes.get(name, usual)
        for path in _mask_paths([file]):
            size_of_mask = headers[path].size if path in headers else wanted
            if size_of_mask != wanted:
                message = f"is {_pixels(size_of_mask)}, but its frame {_pixels(wanted)}"
                yield Finding("size", files.name, path, message)


def _check_modes(files: SequenceFiles, headers: dict[Path, ImageHeader]) -> Iterator[Finding]:
    """Find annotations of another mode than the dataset's."""
    modes = files.mask_modes
    for path in _mask_paths(files.masks.values()):
        mode = headers[path].mode if path in headers else None
        if modes is None or mode is None or mode in modes:
            continue
        if mode in GREY:
            yield Finding(
                "palette", files.name, path, "is a grey image, where one with a palette was expected"
            )
        elif mode not in ("RGB", "RGBA"):
            yield Finding("palette", files.name, path, f"is of mode {mode}, where 8 bits were expected")
        elif not modes & GREY or not _reads(path):
            yield Finding("palette", files.name, path, f"is in colours ({mode}), not an object id per pixel")


def _reads(path: Path) -> bool:
    """Whether it can be read as a label map, as grey RGB images can."""
    try:
        read_annotation(path)
    except DatasetError:
        return False
    return True


def _check_ids(files: SequenceFiles, masks: list[AnnotationFile], deep: bool) -> Iterator[Finding]:
    """Check the ids of the first annotation; of the others too if `deep`."""
    if any(isinstance(file, ObjectFiles) for file in masks):
        yield from _check_object_files(files, masks, deep)
        return
    first: frozenset[int] | None = None
    for path in _mask_paths(masks if deep else masks[:1]):
        try:
            pixels, _ = read_indices(path)
        except DatasetError:
            yield Finding("broken", files.name, path, "cannot be decoded")
            continue
        values = frozenset(np.flatnonzero(np.bincount(pixels.ravel(), minlength=256)).tolist())
        yield from (Finding(kind, files.name, path, text) for kind, text in _check_values(files, values))
        ids = (
            frozenset({1}) if VOID in values and values <= {BACKGROUND, VOID} else values - {BACKGROUND, VOID}
        )
        wrong = _wrong_ids(files, ids) if first is None else _unexpected_ids(files, ids, first)
        if wrong:
            yield Finding("ids", files.name, path, wrong)
        first = ids if first is None else first


def _check_values(files: SequenceFiles, values: frozenset[int]) -> Iterator[tuple[Kind, str]]:
    between = values - {BACKGROUND, VOID}
    if files.mask_modes == PALETTE:
        if VOID in values:
            yield "palette", "holds 255 (void), which this dataset's annotations do not"
    elif VOID in values and len(between) > SOFT_VALUES:
        yield "palette", f"holds {len(between)} values between 0 and 255: soft edges, or a photo"


def _wrong_ids(files: SequenceFiles, ids: frozenset[int]) -> str:
    """The fault of the ids of the first annotation; empty if there is none."""
    if not ids:
        return "shows no object, though it is the first annotation"
    if files.object_ids is not None and (
        ids - files.object_ids or (files.ids_at_once and ids != files.object_ids)
    ):
        return f"holds {_ids(ids)}; {_ids(files.object_ids)} were expected"
    if files.object_ids is None and files.ids_at_once and len(ids) != max(ids):
        return f"holds {_ids(ids)}: there is a gap, and 1 to {len(ids)} were expected"
    return ""


def _unexpected_ids(files: SequenceFiles, ids: frozenset[int], first: frozenset[int]) -> str:
    """The unexpected ids of a later annotation; empty if there are none."""
    known = first if files.ids_at_once else files.object_ids
    unexpected = ids - known if known is not None else frozenset()
    return f"holds {_ids(unexpected)}, which the sequence does not have" if unexpected else ""


def _check_object_files(files: SequenceFiles, masks: list[AnnotationFile], deep: bool) -> Iterator[Finding]:
    """Check annotations with an image per object: the ids, and the images if `deep`."""
    objects = [file for file in masks if isinstance(file, ObjectFiles)]
    ids = frozenset(object_id for file in objects for object_id, _ in file.files)
    if files.object_ids is not None and ids != files.object_ids:
        message = f"holds {_ids(ids)}; {_ids(files.object_ids)} were expected"
        yield Finding("ids", files.name, None, message)
    for path in _mask_paths(objects) if deep else ():
        try:
            read_indices(path)
        except DatasetError:
            yield Finding("broken", files.name, path, "cannot be decoded")


def _decode(files: SequenceFiles, paths: Iterable[Path]) -> Iterator[Finding]:
    for path in paths:
        try:
            read_rgb(path)
        except DatasetError:
            yield Finding("broken", files.name, path, "cannot be decoded")


def _mask_paths(masks: Iterable[AnnotationFile]) -> list[Path]:
    """The files of annotations as one list."""
    paths: list[Path] = []
    for file in masks:
        paths += [path for _, path in file.files] if isinstance(file, ObjectFiles) else [file]
    return paths


def _pixels(size: tuple[int, int] | None) -> str:
    return f"{size[1]}×{size[0]}" if size else "unknown"


def _ids(ids: Iterable[int]) -> str:
    """The ids as text; ten at most."""
    numbers = sorted(ids)
    return f"id{'s' if len(numbers) != 1 else ''} {first_names(numbers, 10) or 'none'}"
