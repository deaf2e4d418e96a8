"""The computed masks of a project on disk: `masks/<frame>.r<run>.<confidence in thousandths>.png`.

The name holds all there is to know, so that a mask and what is known of it appear in one instant, and
listing the folder is reading it. Every frame keeps its newest masks, so that undoing a correction brings
back the masks from before it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinct.shapes import LabelMap
from tinct.web.run_log import Direction

KEPT = 2
"""Masks of one frame that are kept, of different runs."""

_NAME = re.compile(r"(\d+)\.r(\d+)\.(\d{4})\.png")


@dataclass(frozen=True)
class ComputedMask:
    """One computed mask: its frame, its run's number, and how sure the method was, from 0 to 1."""

    index: int
    run: int
    confidence: float

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"{self.index:06d}.r{self.run}.{round(1000 * self.confidence):04d}.png"

    @staticmethod
    def named(name: str) -> ComputedMask | None:
        """The mask of a file's name; None for a file of another kind."""
        match = _NAME.fullmatch(name)
        return ComputedMask(int(match[1]), int(match[2]), int(match[3]) / 1000) if match else None

    def write(self, folder: Path, labels: LabelMap) -> None:
        """Write it, whole and lasting.

        Raises:
            OutputError: It cannot be written.
        """
        from tinct.io.mask_files import write_mask

        write_mask(folder / self.name, labels, durable=True)


class MaskStore:
    """What lies in a folder of computed masks. The worker writes the files; the server lists them.

    Args:
        folder: It is made if need be; halves of files that a kill left behind are removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._of: dict[int, list[ComputedMask]] = {}
        for path in folder.iterdir():
            mask = ComputedMask.named(path.name)
            if mask is not None:
                self._of.setdefault(mask.index, []).append(mask)
            elif ".part" in path.name:
                path.unlink(missing_ok=True)
        for masks in self._of.values():
            masks.sort(key=lambda mask: mask.run)

    def note(self, mask: ComputedMask) -> None:
        """A mask has been written; of the older ones of its frame only the newest are kept."""
        others = [old for old in self._of.get(mask.index, []) if old.name != mask.name]
        of_other_runs = [old for old in others if old.run != mask.run]
        kept = sorted([*of_other_runs, mask], key=lambda each: each.run)[-KEPT:]
        for old in others:
            if old not in kept:
                with suppress(OSError):  # swept away another time
                    self.path(old).unlink(missing_ok=True)
        self._of[mask.index] = kept

    def at(self, index: int) -> Sequence[ComputedMask]:
        """The masks of a frame, the newest last."""
        return self._of.get(index, ())

    def frames(self) -> list[int]:
        """The frames that have a mask, in order."""
        return sorted(self._of)

    def path(self, mask: ComputedMask) -> Path:
        """The file of a mask."""
        return self.folder / mask.name


def ranges(indices: Iterable[int]) -> list[list[int]]:
    """Increasing indices as [[first, last], ...]."""
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found


def overtaken(index: int, knows: Direction, changed: Sequence[int]) -> bool:
    """Whether a change of the painted frames `changed` (in order) would change a mask.

    A mask that was computed forwards knows the painted frames before it and its own; one that was computed
    backwards its own and those after it; `both` all of them.
    """
    if not changed:
        return False
    return knows == "both" or (changed[0] <= index if knows == "forward" else changed[-1] >= index)
