"""What can be wrong with the files of one sequence, as data."""

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
from tinct.errors import DatasetError
from tinct.shapes import BACKGROUND, VOID

Kind = Literal["layout", "absent", "list", "count", "missing", "extra", "broken", "size", "palette", "ids"]
"""What a finding is about."""

SOFT_VALUES = 16
"""More grey values than these beside 255 are a mask's soft edges, not its objects."""

GREY = frozenset({"L", "LA", "1"})
PALETTE = frozenset({"P"})


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a dataset.

    Attributes:
        kind: What it is about.
        sequence: Whose it is; empty where it is the whole dataset's.
        path: The file or folder, if there is one to name.
        message: What is wrong, to be read after the path or the name: "is cut short".
    """

    kind: Kind
    sequence: str
    path: Path | None
    message: str


@dataclass(frozen=True)
class SequenceFiles:
    """A sequence as it lies on disk, and what it should be.

    Attributes:
        name: Such as "bear".
        frames: The frames by name, in order.
        masks: The annotations by frame name, in order.
        annotated: Which frames need an annotation: "all", the "first", or "any" one of them.
        mask_modes: The kinds of image that its annotations may be (Pillow's names); None for all.
        frame_count: How many frames it is known to have.
        object_ids: The ids that its objects are known to have.
        ids_at_once: All of its objects are there from the first annotation on, without gaps in the ids.
        size: (H, W) that its frames should have; None if any will do.
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
    """Everything that is wrong with a sequence's files.

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
    refused = []
    for finding in _check_modes(files, headers):
        refused.append(finding.path)
        yield finding
    masks = [file for file in files.masks.values() if all(p in headers for p in _mask_paths([file]))]
    yield from _check_ids(files, [file for file in masks if file not in refused], deep)
    if deep:
        yield from _decode(files, [path for path in files.frames.values() if path in headers])


def _check_pairs(files: SequenceFiles) -> Iterator[Finding]:
    """Frames against their known number, and against the annotations."""
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
    """Keep the header of a whole file; of any other say what is wrong."""
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
    """Frames against the expected size, or the most common one; masks against their frames."""
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
    """Annotations that are of another kind than the dataset's."""
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
    """Whether it can be read as a label map: colours that are greys can."""
    try:
        read_annotation(path)
    except DatasetError:
        return False
    return True


def _check_ids(files: SequenceFiles, masks: list[AnnotationFile], deep: bool) -> Iterator[Finding]:
    """The ids of the first annotation against what is known; of the others too if `deep`."""
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
        wrong = _wrong_ids(files, ids) if first is None else _strange_ids(files, ids, first)
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
    """What is wrong with the ids of the first annotation, if anything is."""
    if not ids:
        return "shows no object, though it is the first annotation"
    if files.object_ids is not None and (
        ids - files.object_ids or (files.ids_at_once and ids != files.object_ids)
    ):
        return f"holds {_ids(ids)}; {_ids(files.object_ids)} were expected"
    if files.object_ids is None and files.ids_at_once and len(ids) != max(ids):
        return f"holds {_ids(ids)}: there is a gap, and 1 to {len(ids)} were expected"
    return ""


def _strange_ids(files: SequenceFiles, ids: frozenset[int], first: frozenset[int]) -> str:
    """The ids of a later annotation that should not be there."""
    known = first if files.ids_at_once else files.object_ids
    strange = ids - known if known is not None else frozenset()
    return f"holds {_ids(strange)}, which the sequence does not have" if strange else ""


def _check_object_files(files: SequenceFiles, masks: list[AnnotationFile], deep: bool) -> Iterator[Finding]:
    """One picture per object: how many objects there are; every picture decoded if `deep`."""
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
    """The files of annotations, one after the other."""
    paths: list[Path] = []
    for file in masks:
        paths += [path for _, path in file.files] if isinstance(file, ObjectFiles) else [file]
    return paths


def _pixels(size: tuple[int, int] | None) -> str:
    return f"{size[1]}×{size[0]}" if size else "unknown"


def _ids(ids: Iterable[int]) -> str:
    """The ids in words; at most ten are named."""
    numbers = sorted(ids)
    named = ", ".join(map(str, numbers[:10])) + (
        f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    )
    return f"id{'s' if len(numbers) != 1 else ''} {named or 'none'}"
