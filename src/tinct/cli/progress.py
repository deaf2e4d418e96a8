"""The bar that shows how far a verb has come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

OnProgress = Callable[[str, int, int], None]
"""Called with (stage, frames or sequences done, how many there are)."""


@contextmanager
def progress_bar() -> Iterator[OnProgress | None]:
    """Bars on stderr with the speed and the time left; nothing where stderr is no terminal.

    A stage that begins again, as fine-tuning does with every painted frame, starts its bar anew.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    tasks: dict[str, Any] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            # Not sooner: the bar's thread would make workers start anew instead of as copies.
            bar.start()
            # A resumed run starts part of the way along; the part before it took no time.
            tasks[stage] = bar.add_task(stage, total=total, completed=done, rate="")
            return
        task = bar.tasks[tasks[stage]]
        if done < task.completed:
            bar.reset(task.id, total=total, completed=done, rate="")
            return
        rate = f"{task.speed:.1f}/s" if task.speed else ""
        bar.update(task.id, total=total, completed=done, rate=rate)

    try:
        yield progress
    finally:
        bar.stop()
