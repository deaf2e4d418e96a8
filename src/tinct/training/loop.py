"""The one training loop: stages in order, mixed precision and many processes by accelerate, exact resume.

A run is a folder:

    checkpoint.pt        network, averaged network, optimiser, stage and step; replaced atomically
    curve.jsonl          one line of figures every `log_every` steps
    <stage>.safetensors  the averaged weights at the end of each stage
    tensorboard/         the same figures, where tensorboard is installed

Clips are a function of (seed, index) and every step seeds torch anew, so a run that was killed and
resumed computes what it would have computed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler

from tinct.errors import NumericalError, OptionError, TinctError
from tinct.networks.weights import save_weights
from tinct.training.allocator import keep_freed_memory
from tinct.training.stages import Stage, Task


@dataclass(frozen=True)
class LoopOptions:
    """How a run is run; nothing here changes what is learnt, but for the seed and the precision.

    Attributes:
        out: The run's folder.
        method: For the metadata of the weights.
        variant: Likewise.
        seed: Of the order of everything.
        mixed_precision: "no", "bf16" or "fp16", as accelerate calls them.
        cpu: Stay on the CPU even where there is a GPU.
        workers: Processes that make clips.
        save_every: Steps between checkpoints.
        log_every: Steps between lines of the curve.
        stop_after_s: End this slice after so many seconds, ready to resume.
        resume: Go on from the folder's checkpoint.
    """

    out: Path
    method: str
    variant: str
    seed: int = 0
    mixed_precision: str = "bf16"
    cpu: bool = False
    workers: int = 1
    save_every: int = 100
    log_every: int = 20
    stop_after_s: float | None = None
    resume: bool = False


class StepBatches(Sampler[list[int]]):
    """Which clips each step takes: always the same ones, whatever came before."""

    def __init__(self, first_step: int, steps: int, batch: int, process: int, processes: int) -> None:
        self.first_step, self.steps, self.batch = first_step, steps, batch
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first_step, self.steps):
            first = (step * self.processes + self.process) * self.batch
            yield list(range(first, first + self.batch))

    def __len__(self) -> int:
        return max(0, self.steps - self.first_step)


def train(task: Task, stages: Sequence[Stage], options: LoopOptions, progress: Any = None) -> bool:
    """Train through all stages; the network is left in the task.

    Args:
        task: The network and its loss.
        stages: In order; each starts from the averaged weights of the one before.
        options: Folder, precision, resume.
        progress: Called as progress(stage, step, figures) after every step.

    Returns:
        True at the end of the last stage, False if `stop_after_s` ended the slice before.

    Raises:
        OptionError: The folder holds a run and `resume` is off, or holds none and it is on.
        NumericalError: The loss became NaN or infinite.
    """
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = _read_checkpoint(options)
    started = time.monotonic()
    first_stage = 0 if checkpoint is None else int(checkpoint["stage"])
    for index, stage in enumerate(stages):
        if index < first_stage:
            continue
        run = _StageRun(task, stage, index, options)
        if checkpoint is not None and index == first_stage:
            run.restore(checkpoint)
        if not run.train(started, progress):
            return False
    return True


class _StageRun:
    """One stage under way."""

    def __init__(self, task: Task, stage: Stage, index: int, options: LoopOptions) -> None:
        self.stage, self.index, self.options = stage, index, options
        self.accelerator = Accelerator(mixed_precision=options.mixed_precision, cpu=options.cpu)
        groups: list[dict[str, object]] = [
            {"params": parameters, "lr": stage.learning_rate * factor, "full_rate": stage.learning_rate * factor}
            for parameters, factor in task.parameter_groups()
        ]
        optimiser = stage.optimiser(groups, stage.learning_rate)
        task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.task, self.optimiser = self.accelerator.prepare(task, optimiser)
        self.network = self.accelerator.unwrap_model(self.task).network
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(stage.ema_decay))
        self.step = 0

    def train(self, started: float, progress: Any) -> bool:
        options, stage = self.options, self.stage
        batches = StepBatches(
            self.step, stage.steps, stage.batch, self.accelerator.process_index, self.accelerator.num_processes
        )
        loader = DataLoader(
            stage.clips, batch_sampler=batches, num_workers=options.workers, worker_init_fn=_quiet_worker
        )
        self.task.train()
        try:
            for batch in loader:
                figures = self._train_step({k: v.to(self.accelerator.device) for k, v in batch.items()})
                self.step += 1
                self._log(figures, started)
                if progress is not None:
                    progress(stage, self.step, figures)
                if self.step % options.save_every == 0:
                    self.save()
                if options.stop_after_s is not None and time.monotonic() - started > options.stop_after_s:
                    self.save()
                    return False
        except KeyboardInterrupt:
            self.save()
            raise
        self._hand_over()
        return True

    def _train_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        torch.manual_seed(hash((self.options.seed, self.index, self.step, self.accelerator.process_index)))
        factor = self.stage.schedule(self.step, self.stage.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] * factor
        loss, figures = self.task(batch, self.step)
        if not torch.isfinite(loss):
            raise NumericalError(
                f"The loss became {float(loss)} at step {self.step} of stage {self.stage.name!r}. Resume from "
                "the last checkpoint with a lower learning rate."
            )
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.task.parameters(), self.stage.clip_gradient_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update_parameters(self.network)
        assert isinstance(figures, dict)
        return figures

    def _log(self, figures: Mapping[str, Tensor], started: float) -> None:
        if self.step % self.options.log_every or not self.accelerator.is_main_process:
            return
        line = {
            "stage": self.stage.name,
            "step": self.step,
            "seconds": round(time.monotonic() - started, 1),
            **{name: round(float(value), 5) for name, value in figures.items()},
        }
        with (self.options.out / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(line) + "\n")

    def save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        _write_atomically(
            self.options.out / "checkpoint.pt",
            {
                "stage": self.index,
                "step": self.step,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
        )

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        self.step = int(checkpoint["step"])
        self.network.load_state_dict(checkpoint["network"])
        self.average.load_state_dict(checkpoint["average"])
        self.optimiser.load_state_dict(checkpoint["optimiser"])

    def _hand_over(self) -> None:
        """The averaged weights become the network's; they are saved, and the next stage starts from them."""
        self.save()
        self.network.load_state_dict(self.average.module.state_dict())
        if self.accelerator.is_main_process:
            save_weights(
                self.options.out / f"{self.stage.name}.safetensors",
                self.network,
                method=self.options.method,
                variant=self.options.variant,
                extra={"stage": self.stage.name, "steps": str(self.stage.steps)},
            )


def _quiet_worker(_: int) -> None:
    """Clip makers use one thread each: the cores belong to the network."""
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _read_checkpoint(options: LoopOptions) -> dict[str, Any] | None:
    path = options.out / "checkpoint.pt"
    if path.exists() and not options.resume:
        raise OptionError(f"{options.out} holds a run already. Resume it (--resume), or give another folder.")
    if not path.exists():
        return None
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise TinctError(f"{path} cannot be read as a checkpoint of a run: {error}.") from error
    return checkpoint


def _write_atomically(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
