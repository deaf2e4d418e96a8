"""Explanations on disk: what a loop over a whole video decided, as a picture or as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinct.errors import OptionError
from tinct.io.atomic import atomic_write
from tinct.runs.trace_plot import draw_loop_timeline

NAMED_FRAMES = 3
"""How many frames a remark names."""

SUFFIXES = (".png", ".json")

TRACE_FILE = "why.json"
"""The name of a sequence's trace in its run folder, where a dataset is evaluated."""


def check_explanations(paths: Sequence[Path]) -> None:
    """OptionError for a file that is neither PNG nor JSON."""
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise OptionError(
                f"An explanation in {path} was asked for; it is written as FILE.png (a timeline) or "
                "FILE.json (every decision)."
            )


def remarks_of(trace: Mapping[str, Any]) -> list[str]:
    """What a person should know of a video's masks, beyond what was warned of: doubts, missing boxes."""
    remarks = []
    for doubt in trace.get("doubts", ()):
        a, b = doubt["object_ids"]
        remarks.append(
            f"Objects {a} and {b} look alike: in {doubt['starting_points']} of the {doubt['of']} boxes found "
            "for them the other was nearly as similar. Check which is which."
        )
    without = trace["without_proposals"]
    if without:
        names = ", ".join(trace["frames"][index] for index in without[:NAMED_FRAMES])
        more = ", ..." if len(without) > NAMED_FRAMES else ""
        remarks.append(
            f"Frames without proposals: {len(without)} of {len(trace['frames'])} ({names}{more}); objects "
            "are not found there, only propagated."
        )
    return remarks


def write_explanation(trace: Mapping[str, Any], path: Path) -> None:
    """Write a trace of `tinct.inference.callbacks`.

    Args:
        trace: Of one video.
        path: Ends in .png or .json; an existing file is replaced.

    Raises:
        OptionError: It ends otherwise, or matplotlib is not installed.
        OutputError: It cannot be written.
    """
    check_explanations([path])
    if path.suffix.lower() == ".png":
        draw_loop_timeline(trace, remarks_of(trace), path)
        return
    with atomic_write(path) as part:
        part.write_text(json.dumps(trace, indent=1) + "\n", encoding="utf-8")
