"""The figures of a run: one JSON object per line, and TensorBoard where it is installed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinct.errors import OutputError
from tinct.io.atomic import atomic_write
from tinct.io.regular_files import read_regular

FILE_NAME = "curve.jsonl"


def append_figures(folder: Path, stage: str, step: int, seconds: float, figures: Mapping[str, float]) -> None:
    """Add a line: the stage, its steps done, the run's seconds so far, and figures.

    Raises:
        OutputError: It cannot be written.
    """
    line = {
        "stage": stage,
        "step": step,
        "seconds": round(seconds, 1),
        **{name: round(value, 5) for name, value in figures.items()},
    }
    path = folder / FILE_NAME
    try:
        with path.open("a", encoding="utf-8") as curve:
            curve.write(json.dumps(line) + "\n")
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Free some space, and go on with --resume."
        ) from error


def rewind(folder: Path, stages: Sequence[str], stage: int, step: int, *, score: str) -> None:
    """Drop the lines that a run resumed at a step will write again, and a line that was cut off.

    Args:
        folder: The run's.
        stages: Names of the stages in order.
        stage: Index of the stage at which the run goes on.
        step: Its steps done; lines of that step stay.
        score: A figure of lines that are written after the last step of a stage: at that step they
            are dropped.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return
    lines = []
    for text in read_regular(path).decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            line = json.loads(text)
            if (stages.index(line["stage"]), line["step"], score in line) <= (stage, step, False):
                lines.append(text + "\n")
    with atomic_write(path) as part:
        part.write_text("".join(lines), encoding="utf-8")
