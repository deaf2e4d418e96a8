"""The computed masks of a project on disk: `masks/<frame>.r<run>.<confidence in thousandths>.png`.

The name holds all metadata, so that a mask and its metadata appear in one instant, and listing the folder
reads them all. The newest masks of every frame are stored, so that undoing a correction also brings back
the masks from before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinct.inference.directions import Direction
from tinct.shapes import LabelMap

MAX_MASKS_PER_FRAME = 2
"""Number of masks that are stored per frame, of different runs."""

_NAME = re.compile(r"(\d+)\.r(\d+)\.(\d{4})\.png")


@dataclass(frozen=True)
class ComputedMask:
    """One computed mask: its frame, its run's number, and the confidence of the method, from 0 to 1."""

    index: int
    run: int
    confidence: float

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.index:06d}.r{self.run}.{round(1000 * self.confidence):04d}.png"

    @staticmethod
    def from_name(name: str) -> ComputedMask | None:
        """The mask of a file's name; None for a file of another kind."""
        match = _NAME.fullmatch(name)
        return ComputedMask(int(match[1]), int(match[2]), int(match[3]) / 1000) if match else None

    def write(self, folder: Path, labels: LabelMap) -> None:
        """Write the file, atomically and durably.

        Raises:
            OutputError: The file cannot be written.
        """
        from tinct.io.mask_files import write_mask

        write_mask(folder / self.name, labels, durable=True)


class MaskStore:
    """A folder of computed masks. The worker writes the files; the server lists them.

    Args:
        folder: The folder, created if missing; partial files that a kill left behind are removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._of: dict[int, list[ComputedMask]] = {}
        for path in folder.iterdir():
            mask = ComputedMask.from_name(path.name)
            if mask is not None:
                self._of.setdefault(mask.index, []).append(mask)
            elif ".part" in path.name:
                path.unlink(missing_ok=True)
        for masks in self._of.values():
            masks.sort(key=lambda mask: mask.run)

    def add(self, mask: ComputedMask) -> None:
        """Add a mask that was written, and delete the older ones of its frame beyond the newest."""
        others = [old for old in self._of.get(mask.index, []) if old.name != mask.name]
        of_other_runs = [old for old in others if old.run != mask.run]
        newest = sorted([*of_other_runs, mask], key=lambda each: each.run)[-MAX_MASKS_PER_FRAME:]
        for old in others:
            if old not in newest:
                with suppress(OSError):  # deleted at the next time
                    self.path(old).unlink(missing_ok=True)
        self._of[mask.index] = newest

    def at(self, index: int) -> Sequence[ComputedMask]:
        """The masks of a frame, in order of their runs."""
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


def is_stale(index: int, direction: Direction, changed: Sequence[int]) -> bool:
    """Whether a change of the prompts of frames `changed` (in order) would change the mask of frame `index`.

    A mask of a forward pass depends on the prompts before it and on its own; one of a backward pass on its
    own and those after it; `both` on all.
    """
    if not changed:
        return False
    return direction == "both" or (changed[0] <= index if direction == "forward" else changed[-1] >= index)
