"""The one training loop: stages in order, mixed precision and many processes by accelerate, exact resume.

A run is a folder:

    checkpoint.pt        network, averaged network, optimiser, stage and step; replaced atomically
    curve.jsonl          one line of figures every `log_every` steps
    <stage>.safetensors  the averaged weights at the end of each stage
    tensorboard/         the same figures, where tensorboard is installed

Clips are a function of (seed, index) and every step seeds torch again, so a run that was killed and
resumed computes what it would have computed: to the bit on a processor with the same number of
threads; up to the order of sums elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from tinct.errors import OptionError, TinctError
from tinct.io.atomic import sweep
from tinct.ops.allocator import keep_freed_memory
from tinct.ops.precision import bfloat16_is_faster
from tinct.runs.failures import one_line
from tinct.runs.folder_lock import folder_lock
from tinct.training import checkpoint as checkpoints
from tinct.training import curve
from tinct.training.checkpoint import Checkpoint
from tinct.training.options import SCORE, LoopOptions, OnStageEnd, Outcome, Progress
from tinct.training.stage_run import StageRun, processes_of_run
from tinct.training.stages import Stage, Task


def train(
    task: Task,
    stages: Sequence[Stage],
    options: LoopOptions,
    *,
    sources: str = "",
    progress: Progress | None = None,
    on_stage_end: OnStageEnd | None = None,
) -> Outcome:
    """Train through all stages; the network is left in the task.

    Args:
        task: The network and its loss.
        stages: In order; each starts from the averaged weights of the one before.
        options: Folder, precision, resume.
        sources: What the samples are drawn from, in words; a resumed run must have the same.
        progress: Called after every step.
        on_stage_end: Called at the end of every stage, by the main process, while the others wait.

    Returns:
        Where the run stands; it is not finished if `stop_after_s` ended the slice before.

    Raises:
        OptionError: The folder holds a run and `resume` is off, or one of another recipe.
        TinctError: The checkpoint is damaged.
        OutputError: The folder cannot be written, or another process trains in it.
        NumericalError: The loss or its gradient became NaN or infinite.
        TinctError: Memory ran out, or torch failed.
        TrainingInterrupted: Ctrl-C or SIGTERM; the step under way was finished and saved.
    """
    if not stages:
        raise OptionError("There is no stage to train; give one of them more than 0 steps.")
    started = time.monotonic()
    task.prepare(stages)
    keep_freed_memory()
    processes = processes_of_run(options)
    recipe = checkpoints.recipe_of(
        stages,
        method=options.method,
        variant=options.variant,
        seed=options.seed,
        processes=processes.num_processes,
        sources=sources,
    )
    # The main process's lock counts for those that train with it.
    with folder_lock(options.out) if processes.is_main_process else nullcontext():
        if processes.is_main_process:
            sweep(options.out, locked=True)
        here = _open_run(task, stages, options, recipe, processes)
        return _train_from(here, task, stages, options, started, progress, on_stage_end)


def _train_from(
    here: Checkpoint,
    task: Task,
    stages: Sequence[Stage],
    options: LoopOptions,
    started: float,
    progress: Progress | None,
    on_stage_end: OnStageEnd | None,
) -> Outcome:
    """Take the stages that are left, from a checkpoint on."""
    steps_taken = 0
    while here.stage < len(stages):
        stage = stages[here.stage]
        with stage.frozen(task.network):
            run = StageRun(task, stage, here, options, started)
            with _explained(run):
                completed = run.train(progress)
        steps_taken += run.step - here.step
        if not completed:
            return Outcome(False, stage.name, run.step, steps_taken)
        here = run.hand_over(on_stage_end)
    task.network.load_state_dict(here.network)
    return Outcome(True, stages[-1].name, stages[-1].steps, steps_taken)


@contextmanager
def _explained(run: StageRun) -> Iterator[None]:
    """What torch or an allocator raises in this block becomes an error of tinct that says how to go on."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, (RecursionError, NotImplementedError)):
            raise
        raise TinctError(
            f"Step {run.step + 1} of stage {run.stage.name!r} failed: {one_line(error)}. The last checkpoint "
            "is whole; go on with --resume, once other programs are closed or with --cpu."
        ) from error


def _open_run(
    task: Task,
    stages: Sequence[Stage],
    options: LoopOptions,
    recipe: dict[str, Any],
    processes: Any,
) -> Checkpoint:
    """The folder's checkpoint, or where a new run starts."""
    path = options.out / checkpoints.FILE_NAME
    if path.exists() and not options.resume:
        raise OptionError(f"{options.out} holds a run already. Resume it (--resume), or give another folder.")
    here = checkpoints.read_checkpoint(path)
    if here is None:
        here = Checkpoint(recipe, 0, 0, 0.0, "auto", task.network.state_dict(), task.memory())
    checkpoints.check_recipe(here, recipe, path)
    wanted = options.mixed_precision
    precision = here.precision if wanted == "auto" else wanted
    if precision == "auto":
        precision = _fast_precision(processes.device.type)
    # Nobody may start to write before everybody has read.
    processes.wait_for_everyone()
    if processes.is_main_process:
        curve.rewind(options.out, [stage.name for stage in stages], here.stage, here.step, score=SCORE)
    return replace(here, recipe=recipe, precision=precision)


def _fast_precision(device_type: str) -> str:
    if bfloat16_is_faster(device_type):
        return "bf16"
    return "fp16" if device_type == "cuda" else "no"
