"""What the known faults of the DAVIS-2017 toolkit do to a score, on three made-up sets.

    python examples/toolkit_faults.py

Each set is scored twice: as tinct does, and with `compat="davis2017-evaluation"`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tinct.evaluation.results import Scores
from tinct.evaluation.score import score_folders, scoring_rules
from tinct.io.mask_files import write_mask
from tinct.shapes import LabelMap

TOOLKIT = "davis2017-evaluation"
SIZE = (60, 80)


def frame(**squares: tuple[int, int]) -> LabelMap:
    """A label map with a square of 20×20 pixels per object: `id3=(top, left)`."""
    labels = np.zeros(SIZE, np.uint8)
    for name, (top, left) in squares.items():
        labels[top : top + 20, left : left + 20] = int(name.removeprefix("id"))
    return labels


def write(folder: Path, frames: Sequence[LabelMap]) -> Path:
    """One sequence's masks."""
    (folder / "made-up").mkdir(parents=True, exist_ok=True)
    for index, labels in enumerate(frames):
        write_mask(folder / "made-up" / f"{index:05d}.png", labels)
    return folder


def row(fault: str, figure: str, of: Callable[[Scores], float], root: Path) -> str:
    """The figure as tinct and as the toolkit has it."""
    values = []
    for compat in (None, TOOLKIT):
        value = of(score_folders(root / "pred", root / "gt", scoring_rules("davis-2017", compat=compat)))
        values.append("NaN" if math.isnan(value) else f"{value:.3f}")
    return f"| {fault} | {figure} | {values[0]} | {values[1]} |"


def decay_of_a_long_sequence(root: Path) -> str:
    """302 frames; the mask is whole at first, and three quarters of it are lost in the end."""
    whole, quarter = frame(id1=(5, 5)), np.zeros(SIZE, np.uint8)
    quarter[5:15, 5:15] = 1
    write(root / "gt", [whole] * 302)
    write(root / "pred", [whole] * 200 + [quarter] * 102)
    return row("frame numbers in eight bits (302 frames)", "J decay", lambda s: s.statistics["J"].decay, root)


def object_that_comes_later(root: Path) -> str:
    """Object 2 comes in frame 5, and is never found."""
    write(root / "gt", [frame(id1=(5, 5))] * 5 + [frame(id1=(5, 5), id2=(30, 50))] * 5)
    write(root / "pred", [frame(id1=(5, 5))] * 10)
    return row("objects counted in frame 0 alone", "J mean", lambda s: s.statistics["J"].mean, root)


def gap_in_the_ids(root: Path) -> str:
    """Objects 1 and 4; one is found, the other is not. 2 and 3 do not exist."""
    write(root / "gt", [frame(id1=(5, 5), id4=(30, 50))] * 10)
    write(root / "pred", [frame(id1=(5, 5))] * 10)
    return row("ids without an object count as perfect", "J mean", lambda s: s.statistics["J"].mean, root)


def main() -> None:
    """Print the table."""
    print(f"| fault | figure | tinct | `--compat {TOOLKIT}` |\n|---|---|---|---|")
    for case in (decay_of_a_long_sequence, object_that_comes_later, gap_in_the_ids):
        with tempfile.TemporaryDirectory() as folder:
            print(case(Path(folder)))


if __name__ == "__main__":
    main()
