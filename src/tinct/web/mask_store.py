"""The computed masks of a project, and which of them are stale.

The masks of every run are stored, so that rejecting a run or undoing a correction, however long ago, brings
back the masks from before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tinct.inference.directions import Direction
from tinct.web.project_file import ProjectFile


@dataclass(frozen=True)
class ComputedMask:
    """One computed mask.

    Attributes:
        index: Its frame.
        run: Its run's number.
        confidence: How sure the method is of it, from 0 to 1.
        objects: (id, confidence) of each object.
    """

    index: int
    run: int
    confidence: float
    objects: tuple[tuple[int, float], ...] = field(default=())


class MaskStore:
    """The computed masks of a project file. What is known of them is in memory, their pixels are not."""

    def __init__(self, file: ProjectFile) -> None:
        self._file = file
        self._of: dict[int, list[ComputedMask]] = {}
        for index, run, confidence, objects in file.masks():
            mask = ComputedMask(index, run, confidence, tuple(objects.items()))
            self._of.setdefault(index, []).append(mask)

    def add(self, mask: ComputedMask, png: bytes, soft: Mapping[int, bytes] | None = None) -> None:
        """Store a mask, in the place of an earlier one of its frame and run.

        Args:
            mask: What is known of it.
            png: The label map.
            soft: The probabilities of its objects as PNGs, by id, if they are stored.

        Raises:
            OutputError: It cannot be written.
        """
        self._file.add_mask(mask.index, mask.run, png, mask.confidence, dict(mask.objects), soft)
        others = [old for old in self.at(mask.index) if old.run != mask.run]
        self._of[mask.index] = sorted([*others, mask], key=lambda each: each.run)

    def at(self, index: int) -> Sequence[ComputedMask]:
        """The masks of a frame, in order of their runs."""
        return self._of.get(index, ())

    def frames(self) -> list[int]:
        """The frames that have a mask, in order."""
        return sorted(self._of)

    def all(self) -> Iterator[ComputedMask]:
        """Every mask, in no order."""
        return (mask for masks in self._of.values() for mask in masks)


def ranges(indices: Iterable[int]) -> list[list[int]]:
    """Increasing indices as [[first, last], ...]."""
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found


def is_stale(index: int, direction: Direction, changed: Sequence[int]) -> bool:
    """Whether a change of the prompts of frames `changed` (in order) would change the mask of frame `index`.

    A mask of a forward pass depends on the prompts before it and on its own; one of a backward pass on its
    own and those after it; `both` on all.
    """
    if not changed:
        return False
    return direction == "both" or (changed[0] <= index if direction == "forward" else changed[-1] >= index)
