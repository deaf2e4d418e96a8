"""The zip that a benchmark's server takes, written once it is certain that the server will take it.

DAVIS 2017 (test-dev, test-challenge, and val): at the top a folder per sequence, in each a palette
PNG per frame of the frame's name and 480p size, the first frame's included, with the object ids of
the first annotation. YouTube-VOS (valid and test): the same below a folder `Annotations`, a PNG for
every frame of JPEGImages. The same masks give the same bytes.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from tinct.data.davis import Davis
from tinct.data.image_headers import read_header
from tinct.data.lists import first_names, known_sequences, known_splits, known_video_counts
from tinct.data.sequences import Sequence
from tinct.data.youtube_vos import YouTubeVos
from tinct.errors import DatasetError, MaskError, OptionError, near_match
from tinct.evaluation.predictions import Predictions, find_predictions
from tinct.inference.callbacks import ProgressCallback
from tinct.io.atomic import atomic_write, path_below
from tinct.io.image_files import opened_picture
from tinct.io.masks import object_ids_of, voc_palette
from tinct.io.regular_files import read_regular
from tinct.shapes import VOID


@dataclass(frozen=True)
class Server:
    """What a benchmark's server takes.

    Attributes:
        splits: Those that it scores; the first is the default.
        folder: What all paths in the zip begin with.
    """

    splits: tuple[str, ...]
    folder: str = ""


SERVERS = {
    "davis-2017": Server(("test-dev", "test-challenge", "val")),
    "youtube-vos": Server(("valid", "test"), "Annotations/"),
}
"""The benchmarks that are scored by a server."""


@dataclass(frozen=True)
class PackReport:
    """What was packed.

    Attributes:
        path: The zip.
        dataset: Such as "davis-2017".
        split: Such as "test-dev".
        sequences: How many.
        frames: How many masks.
        megabytes: The size of the zip.
        recoloured: How many grey masks were given the VOC palette on the way.
        checks: What the masks were checked against, in sentences, and what could not be checked.
    """

    path: Path
    dataset: str
    split: str
    sequences: int
    frames: int
    megabytes: float
    recoloured: int
    checks: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """The report in sentences, one per line."""
        packed = (
            f"{self.path}: {self.frames} masks of {self.sequences} sequences of {self.dataset} "
            f"{self.split}, {self.megabytes:.1f} MB."
        )
        palette = f"Grey masks that were given the palette, their ids unchanged: {self.recoloured}."
        return [packed, *([palette] if self.recoloured else []), *self.checks]


def pack(
    predictions: Path,
    dataset: str,
    out: Path,
    *,
    root: Path | None = None,
    split: str | None = None,
    progress: ProgressCallback | None = None,
) -> PackReport:
    """Check predicted masks and write the zip for the benchmark's server.

    Palette PNGs are copied byte for byte; grey label PNGs get the VOC palette. Without `root` less
    can be checked: of DAVIS the known numbers of frames and objects are taken, of YouTube-VOS only
    the number of videos; the report says so.

    Args:
        predictions: In a layout that `find_predictions` understands.
        dataset: "davis-2017" or "youtube-vos".
        out: The zip; a file of that name is replaced.
        root: The dataset with its frames and first annotations.
        split: By default "test-dev" of DAVIS, "valid" of YouTube-VOS.
        progress: Called with a sequence's name once it is packed, how many are done, and how many there are.

    Raises:
        OptionError: There is no such server or split, or `out` is no .zip.
        DatasetError: The server would reject the masks, or `root` lacks something. All problems are
            listed, by kind, and no zip is written.
        OutputError: The zip cannot be written.
    """
    server, split = _server(dataset, split)
    if out.suffix.lower() != ".zip":
        raise OptionError(f"{out} came as the file to write; the server takes a zip, such as {out.stem}.zip.")
    found = find_predictions(predictions)
    expected, checks, problems = _expectations(dataset, split, root, found)
    _compare_names(found, expected, problems)
    common = {name: found[name] for name in sorted(found.keys() & expected.keys())}
    recoloured = 0
    with atomic_write(out) as part:
        with zipfile.ZipFile(part, "w") as archive:
            for done, (name, files) in enumerate(common.items(), 1):
                for frame, entry in _checked_masks(name, files, expected[name], problems):
                    path = path_below(Path(server.folder), f"{name}/{frame}", ".png")
                    _write_entry(archive, path.as_posix(), entry.data)
                    recoloured += entry.recoloured
                if progress is not None:
                    progress(name, done, len(common))
        problems.raise_any(predictions, f"{dataset} {split}")
    frames = sum(map(len, common.values()))
    megabytes = out.stat().st_size / 1e6
    return PackReport(out, dataset, split, len(common), frames, megabytes, recoloured, tuple(checks))


@dataclass(frozen=True)
class _Expected:
    """What a sequence's masks must be like; None stands for what is not known."""

    frames: tuple[str, ...] | None
    size: tuple[int, int] | None
    object_ids: frozenset[int] | None


@dataclass(frozen=True)
class _Entry:
    """A file as it goes into the zip."""

    data: bytes
    recoloured: bool


@dataclass
class _Problems:
    """What is wrong, by kind, in the order in which the kinds were met first."""

    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, place: str) -> None:
        self.places.setdefault(kind, []).append(place)

    def raise_any(self, predictions: Path, what: str) -> None:
        """DatasetError if there is any."""
        if not self.places:
            return
        lines = [f"{kind} ({len(places)}): {first_names(places)}" for kind, places in self.places.items()]
        listed = "\n  ".join(lines)
        raise DatasetError(
            f"The server of {what} would refuse the masks in {predictions}:\n  {listed}\n"
            "Mend them, and pack again; no zip was written."
        )


def _server(dataset: str, split: str | None) -> tuple[Server, str]:
    if dataset not in SERVERS:
        raise OptionError(
            f"No server scores {dataset!r}; where the truth is public, `tinct score` gives the figures. "
            f"{near_match(dataset, SERVERS)}"
        )
    server = SERVERS[dataset]
    if split is not None and split not in server.splits:
        raise OptionError(
            f"No server scores the split {split!r} of {dataset}. {near_match(split, server.splits)}"
        )
    return server, split or server.splits[0]


def _expectations(
    dataset: str, split: str, root: Path | None, found: Predictions
) -> tuple[dict[str, _Expected], list[str], _Problems]:
    """What each sequence must be like, in which words it was checked, and what is wrong with `root`."""
    problems = _Problems()
    expected: dict[str, _Expected] = {}
    checks = []
    if dataset == "davis-2017" and split in known_splits(dataset):
        expected = {
            name: _Expected(
                tuple(f"{i:05d}" for i in range(known.frames or 0)),
                known.size_480p,
                frozenset(range(1, known.objects + 1)),
            )
            for name, known in known_sequences(dataset, split).items()
        }
        checks.append(f"Checked against the known list of {split}: sequences, frames, sizes, object ids.")
    if root is not None:
        there = _of_root(dataset, split, root)
        for name, sequence in there.items():
            known = expected.get(name)
            if known is not None and known.frames != sequence.frames:
                kind = f"sequences whose frames in {root} are not the known ones; see `tinct datasets check`"
                problems.add(kind, name)
        expected |= there
        checks.append(f"Checked against {root}: frames, their sizes, the ids of the first annotations.")
    if not expected:
        _count_videos(dataset, split, found, problems)
        expected = {name: _Expected(None, None, None) for name in found}
        checks.append("Not checked, because no dataset was given: names, frames, sizes and object ids.")
    return expected, checks, problems


def _of_root(dataset: str, split: str, root: Path) -> dict[str, _Expected]:
    if dataset == "youtube-vos":
        return {sequence.name: _of_sequence(sequence) for sequence in YouTubeVos(root, split)}
    of_davis = Davis(root, split, year="2017", annotated="first")
    return {sequence.name: _of_sequence(sequence) for sequence in of_davis}


def _of_sequence(sequence: Sequence) -> _Expected:
    ids = [i for labels in sequence.prompts().values() for i in object_ids_of(labels)]
    frames = tuple(frame.stem for frame in sequence.frames)
    return _Expected(frames, read_header(sequence.frames[0]).size, frozenset(ids))


def _count_videos(dataset: str, split: str, found: Predictions, problems: _Problems) -> None:
    """What can be said of the names when neither the dataset nor a list of its frames is there."""
    counts = known_video_counts(split) if dataset == "youtube-vos" else {}
    if not counts:
        raise OptionError(
            f"The sequences of {dataset} {split} are not known without the dataset; give its root (--root)."
        )
    if len(found) not in counts.values():
        releases = ", ".join(f"{number} in {year}" for year, number in counts.items())
        problems.add(f"wrong number of videos, where {split} has {releases}", f"{len(found)} are there")


def _compare_names(found: Predictions, expected: Mapping[str, _Expected], problems: _Problems) -> None:
    for name in sorted(expected.keys() - found.keys()):
        problems.add("missing sequences", name)
    for name in sorted(found.keys() - expected.keys()):
        problems.add("sequences that the split lacks", name)
    for name in sorted(found.keys() & expected.keys()):
        frames = expected[name].frames
        if frames is None:
            continue
        for frame in sorted(set(frames) - found[name].keys()):
            problems.add("missing masks, where every frame needs one, the first too", f"{name}/{frame}")
        for frame in sorted(found[name].keys() - set(frames)):
            problems.add("masks that belong to no frame of the split", f"{name}/{frame}")


def _checked_masks(
    name: str, files: Mapping[str, Path], expected: _Expected, problems: _Problems
) -> Iterator[tuple[str, _Entry]]:
    """The masks of a sequence that may go into the zip; what is wrong with the others is noted."""
    size = expected.size
    for frame, path in sorted(files.items()):
        place = f"{name}/{frame}"
        if not re.fullmatch(r"\w[\w. -]*/\w[\w. -]*", place, re.ASCII):
            problems.add("names with characters that not every server unpacks", place)
            continue
        read = _read(path, place, problems)
        if read is None:
            continue
        picture, entry = read
        # Where the dataset does not say it, all masks of a sequence must agree.
        size = size or (picture.height, picture.width)
        if (picture.height, picture.width) != size:
            problems.add(
                "masks of another size than their frame",
                f"{place} ({picture.width}×{picture.height}, not {size[1]}×{size[0]})",
            )
        _check_ids(picture, place, expected, problems)
        yield frame, entry


def _read(path: Path, place: str, problems: _Problems) -> tuple[Pictures.Image, _Entry] | None:
    """A mask, as a picture whose values are the ids and as what goes into the zip."""
    try:
        data = read_regular(path)
        with opened_picture(io.BytesIO(data), MaskError, formats=("PNG",)) as picture:
            picture.load()
    except (OSError, MaskError):
        problems.add("files that cannot be read as PNG", place)
        return None
    if picture.mode == "P":
        return picture, _Entry(data, False)
    if picture.mode in ("L", "1"):
        labels = Pictures.fromarray(np.asarray(picture, np.uint8))
        return labels, _Entry(_with_palette(labels), True)
    problems.add("masks that are neither palette nor 8-bit grey PNGs", f"{place} ({picture.mode})")
    return None


def _check_ids(picture: Pictures.Image, place: str, expected: _Expected, problems: _Problems) -> None:
    ids = {i for i, count in enumerate(picture.histogram()) if count and i}
    if VOID in ids:
        problems.add("masks with 255, which is void and no object; write ids from 1 on", place)
    strange = sorted(ids - {VOID} - expected.object_ids) if expected.object_ids is not None else []
    if strange:
        problems.add("masks with ids that the first annotation lacks", f"{place} ({first_names(strange)})")


def _with_palette(labels: Pictures.Image) -> bytes:
    coloured = labels.copy()
    coloured.putpalette(voc_palette().tobytes())
    file = io.BytesIO()
    coloured.save(file, format="PNG")
    return file.getvalue()


def _write_entry(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Stored, because PNG is packed already; the date and the rights are the same on every machine."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data, compress_type=zipfile.ZIP_STORED)
