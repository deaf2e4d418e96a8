"""How a run is run, what it calls back, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tinct.errors import OptionError, near_match
from tinct.training.stages import Stage

PRECISIONS = ("auto", "no", "bf16", "fp16")

Progress = Callable[[Stage, int, Mapping[str, Tensor]], None]
"""Called as progress(stage, step, figures) after every step, by the main process."""

OnStageEnd = Callable[[Path, torch.device], Mapping[str, float]]
"""Called with the weights of every stage that ended; what it measures joins the curve."""

SCORE = "j_and_f"
"""A figure that only `OnStageEnd` gives: by it the curve's lines at the end of a stage are known."""


@dataclass(frozen=True)
class LoopOptions:
    """How a run is run; nothing here changes what is learnt, but for the seed and the precision.

    Attributes:
        out: The run's folder.
        method: For the metadata of the weights.
        variant: For the metadata too.
        seed: Of the order of everything.
        mixed_precision: "no", "bf16" or "fp16", as accelerate calls them; "auto" takes the one
            that is fast on the device, and a resumed run goes on with what it began with.
        cpu: Stay on the CPU even where there is a GPU.
        workers: Processes that make clips; 0 makes them between the steps.
        save_every: Steps between checkpoints.
        log_every: Steps between lines of the curve.
        stop_after_s: End this slice after this number of seconds, ready to resume.
        resume: Go on from the folder's checkpoint, if it has one.

    Raises:
        OptionError: A value is out of its range.
    """

    out: Path
    method: str
    variant: str
    seed: int = 0
    mixed_precision: str = "auto"
    cpu: bool = False
    workers: int = 1
    save_every: int = 100
    log_every: int = 20
    stop_after_s: float | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.mixed_precision not in PRECISIONS:
            raise OptionError(
                f"Unknown mixed precision {self.mixed_precision!r}. "
                f"{near_match(self.mixed_precision, PRECISIONS)}"
            )
        if self.seed < 0 or self.workers < 0 or self.save_every < 1 or self.log_every < 1:
            raise OptionError(
                f"seed = {self.seed}, workers = {self.workers}, save_every = {self.save_every} and "
                f"log_every = {self.log_every} came; the first two start at 0, the others at 1."
            )


@dataclass(frozen=True)
class Outcome:
    """Where a slice of a run ended.

    Attributes:
        finished: Whether all stages are done.
        stage: The last stage worked on.
        step: Its steps done.
        steps_taken: By this slice, in all stages; 0 if there was nothing left to do.
    """

    finished: bool
    stage: str
    step: int
    steps_taken: int

    def summary(self, out: Path) -> str:
        """One line for people, about the run in the folder `out`."""
        if not self.finished:
            return f"Stopped after step {self.step} of stage {self.stage!r}; go on with --resume."
        weights = out / f"{self.stage}.safetensors"
        if self.steps_taken == 0:
            return f"The run in {out} is finished already, nothing was left to do: {weights}"
        return f"Finished: {weights}"
