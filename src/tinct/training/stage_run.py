"""One stage under way: steps, figures, checkpoints, and the hand-over to the next stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler

from tinct.errors import MissingExtraError, NumericalError, OptionError, TinctError
from tinct.networks.weights import save_weights
from tinct.training import checkpoint as checkpoints
from tinct.training import curve
from tinct.training.checkpoint import Checkpoint
from tinct.training.interruption import Interruption, TrainingInterrupted, catch_interruption, start_worker
from tinct.training.options import LoopOptions, OnStageEnd, Progress
from tinct.training.stages import Stage, Task

try:
    from accelerate import Accelerator, PartialState
except ModuleNotFoundError as missing:
    raise MissingExtraError(
        "Training needs accelerate, which is not installed: pip install 'tinct[train]'"
    ) from missing


class StepBatches(Sampler[list[int]]):
    """Which clips each step takes, in a number of parts: always the same ones, whatever came before."""

    def __init__(
        self, first_step: int, steps: int, batch: int, process: int, processes: int, parts: int = 1
    ) -> None:
        self.first_step, self.steps, self.batch = first_step, steps, batch
        self.process, self.processes, self.parts = process, processes, parts

    def __iter__(self) -> Iterator[list[int]]:
        size = self.batch // self.parts
        for step in range(self.first_step, self.steps):
            first = (step * self.processes + self.process) * self.batch
            for start in range(first, first + self.batch, size):
                yield list(range(start, start + size))

    def __len__(self) -> int:
        return max(0, self.steps - self.first_step) * self.parts


def step_seed(seed: int, stage: int, step: int, process: int) -> int:
    """What torch is seeded with before a step: 64 bits of numpy's SeedSequence of the four numbers."""
    return int(np.random.SeedSequence((seed, stage, step, process)).generate_state(1, np.uint64)[0])


class StageRun:
    """One stage under way."""

    def __init__(
        self, task: Task, stage: Stage, here: Checkpoint, options: LoopOptions, started: float
    ) -> None:
        self.stage, self.options, self.started, self.here = stage, options, started, here
        # `started` is when the slice began; the stages before this one are in `here.seconds` already.
        self.began = time.monotonic()
        self.step = here.step
        self.accelerator = _accelerator(options, here.precision)
        task.network.load_state_dict(here.network)
        task.take_memory(here.memory)
        task.to(memory_format=torch.channels_last)
        # Each stage wraps the task again, so what accelerate put on the instance before goes.
        task.__dict__.pop("forward", None)
        task.__dict__.pop("_original_forward", None)
        groups = [
            {
                "params": parameters,
                "lr": stage.learning_rate * factor,
                "full_rate": stage.learning_rate * factor,
            }
            for parameters, factor in task.parameter_groups()
        ]
        self.network, self.memory = task.network, task.memory
        self.task, self.optimiser = self.accelerator.prepare(task, stage.optimiser(groups))
        self.average = AveragedModel(self.network, multi_avg_fn=_ema(stage.ema_decay))
        if here.average is not None and here.optimiser is not None:
            self.average.load_state_dict(here.average)
            self.optimiser.load_state_dict(here.optimiser)
        if here.scaler is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(here.scaler)
        if self.accelerator.log_with:
            # Figures of steps that are done again would stand there twice.
            settings = {"tensorboard": {"purge_step": self.step + 1}}
            self.accelerator.init_trackers(stage.name, init_kwargs=settings)

    def train(self, progress: Progress | None) -> bool:
        """Take the steps that are left; False if the slice's time ran out."""
        batches = StepBatches(
            self.step,
            self.stage.steps,
            self.stage.batch,
            self.accelerator.process_index,
            self.accelerator.num_processes,
            self.stage.accumulate,
        )
        device = self.accelerator.device
        # A worker forked while one of OpenCV's own threads holds a lock would wait for it for ever.
        cv2.setNumThreads(1)
        loader: DataLoader[dict[str, Tensor]] = DataLoader(
            self.stage.clips,
            batch_sampler=batches,
            num_workers=self.options.workers,
            worker_init_fn=start_worker,
            pin_memory=device.type == "cuda",
        )
        self.task.train()
        with catch_interruption() as noted, closing(_plainly(loader)) as made:
            while self.step < self.stage.steps:
                # Read before the step is seeded: what makes them draws a number too.
                figures = self._train_step(list(islice(made, self.stage.accumulate)))
                self.step += 1
                self._log(figures)
                if progress is not None and self.accelerator.is_main_process:
                    progress(self.stage, self.step, figures)
                if self._ends_here(noted):
                    self.save()
                    self._close()
                    self._raise_interruption(noted)
                    return False
                if self.step % self.options.save_every == 0:
                    self.save()
        return True

    def _train_step(self, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        process = self.accelerator.process_index
        torch.manual_seed(step_seed(self.options.seed, self.here.stage, self.step, process))
        factor = self.stage.schedule(self.step, self.stage.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] * factor
        figures = self._accumulate(parts)
        norm = self._clip_gradients()
        if self.accelerator.scaler is None:
            # Under fp16 gradients overflow now and then: the scaler leaves that step out, and scales less.
            self._check_finite(norm, "norm of the gradient")
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update_parameters(self.network)
        return figures

    def _accumulate(self, parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The gradient of a batch from its parts, and the means of their figures."""
        count, device = len(parts), self.accelerator.device
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(parts, start=1):
            # The processes exchange their gradients once a step, with the last part.
            apart = self.accelerator.no_sync(self.task) if number < count else nullcontext()
            with apart:
                batch = {key: value.to(device, non_blocking=True) for key, value in part.items()}
                loss, figures = self.task(batch, self.step)
                self._check_finite(loss, "loss")
                self.accelerator.backward(loss / count if count > 1 else loss)
            for name, value in figures.items():
                sums[name] = sums[name] + value if name in sums else value
        return {name: value / count for name, value in sums.items()} if count > 1 else sums

    def _clip_gradients(self) -> Tensor:
        """Scale gradients down to the stage's norm; returns the norm that they had, of each the largest."""
        if not self.stage.clip_each:
            norm: Tensor = self.accelerator.clip_grad_norm_(
                self.task.parameters(), self.stage.clip_gradient_norm
            )
            return norm
        self.accelerator.unscale_gradients()
        norms = [
            torch.nn.utils.clip_grad_norm_(parameter, self.stage.clip_gradient_norm)
            for parameter in self.task.parameters()
            if parameter.grad is not None
        ]
        return torch.stack(norms).max()

    def _check_finite(self, value: Tensor, name: str) -> None:
        value = value.detach()
        if not torch.isfinite(value):
            raise NumericalError(
                f"The {name} became {value.item()} at step {self.step + 1} of stage {self.stage.name!r}. "
                "Resume from the last checkpoint with --mixed-precision no; if it comes back, the data or "
                "the learning rate are wrong."
            )

    def _ends_here(self, noted: Interruption) -> bool:
        """Whether the slice ends after this step; all processes agree, lest some wait for the others."""
        limit = self.options.stop_after_s
        late = limit is not None and time.monotonic() - self.started > limit
        ends = (late and self.step < self.stage.steps) or noted.signal_number is not None
        if self.accelerator.num_processes == 1:
            return ends
        votes = torch.tensor(float(ends), device=self.accelerator.device)
        return bool(self.accelerator.reduce(votes, "sum") > 0)

    def _raise_interruption(self, noted: Interruption) -> None:
        if noted.signal_number is not None:
            raise TrainingInterrupted(
                f"Stopped after step {self.step} of stage {self.stage.name!r}, which is saved in "
                f"{self.options.out}; go on with --resume.",
                noted.signal_number,
            )

    def _how(self) -> dict[str, str]:
        """How the weights were learnt, for their metadata."""
        described, names = self.stage.describe(), ("batch", "learning_rate", "accumulate")
        settings = {name: value for name, value in described.items() if name in names}
        recipe = self.here.recipe
        return {**settings, "processes": str(recipe["processes"]), "sources": str(recipe.get("sources", ""))}

    def _seconds(self) -> float:
        return self.here.seconds + time.monotonic() - self.began

    def _log(self, figures: Mapping[str, Tensor]) -> None:
        if self.step % self.options.log_every == 0:
            self._write_figures({name: float(value) for name, value in figures.items()})

    def _write_figures(self, figures: Mapping[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        curve.append_figures(self.options.out, self.stage.name, self.step, self._seconds(), figures)
        if self.accelerator.log_with:
            self.accelerator.log(dict(figures), step=self.step)

    def _close(self) -> None:
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def save(self) -> None:
        """Write the checkpoint."""
        scaler = self.accelerator.scaler
        self._write(
            replace(
                self.here,
                step=self.step,
                seconds=self._seconds(),
                network=self.network.state_dict(),
                memory=self.memory(),
                average=self.average.state_dict(),
                optimiser=self.optimiser.state_dict(),
                scaler=None if scaler is None else scaler.state_dict(),
            )
        )

    def _write(self, checkpoint: Checkpoint) -> None:
        if self.accelerator.is_main_process:
            checkpoints.write_checkpoint(self.options.out / checkpoints.FILE_NAME, checkpoint)

    def hand_over(self, on_stage_end: OnStageEnd | None) -> Checkpoint:
        """End the stage: the averaged weights are saved, measured, and given to the next one."""
        self.save()
        self.network.load_state_dict(self.average.module.state_dict())
        weights = self.options.out / f"{self.stage.name}.safetensors"
        if self.accelerator.is_main_process:
            save_weights(
                weights,
                self.network,
                method=self.options.method,
                variant=self.options.variant,
                extra={"stage": self.stage.name, "steps": str(self.stage.steps), **self._how()},
            )
            if on_stage_end is not None:
                self._write_figures(on_stage_end(weights, self.accelerator.device))
        self.accelerator.wait_for_everyone()
        self._close()
        # Copies: the next stage loads them into this very network.
        network = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        there = replace(
            self.here, stage=self.here.stage + 1, step=0, seconds=self._seconds(), network=network,
            memory=self.memory(), average=None, optimiser=None, scaler=None,
        )  # fmt: skip
        self._write(there)
        return there


def _ema(decay: float) -> Callable[..., None]:
    """An exponential moving average that is quick at first: step n keeps at most (1 + n) / (10 + n).

    With the full decay from the start, what a stage began with weighs for thousands of steps: a recurrence
    that was as good as trained had an average that had learnt next to nothing (docs/experiments.md).
    """

    @torch.no_grad()
    def average(averages: list[Tensor], current: list[Tensor], updates: Tensor) -> None:
        n = int(updates)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, current, updates)  # type: ignore[no-untyped-call]

    return average


def processes_of_run(options: LoopOptions) -> Any:
    """The processes that take part, as accelerate sees them: how many, which is this one, on which device."""
    # Scoring at the end of a stage keeps the others waiting for longer than their usual ten minutes.
    return PartialState(cpu=options.cpu, timeout=timedelta(hours=3))


def _accelerator(options: LoopOptions, precision: str) -> Any:
    has_tensorboard = find_spec("tensorboard") is not None
    try:
        accelerator = Accelerator(
            mixed_precision=precision,
            cpu=options.cpu,
            log_with="tensorboard" if has_tensorboard else None,
            project_dir=options.out / "tensorboard",
        )
    except ValueError as error:
        raise OptionError(
            f"Mixed precision {precision!r} is not possible here: {error} Take --mixed-precision "
            "auto, and one precision and device per Python process."
        ) from error
    if precision == "fp16" and accelerator.device.type == "cpu":
        # There accelerate would train in float32, and not say so.
        raise OptionError("Mixed precision 'fp16' needs a GPU; take --mixed-precision auto.")
    return accelerator


def _plainly(loader: DataLoader[dict[str, Tensor]]) -> Generator[dict[str, Tensor], None, None]:
    """The loader's batches; an error of tinct's own in a worker keeps its message, without the traceback."""
    batches = iter(loader)
    try:
        yield from batches
    except TinctError as error:
        reason = str(error).strip().splitlines()[-1]
        raise type(error)(
            reason.removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
        ) from error
    finally:
        # Workers are deaf to signals (`start_worker`): one that an error's traceback keeps alive would
        # be waited for at the end of the process, for ever. So they are ended here and now.
        end_workers = getattr(batches, "_shutdown_workers", None)
        if end_workers is not None:
            end_workers()
