"""Manifests: which videos a batch has, with the prompts and options of each.

A manifest is a CSV, JSONL or Parquet file with a row per video, or a folder in which each video lies beside
its mask (`clip.mp4` and `clip.png`). Its rows are read when they are needed: a million take no memory.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tinct.batch.secrets import redacted
from tinct.batch.stores import absolute, filesystem, joined, name_of, opened, parent_of, reaching
from tinct.errors import OptionError, near_match
from tinct.inference.directions import check_direction
from tinct.inference.promptable import Box, Point
from tinct.inference.prompting import parse_box, parse_point
from tinct.io.atomic import path_below
from tinct.io.json_files import parse_json
from tinct.io.optional import import_optional

PROMPT_COLUMNS = ("masks", "points", "boxes")
CONFIG_COLUMNS = ("method", "variant", "preset", "fine_tune", "direction", "proposals")
COLUMNS = ("video", *PROMPT_COLUMNS, "frames", "name", *CONFIG_COLUMNS, "options")
"""What a row may have; other columns are left alone."""

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".gif")
MASK_SUFFIXES = (".png", ".json", ".xml", ".zip")
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class VideoRow:
    """One video of a batch.

    Attributes:
        name: Of its output, below `videos/`.
        video: Path or address.
        masks: Files of annotated frames, each with its frame's index, or None where the file says it.
        points: Of a frame and an object, each (frame, object id, point).
        boxes: Of a frame and an object, each (frame, object id, box).
        frames: START:STOP, as of `tinct segment --frames`; None for all.
        config: Fields of `SegmenterConfig` in the place of the batch's own.
    """

    name: str
    video: str
    masks: tuple[tuple[int | None, str], ...] = ()
    points: tuple[tuple[int, int, Point], ...] = ()
    boxes: tuple[tuple[int, int, Box], ...] = ()
    frames: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(values: Mapping[str, Any], folder: str = ".") -> VideoRow:
        """The row of a manifest's values.

        Args:
            values: By column.
            folder: What relative paths are relative to.

        Raises:
            OptionError: A value is missing or malformed.
        """
        plain = {str(key): _plain(value) for key, value in values.items()}
        values = {key: value for key, value in plain.items() if not _is_empty(value)}
        if "video" not in values:
            raise OptionError("A row names no video; give one in the column `video`.")
        video = joined(folder, str(values["video"]))
        masks = tuple(_mask(text, folder) for text in _texts(values, "masks"))
        points = tuple(parse_point(text) for text in _texts(values, "points"))
        boxes = tuple(parse_box(text) for text in _texts(values, "boxes"))
        config: dict[str, Any] = {key: str(values[key]) for key in CONFIG_COLUMNS if key in values}
        if "direction" in config:
            check_direction(config["direction"])
        if "options" in values:
            config["options"] = _options(values["options"])
        name = str(values.get("name") or PurePosixPath(name_of(video)).stem)
        frames = str(values["frames"]) if "frames" in values else None
        return VideoRow(name, video, masks, points, boxes, frames, config)

    def parts(self) -> tuple[VideoRow, ...]:
        """The row cut at its prompts: each part begins with one, and is a video of its own.

        Raises:
            OptionError: The frame of a prompt is unknown before the video is opened.
        """
        indices = [index for index, _ in self.masks]
        indices += [index for index, *_ in (*self.points, *self.boxes)]
        if None in indices:
            raise OptionError(
                f"{self.name} is to be cut at its prompts, and the frame of a mask is not given; write "
                "INDEX:FILE."
            )
        cuts = sorted({index for index in indices if index is not None})
        if len(cuts) < 2:
            return (self,)
        first, _, last = (self.frames or ":").partition(":")
        ends = [*map(str, cuts[1:]), last]
        starts = [first or "0", *map(str, cuts[1:])]
        return tuple(
            replace(
                self,
                name=f"{self.name}.{start}-{end or 'end'}",
                masks=tuple(entry for entry in self.masks if entry[0] == cut),
                points=tuple(entry for entry in self.points if entry[0] == cut),
                boxes=tuple(entry for entry in self.boxes if entry[0] == cut),
                frames=f"{start}:{end}",
            )
            for cut, start, end in zip(cuts, starts, ends, strict=True)
        )


@dataclass(frozen=True)
class Manifest:
    """The rows of a manifest, checked as far as that is possible without opening a video.

    Attributes:
        url: Of the file or folder.
        count: How many rows it has, parts of cut videos counted one by one.
        unused: Columns that mean nothing here.
        cut: Whether videos are cut at their prompts.
    """

    url: str
    count: int
    unused: tuple[str, ...]
    cut: bool = False

    @staticmethod
    def open(url: str, *, cut: bool = False) -> Manifest:
        """Read a manifest once, to check and count its rows.

        Raises:
            OptionError: It cannot be read, has no row, lacks a column, or two rows have one output.
        """
        url = absolute(url)
        known: dict[bytes, int] = {}
        columns: set[str] = set()
        unchecked, count = Manifest(url, 0, (), cut), 0
        for number, values in enumerate(_values_of(url), start=1):
            columns |= values.keys()
            if number == 1:
                _check_columns(url, columns)
            for row in unchecked._rows(number, values):
                count += 1
                _check_name(row.name, number, known)
        if not count:
            raise OptionError(f"{redacted(url)} holds no video.")
        return Manifest(url, count, tuple(sorted(columns - {*COLUMNS, "mask"})), cut)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[VideoRow]:
        for number, values in enumerate(_values_of(self.url), start=1):
            yield from self._rows(number, values)

    def _rows(self, number: int, values: Mapping[str, Any]) -> Iterable[VideoRow]:
        try:
            row = VideoRow.read(values, _folder_of(self.url))
            return row.parts() if self.cut else (row,)
        except OptionError as error:
            raise OptionError(f"Row {number} of {redacted(self.url)}: {error}") from None


def _check_columns(url: str, columns: set[str]) -> None:
    """OptionError if a manifest cannot be one."""
    if "video" not in columns:
        raise OptionError(
            f"{redacted(url)} has no column `video`, but {', '.join(sorted(columns))}. "
            f"{near_match('video', sorted(columns))}"
        )
    if not columns & {*PROMPT_COLUMNS, "mask"}:
        raise OptionError(
            f"{redacted(url)} has no column of prompts; give `masks` ([INDEX:]FILE), `points` "
            "(INDEX:ID:X,Y) or `boxes` (INDEX:ID:X0,Y0,X1,Y1)."
        )


def _check_name(name: str, number: int, known: dict[bytes, int]) -> None:
    """OptionError if the output of a row has no possible name, or that of another row."""
    path_below(Path("videos"), name, ".tmp", error=OptionError)
    if name.startswith("."):
        raise OptionError(f"Row {number} has the name {name!r}, which would be hidden; give another `name`.")
    # Some file systems take "Clip" and "clip" for one.
    key = hashlib.sha256(name.casefold().encode()).digest()[:12]
    if key in known:
        raise OptionError(
            f"The rows {known[key]} and {number} have one output, {name!r}; give each a `name` of its own."
        )
    known[key] = number


def _folder_of(url: str) -> str:
    """What the paths of a manifest are relative to: where it lies, or itself if it is a folder."""
    return parent_of(url) if _suffix(url) else url


def _suffix(url: str) -> str:
    suffix = PurePosixPath(name_of(url)).suffix.lower()
    return suffix if suffix in (".csv", ".jsonl", ".ndjson", ".parquet") else ""


def _values_of(url: str) -> Iterator[dict[str, Any]]:
    """The values of every row, by column."""
    suffix = _suffix(url)
    if suffix == "":
        yield from _values_of_folder(url)
        return
    with opened(url) as stream, reaching(url):
        if suffix == ".parquet":
            parquet = import_optional("pyarrow.parquet", "batch", "A manifest in Parquet")
            source = stream if stream.seekable() else io.BytesIO(stream.read())
            for batch in parquet.ParquetFile(source).iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
            return
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="" if suffix == ".csv" else None)
        if suffix == ".csv":
            yield from ({key: value for key, value in row.items() if key} for row in csv.DictReader(lines))
            return
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _object(line, number, url)


def _object(line: str, number: int, url: str) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"Line {number} of {redacted(url)} is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise OptionError(f"Line {number} of {redacted(url)} is no JSON object; expected one video a line.")
    return value


def _values_of_folder(url: str) -> Iterator[dict[str, Any]]:
    """A folder by convention: `clip.mp4`, or a folder `clip` of frames, beside `clip.png`."""
    fs, path = filesystem(url)
    with reaching(url):
        if not fs.isdir(path):
            raise OptionError(
                f"{redacted(url)} is neither a folder nor a .csv, .jsonl or .parquet file; give one of these."
            )
        entries = sorted(fs.ls(path, detail=True), key=lambda entry: str(entry["name"]))
    names = {PurePosixPath(entry["name"]).name: entry["type"] for entry in entries}
    masks = {PurePosixPath(name).stem: name for name in names if name.lower().endswith(MASK_SUFFIXES)}
    for name, kind in names.items():
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix.lower()
        if name.startswith("."):
            continue
        if kind == "directory" and name in masks:
            yield {"video": name, "masks": [masks[name]], "name": name}
        elif suffix in VIDEO_SUFFIXES:
            yield {"video": name, "masks": [masks[stem]] if stem in masks else []}


def _plain(value: Any) -> Any:
    """A value of a table, without NumPy: Ray Data has lists as arrays."""
    return value.tolist() if hasattr(value, "tolist") else value


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _texts(values: Mapping[str, Any], column: str) -> list[str]:
    """The entries of a cell: a list, or texts with semicolons between them; `mask` is `masks`."""
    value = values.get(column, values.get("mask", []) if column == "masks" else [])
    if isinstance(value, str):
        value = value.split(";")
    if not isinstance(value, list | tuple):
        raise OptionError(f"`{column}` is {value!r}; give texts in a list, or with semicolons between them.")
    return [str(entry).strip() for entry in value if str(entry).strip()]


def _mask(text: str, folder: str) -> tuple[int | None, str]:
    found = re.match(r"(\d+):(?!//)(.+)", text, re.ASCII)
    return (int(found[1]), joined(folder, found[2])) if found else (None, joined(folder, text))


def _options(value: Any) -> dict[str, Any]:
    try:
        options = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        options = None
    if not isinstance(options, Mapping):
        raise OptionError(f"`options` is {value!r}; give a JSON object of the method's options.")
    return {str(key): entry for key, entry in options.items() if entry is not None}
