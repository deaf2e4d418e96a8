"""News of a loop over a whole video: how far it is, and in the end why every object was found or lost.

    with loop_callbacks(progress=print, explanation=lambda account: print(account["starting_points"])):
        results = list(segmenter.segment(video, prompts))

A segmenter that gives no result before it has seen the whole video is silent for long; whoever drives it
may listen. A context variable carries the listener, as in `tinct.fine_tuning.callbacks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

LoopCallback = Callable[[str, int, int], None]
"""Called with (stage, done, in all): frames that were looked at, starting points of a round."""

ExplanationCallback = Callable[[Mapping[str, Any]], None]
"""Called once per video with the account of every decision, as JSON holds it."""


class _Listener(NamedTuple):
    progress: LoopCallback | None
    explanation: ExplanationCallback | None


_LISTENER: ContextVar[_Listener | None] = ContextVar("tinct_loop_listener", default=None)


@contextmanager
def loop_callbacks(
    progress: LoopCallback | None = None, explanation: ExplanationCallback | None = None
) -> Iterator[None]:
    """Within this block, the listeners are told; one that is None leaves that to an outer block."""
    outer = _LISTENER.get() or _Listener(None, None)
    token = _LISTENER.set(_Listener(progress or outer.progress, explanation or outer.explanation))
    try:
        yield
    finally:
        _LISTENER.reset(token)


def report_loop_progress(stage: str, done: int, total: int) -> None:
    """Pass news on to the listener, if there is one."""
    listener = _LISTENER.get()
    if listener is not None and listener.progress is not None:
        listener.progress(stage, done, total)


def report_explanation(account: Mapping[str, Any]) -> None:
    """Pass the account of a video's decisions on to the listener, if there is one."""
    listener = _LISTENER.get()
    if listener is not None and listener.explanation is not None:
        listener.explanation(account)
