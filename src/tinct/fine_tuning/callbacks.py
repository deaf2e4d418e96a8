"""News of fine-tuning: a segmenter tunes inside `start` and `step`, and whoever drives it may listen.

    with fine_tuning_callback(lambda news: print(news.object_id, news.share)):
        state = segmenter.start(frame, labels)

A context variable carries the listener, so that neither the methods nor the interface of segmenters
need to know of it; threads and interleaved videos do not hear each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class FineTuningProgress:
    """Where the fine-tuning of one painted frame stands.

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


FineTuningCallback = Callable[[FineTuningProgress], None]

_LISTENER: ContextVar[FineTuningCallback | None] = ContextVar("tinct_tuning_listener", default=None)


@contextmanager
def fine_tuning_callback(listener: FineTuningCallback | None) -> Iterator[None]:
    """Within this block, `listener` is told of every step of fine-tuning, and of every object's end."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_fine_tuning(news: FineTuningProgress) -> None:
    """Pass news on to the listener, if there is one."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(news)
