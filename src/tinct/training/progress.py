"""How far a run is: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from torch import Tensor

from tinct.training.options import Progress
from tinct.training.stages import Stage


@contextmanager
def progress_display(
    console: Console | None = None, *, every: int = 20
) -> Iterator[Callable[[Sequence[Stage]], Progress]]:
    """What shows the progress of a run while the context is open.

    Args:
        console: Where to; standard error if None.
        every: Steps between lines, where the console is no terminal.

    Yields:
        Stages → the callback that `train` takes.
    """
    console = Console(stderr=True) if console is None else console
    if not console.is_terminal:
        yield lambda stages: _Lines(stages, console, every)
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
        console=console,
    )
    try:
        # Started by the first step: under several processes only one takes steps to show.
        yield lambda stages: _Bar(stages, bars)
    finally:
        bars.stop()


class _Bar:
    """One bar per stage."""

    def __init__(self, stages: Sequence[Stage], bars: Bars) -> None:
        self.names, self.bars = [stage.name for stage in stages], bars
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, stage: Stage, step: int, figures: Mapping[str, Tensor]) -> None:
        if stage.name not in self.tasks:
            self.bars.start()
            # The steps of earlier slices took no time of this one.
            self.tasks[stage.name] = self.bars.add_task(
                title(stage, self.names), total=stage.steps, completed=step - 1, figures=""
            )
        text = "  ".join(f"{name} {float(value):.3f}" for name, value in list(figures.items())[:1])
        self.bars.update(self.tasks[stage.name], completed=step, figures=text)


class _Lines:
    """One line every so many steps."""

    def __init__(self, stages: Sequence[Stage], console: Console, every: int) -> None:
        self.names, self.console, self.every = [stage.name for stage in stages], console, every
        self.began: dict[str, tuple[int, float]] = {}

    def __call__(self, stage: Stage, step: int, figures: Mapping[str, Tensor]) -> None:
        now = time.monotonic()
        first, began = self.began.setdefault(stage.name, (step, now))
        if step % self.every and step != stage.steps:
            return
        words = [f"{title(stage, self.names)}  {step}/{stage.steps}"]
        words += [f"{name} {float(value):.4f}" for name, value in list(figures.items())[:1]]
        if step > first:
            seconds = (now - began) / (step - first)
            words += [f"{seconds:.2f} s per step", f"{(stage.steps - step) * seconds / 60:.0f} min left"]
        print("  ".join(words), file=self.console.file, flush=True)


def title(stage: Stage, names: Sequence[str]) -> str:
    """The stage's name and place, such as "video (2 of 2)"."""
    return f"{stage.name} ({names.index(stage.name) + 1} of {len(names)})"
