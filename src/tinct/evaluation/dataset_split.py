"""What is evaluated: the sequences of a dataset's split, where they lie, and their frames as videos."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tinct.data.davis import Davis
from tinct.data.lists import DATASETS
from tinct.data.plain import PlainFolders, default_folders
from tinct.data.segtrack import SegTrack
from tinct.data.sequences import Sequence, SequenceDataset
from tinct.data.youtube_vos import YouTubeVos
from tinct.errors import DatasetError, OptionError, near_match
from tinct.io.video import Video

WITHOUT_SPLITS = ("segtrack-v2", "plain")
"""Datasets without lists: a split that is asked for is passed over."""

LEAST_FRAMES = 3
"""A protocol that scores neither the first nor the last frame has one left."""


@dataclass(frozen=True)
class DatasetSplit:
    """The sequences of a dataset that are evaluated.

    Attributes:
        dataset: One of `DATASETS`; also the protocol.
        root: The dataset in its official layout.
        split: The list; None where there are none (`WITHOUT_SPLITS`), whatever was given.
        resolution: Of DAVIS: "480p", "1080p" or "Full-Resolution".
        sequences: Only these.
        max_frames: Only this number of frames from the beginning of each, for a trial; the scores say so.

    Raises:
        OptionError: So few frames of a sequence leave nothing to score.
    """

    dataset: str
    root: Path
    split: str | None = None
    resolution: str = "480p"
    sequences: Collection[str] | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.dataset in WITHOUT_SPLITS:
            object.__setattr__(self, "split", None)
        if self.max_frames is not None and self.max_frames < LEAST_FRAMES:
            raise OptionError(
                f"max_frames = {self.max_frames} came; it starts at {LEAST_FRAMES}, because the first and "
                "the last frame may not be scored."
            )

    @cached_property
    def videos(self) -> SequenceDataset:
        """The sequences, each whole and with its annotations; DAVIS-2016's objects are one.

        Raises:
            OptionError: There is no such dataset or sequence, or it needs a split and none came.
            DatasetError: It lacks something.
        """
        if self.dataset == "segtrack-v2":
            return SegTrack(self.root, only=self.sequences)
        if self.dataset == "plain":
            return PlainFolders(*default_folders(self.root), only=self.sequences)
        if self.dataset not in DATASETS:
            raise OptionError(f"There is no dataset {self.dataset!r}. {near_match(self.dataset, DATASETS)}")
        if self.split is None:
            raise OptionError(f"{self.dataset} has several splits and none came; name one, such as 'val'.")
        if self.dataset == "youtube-vos":
            return YouTubeVos(self.root, self.split, only=self.sequences)
        year = self.dataset.removeprefix("davis-")
        return Davis(
            self.root,
            self.split,
            year=year,
            resolution=self.resolution,
            only=self.sequences,
            annotated="first" if self.split.startswith("test") else "all",
            merge_objects=year == "2016",
        )

    @property
    def folders(self) -> tuple[Path, Path]:
        """Where the dataset has its frames, and where `find_truth` finds its annotations."""
        if self.dataset.startswith("davis"):
            return self.root / "JPEGImages" / self.resolution, self.root / "Annotations" / self.resolution
        if self.dataset == "youtube-vos":
            return self.root / str(self.split) / "JPEGImages", self.root
        return (
            default_folders(self.root) if self.dataset == "plain" else (self.root / "JPEGImages", self.root)
        )

    @property
    def described(self) -> dict[str, Any]:
        """What a run's scores say of the data."""
        words: dict[str, Any] = {"dataset": self.dataset, "split": self.split}
        return words | ({"resolution": self.resolution} if self.dataset.startswith("davis") else {})


def open_frames(sequence: Sequence) -> Video:
    """The frames of a sequence as a video, whose masks are then called as the frames are.

    Raises:
        DatasetError: Their folder holds other images too, or in another order.
        VideoError: They are of different sizes, or one has no readable header.
    """
    folder = sequence.frames[0].parent
    video = Video.open(folder)
    names = tuple(file.stem for file in sequence.frames)
    if tuple(video.names) != names:
        differing = sorted(set(video.names) ^ set(names))
        found = (
            f"{len(differing)} of them differ, such as {differing[0]!r}" if differing else "in another order"
        )
        raise DatasetError(
            f"{folder} holds {len(video)} images, and {len(names)} frames of {sequence.name!r} were expected "
            f"({found}); keep its own frames alone in it."
        )
    return video
