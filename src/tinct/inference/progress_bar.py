"""The bar that shows on a terminal how far a long piece of work has come."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

_SAID_TERMINALS = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Environment variables by which rich takes for a terminal what is none."""


class ProgressBar:
    """A bar per stage, with a text or the speed beside it, and the time left.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, text: str | None = None) -> None:
        """Show that `done` of `total` are done; None for the text shows the speed.

        A stage that begins again, as fine-tuning does with every annotated frame, starts its bar again.
        """
        if stage not in self._tasks:
            # Not sooner: there was nothing to show.
            self._bars.start()
            # A resumed run starts part of the way along; the part before it took no time.
            self._tasks[stage] = self._bars.add_task(stage, total=total, completed=done, text=text or "")
            return
        task = self._bars.tasks[self._tasks[stage]]
        if done < task.completed:
            self._bars.reset(task.id, total=total, completed=done, text=text or "")
            return
        if text is None:
            text = f"{task.speed:.1f}/s" if task.speed else ""
        self._bars.update(task.id, total=total, completed=done, text=text)

    def stop(self) -> None:
        """Leave the terminal to others."""
        self._bars.stop()


@contextmanager
def progress_bar(console: Console | None = None) -> Iterator[ProgressBar | None]:
    """A bar while the context is open; None where the console is no terminal.

    Args:
        console: Where to; standard error if None.
    """
    if console is None and not (sys.stderr.isatty() or any(name in os.environ for name in _SAID_TERMINALS)):
        yield None  # without loading rich
        return
    from rich.console import Console

    console = Console(stderr=True) if console is None else console
    if not console.is_terminal:
        yield None
        return
    bar = ProgressBar(console)
    try:
        yield bar
    finally:
        bar.stop()
