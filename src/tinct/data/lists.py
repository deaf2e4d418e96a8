"""The lists of sequences: those that a dataset's ImageSets hold, and those that are known to belong to it.

The known lists lie beside this file, as `lists/<dataset>.json`, each with its sources. Our own parts of
DAVIS-2016's 30 training sequences lie there as `lists/davis/<split>.txt`: `fit` and `dev` (24 and 6), and
three folds, each of which leaves out ten others (`fold0-fit`, `fold0-dev`, ...).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tinct.errors import DatasetError, MissingDatasetError, OptionError, near_match
from tinct.io.atomic import path_below
from tinct.io.regular_files import read_regular, readable

DATASETS = ("davis-2016", "davis-2017", "youtube-vos", "segtrack-v2", "plain")
"""What can be checked and evaluated; each is scored under the protocol of its name."""

_OWN_LISTS = Path(__file__).with_name("lists") / "davis"


@dataclass(frozen=True)
class KnownSequence:
    """What is known of a sequence of a benchmark.

    Attributes:
        name: Such as "bear".
        split: Such as "train".
        frames: How many it has; None where sources disagree (SegTrack v2).
        objects: How many its first frame shows; in DAVIS-2016 all are one.
        temporal_stability: Whether DAVIS-2016 measures T on it: no strong occlusion.
        size_480p: (H, W) in pixels at the resolution called 480p; None where there is none.
    """

    name: str
    split: str
    frames: int | None
    objects: int
    temporal_stability: bool = False
    size_480p: tuple[int, int] | None = None


@cache
def known_sequences(dataset: str, split: str | None = None) -> Mapping[str, KnownSequence]:
    """The sequences of a benchmark by name, in order.

    Args:
        dataset: "davis-2016", "davis-2017" or "segtrack-v2".
        split: One of `known_splits`, or "trainval"; all of them if None.

    Raises:
        OptionError: There is no such dataset or split.
    """
    content = _content(dataset, "splits")
    splits = known_splits(dataset)
    if split is not None and split not in (*splits, "trainval"):
        raise OptionError(f"{dataset} has no split {split!r}. {near_match(split, splits)}")
    wanted = {None: splits, "trainval": ("train", "val")}.get(split, (str(split),))
    known: dict[str, KnownSequence] = {}
    for name in wanted:
        for sequence, facts in content["splits"][name].items():
            known[sequence] = _known(sequence, name, facts, content)
    return MappingProxyType(known)


def known_splits(dataset: str) -> tuple[str, ...]:
    """The splits of a benchmark whose sequences are known; OptionError if there is no such dataset."""
    return tuple(_content(dataset, "splits")["splits"])


def known_video_counts(split: str) -> Mapping[str, int]:
    """How many videos a split of YouTube-VOS has, by the release's year; none for an unknown split."""
    counts: Mapping[str, Mapping[str, int]] = _content("youtube-vos", "videos")["videos"]
    return MappingProxyType(dict(counts.get(split, {})))


@readable(DatasetError)
def list_names(root: Path, split: str, *, year: str = "2016", resolution: str = "480p") -> tuple[str, ...]:
    """The names of a split's sequences, in the order of the list in a DAVIS root.

    Understood are a name per line, and DAVIS-2016's own lists, which name the frame and the mask of
    every frame ("/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png"). Where the root has no
    list of the name, one of `own_splits` is taken from the package.

    Args:
        root: The folder that holds ImageSets.
        split: The list's name without ".txt".
        year: The list is looked for in ImageSets/<year>, for 2016 in ImageSets/<resolution> too.
        resolution: "480p", "1080p" or "Full-Resolution".

    Raises:
        DatasetError: There is no such list, or it is empty.
    """
    if not root.is_dir():
        raise MissingDatasetError(f"There is no folder {root}; give the dataset's root.")
    listing = find_list(root, split, year=year, resolution=resolution)
    if listing is None:
        folder = root / "ImageSets" / year
        lists = sorted(
            {path.stem for each in _folders(root, year, resolution) for path in each.glob("*.txt")}
        )
        hint = (
            near_match(split, [*lists, *own_splits()])
            if lists
            else "Give the folder that holds JPEGImages, Annotations and ImageSets as the root."
        )
        raise MissingDatasetError(f"Split {split!r} has no list {folder / split}.txt. {hint}")
    names = read_list(listing)
    if not names:
        raise DatasetError(f"{listing} names no sequence; list one name per line.")
    return names


def list_files(root: Path, *, year: str = "2016", resolution: str = "480p") -> dict[str, Path]:
    """The lists that `list_names` can read, by split."""
    found = {p.stem: p for each in _folders(root, year, resolution)[::-1] for p in each.glob("[!.]*.txt")}
    return dict(sorted(found.items()))


def own_splits() -> tuple[str, ...]:
    """The parts of DAVIS's training sequences whose lists come with the package."""
    return tuple(sorted(file.stem for file in _OWN_LISTS.glob("*.txt")))


def find_list(root: Path, split: str, *, year: str = "2016", resolution: str = "480p") -> Path | None:
    """The file that `list_names` reads: the root's, else the package's own; None if there is none."""
    found = list_files(root, year=year, resolution=resolution).get(split)
    return _OWN_LISTS / f"{split}.txt" if found is None and split in own_splits() else found


def read_list(listing: Path) -> tuple[str, ...]:
    """The sequences that a list names, each once, in order; DatasetError if it is no text."""
    try:
        lines = read_regular(listing).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{listing} cannot be read as a list ({error}); one name per line.") from error
    firsts = [line.split()[0] for line in lines if line.strip()]
    names = tuple(dict.fromkeys(Path(first).parent.name if "/" in first else first for first in firsts))
    for name in names:
        path_below(listing.parent, name, error=DatasetError)
    return names


def first_names(names: Collection[object], most: int = 5) -> str:
    """The first of some names, and how many more there are: "bear, boat and 3 more"."""
    shown = ", ".join(str(name) for name in list(names)[:most])
    rest = len(names) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


def _folders(root: Path, year: str, resolution: str) -> tuple[Path, ...]:
    lists = root / "ImageSets"
    return (lists / year, lists / resolution) if year == "2016" else (lists / year,)


def _known(name: str, split: str, facts: Mapping[str, Any], content: Mapping[str, Any]) -> KnownSequence:
    size = (content["height"], facts.get("width", content["width"])) if "height" in content else None
    stable = facts.get("temporal_stability", False)
    return KnownSequence(name, split, facts.get("frames"), facts["objects"], stable, size)


@cache
def _content(dataset: str, key: str) -> Mapping[str, Any]:
    files = sorted(Path(__file__).with_name("lists").glob("*.json"))
    contents = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    known = [name for name, content in contents.items() if key in content]
    if dataset not in known:
        raise OptionError(f"There is no list of the {key} of {dataset!r}. {near_match(dataset, known)}")
    content: Mapping[str, Any] = contents[dataset]
    return content
