"""How far a training run is: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from torch import Tensor

from tinct.inference.progress_bar import ProgressBar, progress_bar
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
    with progress_bar(console) as bar:
        yield (
            lambda stages: (
                _Lines(stages, console, every)
                if bar is None
                else _on_bar([stage.name for stage in stages], bar)
            )
        )


def _on_bar(names: Sequence[str], bar: ProgressBar) -> Progress:
    def show(stage: Stage, step: int, figures: Mapping[str, Tensor]) -> None:
        bar(title(stage, names), step, stage.steps, _first_figure(figures, 3))

    return show


class _Lines:
    """A line every `every` steps and at the end of a stage."""

    def __init__(self, stages: Sequence[Stage], console: Console, every: int) -> None:
        self.names, self.console, self.every = [stage.name for stage in stages], console, every
        self.began: dict[str, tuple[int, float]] = {}

    def __call__(self, stage: Stage, step: int, figures: Mapping[str, Tensor]) -> None:
        now = time.monotonic()
        first, began = self.began.setdefault(stage.name, (step, now))
        if step % self.every and step != stage.steps:
            return
        words = [f"{title(stage, self.names)}  {step}/{stage.steps}"]
        if figure := _first_figure(figures, 4):
            words.append(figure)
        if step > first:
            seconds = (now - began) / (step - first)
            words += [f"{seconds:.2f} s per step", f"{(stage.steps - step) * seconds / 60:.0f} min left"]
        print("  ".join(words), file=self.console.file, flush=True)


def _first_figure(figures: Mapping[str, Tensor], digits: int) -> str:
    """The first of a step's figures, such as "loss 0.123"; "" if there are none."""
    return next((f"{name} {float(value):.{digits}f}" for name, value in figures.items()), "")


def title(stage: Stage, names: Sequence[str]) -> str:
    """The stage's name and place, such as "video (2 of 2)"."""
    return f"{stage.name} ({names.index(stage.name) + 1} of {len(names)})"
