"""Sequences of a dataset: the frames of a video with their label maps."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Names
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinct.data.annotations import AnnotationFile, read_annotation
from tinct.data.images import read_rgb
from tinct.data.mixture import MixedEntries, fingerprint, joined
from tinct.errors import DatasetError, OptionError, near_match
from tinct.io.masks import object_ids_of
from tinct.shapes import BACKGROUND, VOID, Image, LabelMap


@dataclass(frozen=True)
class Sequence:
    """One video of a dataset: its frames and the label maps of its annotated frames.

    Attributes:
        name: Such as "bear".
        frames: Image files in order.
        label_maps: The annotation of each frame; None if it is not annotated.
        merged: Whether all objects are read as object 1, as in DAVIS-2016.
        objects_start_later: Whether objects may begin after the first frame, as in YouTube-VOS.
    """

    name: str
    frames: tuple[Path, ...]
    label_maps: tuple[AnnotationFile | None, ...]
    merged: bool = False
    objects_start_later: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of the annotated frames."""
        return tuple(i for i, file in enumerate(self.label_maps) if file is not None)

    def read_frame(self, index: int) -> Image:
        """Read frame `index` as uint8 RGB; DatasetError if its file is broken."""
        return read_rgb(self.frames[index])

    def read_labels(self, index: int) -> LabelMap:
        """Read label map `index`; DatasetError if the frame is not annotated or its file is broken."""
        file = self.label_maps[index]
        if file is None:
            raise DatasetError(
                f"Frame {self.frames[index].stem!r} of {self.name!r} is not annotated; its annotated frames "
                f"are {self.annotated}."
            )
        labels = read_annotation(file)
        return _one_object(labels) if self.merged else labels

    def prompts(self) -> dict[int, LabelMap]:
        """The prompts of a semi-supervised method: each object in its first annotated frame.

        Returns:
            Frame index → label map of the objects that are new in that frame, and void. Only the first
            annotated frame is read, unless objects may start later.

        Raises:
            DatasetError: No object is annotated, or a file is broken.
        """
        prompts: dict[int, LabelMap] = {}
        known: set[int] = set()
        for index in self.annotated if self.objects_start_later else self.annotated[:1]:
            labels = self.read_labels(index)
            new = set(object_ids_of(labels)) - known
            if new:
                prompts[index] = _only(labels, new)
                known |= new
        if not prompts:
            raise DatasetError(
                f"The annotations of {self.name!r} show no object to begin with; one with an id from 1 to "
                f"254 was expected in {next(filter(None, self.label_maps), 'its first frame')}."
            )
        return prompts

    def of_annotated(self) -> Sequence:
        """The annotated frames alone."""
        frames = tuple(self.frames[i] for i in self.annotated)
        return replace(self, frames=frames, label_maps=tuple(self.label_maps[i] for i in self.annotated))

    def thinned(self, every: int, most: int | None = None) -> Sequence:
        """Every `every`-th frame, and at most `most` of these."""
        frames, label_maps = self.frames[::every][:most], self.label_maps[::every][:most]
        return replace(self, frames=frames, label_maps=label_maps)


class SequenceDataset(MixedEntries[Sequence]):
    """A dataset: sequences in order."""

    @classmethod
    def mixed(cls, sets: Names[tuple[SequenceDataset, float]]) -> SequenceDataset:
        """Several datasets as one, each with its weight; a single one as it is."""
        return sets[0][0] if len(sets) == 1 else SequenceDataset(*joined(sets))

    def describe(self) -> str:
        """The number of sequences and frames."""
        return f"{len(self)} sequences of {sum(len(sequence) for sequence in self)} frames"

    def fingerprint(self) -> str:
        """What tells the sequences and their frames from others."""
        return fingerprint(f"{s.name}/{frame.stem}" for s in self for frame in s.frames)


def select(names: Names[str], only: Collection[str] | None, where: str) -> tuple[str, ...]:
    """The names in `only`, in the order of `names`; all if it is None.

    Raises:
        OptionError: `only` is empty, or holds an unknown name; `where` is for the message.
    """
    if only is None:
        return tuple(names)
    if not only:
        raise OptionError(f"No sequence of {where} was chosen; name one, or leave the choice out.")
    for name in only:
        if name not in names:
            raise OptionError(f"Sequence {name!r} is not in {where}. {near_match(name, names)}")
    return tuple(name for name in names if name in only)


def _one_object(labels: LabelMap) -> LabelMap:
    """All objects as object 1; void stays void."""
    merged = np.asarray(labels != BACKGROUND, np.uint8)
    merged[labels == VOID] = VOID
    return merged


def _only(labels: LabelMap, ids: set[int]) -> LabelMap:
    """A label map of only these ids and void; others become background."""
    table = np.zeros(256, np.uint8)
    values = [*ids, VOID]
    table[values] = values
    return np.asarray(table[labels], np.uint8)
