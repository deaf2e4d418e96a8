"""Callbacks for what a segmenter does before its next result: loops, fine-tuning, the reasons for its masks.

    with callbacks(progress=print, explanation=lambda trace: print(trace["starting_points"])):
        results = list(segmenter.segment(video, prompts))

A context variable carries them, so that neither the methods nor the interface of segmenters need to know of
them; threads and interleaved videos do not hear each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class FineTuningProgress:
    """Where the fine-tuning on one annotated frame stands.

    Attributes:
        object_id: The object that is tuned now.
        position: Its place among those that are tuned on this frame, from 0.
        objects: How many these are.
        steps: Taken for this object.
        seconds: Spent on it.
        loss: Smoothed.
        share: Of this object's budget that is used up, from 0 to 1.
        units: The budget in steps, or in seconds if it has no steps; for bars.
        finished: This object is done, and `steps`, `seconds` and `loss` are final.
        diverged: Its loss grew, and the parent network is used.
    """

    object_id: int
    position: int
    objects: int
    steps: int
    seconds: float
    loss: float
    share: float
    units: int
    finished: bool = False
    diverged: bool = False

    @property
    def done_of_all(self) -> tuple[int, int]:
        """(units done, units in all), over all objects of the frame."""
        share = 1.0 if self.finished else min(1.0, self.share)
        return self.position * self.units + round(share * self.units), self.objects * self.units


ProgressCallback = Callable[[str, int, int], None]
"""Called with (stage, done, in all): frames that were looked at, starting points of a round, or, of the stage
`fine-tune`, steps or seconds."""

FineTuningCallback = Callable[[FineTuningProgress], None]
"""Called after every step of fine-tuning, and at every object's end."""

ExplanationCallback = Callable[[Mapping[str, Any]], None]
"""Called once per video with the trace of every decision, as JSON holds it."""


class _Callbacks(NamedTuple):
    progress: ProgressCallback | None = None
    fine_tuning: FineTuningCallback | None = None
    explanation: ExplanationCallback | None = None


_NONE = _Callbacks()
_CALLBACKS: ContextVar[_Callbacks] = ContextVar("tinct_callbacks", default=_NONE)


@contextmanager
def callbacks(
    progress: ProgressCallback | None = None,
    fine_tuning: FineTuningCallback | None = None,
    explanation: ExplanationCallback | None = None,
) -> Iterator[None]:
    """Within this block, these are called; one that is None leaves that to an outer block."""
    outer = _CALLBACKS.get()
    inner = _Callbacks(
        progress or outer.progress,
        fine_tuning or outer.fine_tuning,
        explanation or outer.explanation,
    )
    token = _CALLBACKS.set(inner)
    try:
        yield
    finally:
        _CALLBACKS.reset(token)


def report_progress(stage: str, done: int, total: int) -> None:
    """Call the callback for progress, if there is one."""
    if callback := _CALLBACKS.get().progress:
        callback(stage, done, total)


def report_fine_tuning(progress: FineTuningProgress) -> None:
    """Call the callbacks for progress, with the stage `fine-tune`, and for fine-tuning, if there are any."""
    report_progress("fine-tune", *progress.done_of_all)
    if callback := _CALLBACKS.get().fine_tuning:
        callback(progress)


def report_explanation(trace: Mapping[str, Any]) -> None:
    """Call the callback for explanations, if there is one."""
    if callback := _CALLBACKS.get().explanation:
        callback(trace)
