"""Where training samples come from: sets of videos and of photos, in several layouts, and their mix."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tinct.data.coco import CocoPhotos
from tinct.data.davis import Annotated, Davis
from tinct.data.held_out import held_out
from tinct.data.images import read_indices
from tinct.data.lists import list_files
from tinct.data.sequences import SequenceDataset
from tinct.data.static_images import SALIENT_ABOVE, Photos, StaticImages
from tinct.data.youtube_vos import YouTubeVos
from tinct.errors import DatasetError, OptionError, near_match

VIDEO_LAYOUTS = ("davis-2016", "davis-2017", "youtube-vos")
PHOTO_LAYOUTS = ("stills", "saliency", "coco")
LAYOUTS = (*VIDEO_LAYOUTS, *PHOTO_LAYOUTS)


@dataclass(frozen=True)
class DataSet:
    """One set of training data.

    Attributes:
        layout: One of `LAYOUTS`.
        path: Its folder; of "coco" also its JSON file.
        weight: Its share of the samples, relative to the other sets of videos, or of photos.

    Raises:
        OptionError: There is no such layout, or the weight is not above 0.
    """

    layout: str
    path: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise OptionError(f"There is no layout {self.layout!r}. {near_match(self.layout, LAYOUTS)}")
        if not self.weight > 0:
            raise OptionError(
                f"{self.path} was given the weight {self.weight:g}; weights are above 0. Leave out a set "
                "that is not wanted."
            )

    @property
    def of_videos(self) -> bool:
        """Whether it holds videos, not photos."""
        return self.layout in VIDEO_LAYOUTS


@dataclass(frozen=True)
class Sources:
    """Sets of training data.

    Attributes:
        sets: Videos and photos.
        split: The list of DAVIS to train on; of YouTube-VOS it is always `train`.
        keep_held_out: Also learn from the photos that the occlusion benchmark is made from; a recipe
            whose weights are measured on it says no.
    """

    sets: tuple[DataSet, ...]
    split: str = "train"
    keep_held_out: bool = True

    @classmethod
    def of_folders(
        cls, davis: Path | None = None, split: str = "train", stills: Path | None = None, year: str = "2016"
    ) -> Sources:
        """Data in the layout of DAVIS, and a folder of photos with masks."""
        videos = () if davis is None else (DataSet(f"davis-{year}", davis),)
        return cls((*videos, *(() if stills is None else (DataSet("stills", stills),))), split)

    @property
    def davis(self) -> Path | None:
        """The root of the first set in the layout of DAVIS."""
        return next((each.path for each in self.sets if each.layout.startswith("davis-")), None)

    @property
    def stills(self) -> tuple[DataSet, ...] | None:
        """The sets of photos; None if there are none."""
        return tuple(each for each in self.sets if not each.of_videos) or None

    def videos(self) -> SequenceDataset:
        """The sequences, each frame of which is annotated.

        Raises:
            OptionError: There is no set of videos.
            DatasetError: Something of it is missing.
        """
        sets = [each for each in self.sets if each.of_videos]
        if not sets:
            raise OptionError("This stage needs videos; give their folder with --data.")
        return SequenceDataset.mixed([(_videos(each, self.split), each.weight) for each in sets])

    def first_frames(self) -> SequenceDataset:
        """The sequences of DAVIS, of which the first frame alone needs an annotation.

        Raises:
            OptionError: There is no set in the layout of DAVIS.
            DatasetError: Something of it is missing.
        """
        sets = [each for each in self.sets if each.layout.startswith("davis-")]
        if not sets:
            raise OptionError(
                "This stage needs videos in the layout of DAVIS; give their folder with --data."
            )
        return SequenceDataset.mixed([(_videos(each, self.split, "first"), each.weight) for each in sets])

    def photos(self) -> Photos:
        """The photos.

        Raises:
            OptionError: There is no set of photos.
            DatasetError: Something of it is missing.
        """
        if self.stills is None:
            raise OptionError("This stage needs photos with masks; give their folder with --stills.")
        return Photos.mixed([(_photos(each, self.keep_held_out), each.weight) for each in self.stills])

    def describe(self) -> str:
        """The sets by what they hold, wherever they lie: a resumed run must agree with it."""
        parts = []
        for each in self.sets:
            data: SequenceDataset | Photos = (
                _videos(each, self.split, "first") if each.of_videos else _photos(each, self.keep_held_out)
            )
            parts.append(f"{each.layout} ({data.describe()}, {data.fingerprint()}) × {each.weight:g}")
        return ", ".join(parts)


@cache
def _videos(of: DataSet, split: str, annotated: Annotated = "all") -> SequenceDataset:
    if of.layout == "youtube-vos":
        inside = (of.path / "JPEGImages").is_dir()
        root, folder = (of.path.parent, of.path.name) if inside else (of.path, "train")
        return YouTubeVos(root, folder, unannotated=False)
    return Davis(of.path, split, year=of.layout.removeprefix("davis-"), annotated=annotated)


@cache
def _photos(of: DataSet, keep_held_out: bool) -> Photos:
    without = None if keep_held_out else held_out
    if of.layout == "coco":
        return CocoPhotos(of.path, without=without)
    return StaticImages(of.path, without=without, saliency=of.layout == "saliency")


def sources_of(
    data: Sequence[str], *, stills: Path | None = None, split: str = "train", year: str | None = None
) -> Sources:
    """The sets that `--data [LAYOUT=]PATH[:WEIGHT]` and `--stills` name.

    Raises:
        OptionError: A layout does not exist, a weight is not above 0, or a set came twice.
        DatasetError: The layout of a folder is not said and cannot be recognised.
    """
    sets = [parse_set(text, year) for text in data]
    if stills is not None:
        sets.append(DataSet(_stills(stills), stills))
    if twice := [each for number, each in enumerate(sets) if each.path in [s.path for s in sets[:number]]]:
        raise OptionError(
            f"{twice[0].path} came twice as training data; give it once, with a weight such as "
            f"{twice[0].path}:2 if it is to count more."
        )
    return Sources(tuple(sets), split)


def parse_set(text: str, year: str | None = None) -> DataSet:
    """A set as the command line writes it: `PATH`, `PATH:WEIGHT`, `LAYOUT=PATH` or `LAYOUT=PATH:WEIGHT`.

    Args:
        text: What came.
        year: Of the lists of DAVIS, where the layout does not say it.

    Raises:
        OptionError: The layout does not exist, or the weight is not above 0.
        DatasetError: The layout is not said and cannot be recognised.
    """
    layout, separator, rest = text.partition("=")
    if not separator or "/" in layout or Path(text).exists():
        layout, rest = "", text
    weighted = re.fullmatch(r"(.+):(\d+(?:\.\d*)?|\.\d+)", rest)
    path, weight = (Path(weighted[1]), float(weighted[2])) if weighted else (Path(rest), 1.0)
    if layout == "davis":
        layout = _davis(path, year)
    return DataSet(layout or recognise(path, year), path, weight)


def recognise(path: Path, year: str | None = None) -> str:
    """The layout of a set by what its folder holds.

    Args:
        path: The folder, or a COCO file.
        year: Of the lists of DAVIS; by default 2016 where there are such, else 2017.

    Raises:
        DatasetError: It is none that is known.
    """
    if path.suffix == ".json":
        return "coco"
    if not path.is_dir():
        raise DatasetError(f"There is no folder {path}; give one with training data.")
    if (path / "ImageSets").is_dir():
        return _davis(path, year)
    if any((folder / "JPEGImages").is_dir() for folder in (path, path / "train")):
        return "youtube-vos"
    if any(path.glob("annotations/instances_*.json")):
        return "coco"
    if any((folder.parent / "masks").is_dir() for folder in path.rglob("images")):
        return _stills(path)
    if any(path.glob("*.json")):
        return "coco"
    names = ", ".join(sorted(entry.name for entry in path.iterdir())[:6]) or "nothing"
    raise DatasetError(
        f"The layout of {path} is not known; it holds {names}. Expected were ImageSets (DAVIS), "
        "train/JPEGImages (YouTube-VOS), images beside masks (photos), or annotations/instances_*.json "
        f"(COCO). Give the folder that holds these, or name the layout: --data LAYOUT={path} with one of "
        f"{', '.join(LAYOUTS)}."
    )


LOOKED_AT = 20
"""The number of masks from which it is told whether a folder of photos is of saliency."""


def _stills(path: Path) -> str:
    """Saliency if the first masks hold no small number, as ids are, but large ones, as white is."""
    masks = itertools.islice(sorted(path.rglob("masks/*.png")), LOOKED_AT)
    values = {int(value) for mask in masks for value in np.unique(read_indices(mask)[0])}
    return (
        "saliency" if values and max(values) > SALIENT_ABOVE and not values & set(range(1, 10)) else "stills"
    )


def _davis(path: Path, year: str | None) -> str:
    if year is None:
        year = "2016" if list_files(path, year="2016") or not list_files(path, year="2017") else "2017"
    return f"davis-{year}"
