"""`tinct train`: a method's recipe, run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinct.cli.application import app

if TYPE_CHECKING:
    from tinct.training.options import LoopOptions, Outcome

train_app = typer.Typer(help="Train a method by its recipe.", no_args_is_help=True)
app.add_typer(train_app, name="train")


@train_app.callback()
def _train() -> None:
    """Keep `tinct train METHOD` a group of verbs, even while there is one method."""


Out = Annotated[Path, typer.Option(help="The run's folder.")]
Split = Annotated[str, typer.Option(help="The list to train on.")]
Year = Annotated[str, typer.Option(help="Of the lists, as in ImageSets/2016.")]
Variant = Annotated[str, typer.Option(help="See `tinct models`.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Imagenet = Annotated[str, typer.Option(help="auto, hub, registry, or a file with ImageNet weights.")]
MixedPrecision = Annotated[str, typer.Option(help="auto, no, bf16 or fp16.")]
Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the processor even where there is a GPU.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads of the network.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")]
StopAfter = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="End this slice after 30m, 1.5h, ...; then --resume."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]


def run_recipe(
    train: Callable[[LoopOptions, Mapping[str, int] | None, Any], Outcome],
    out: Path,
    method: str,
    variant: str,
    *,
    steps: str | None,
    threads: int | None,
    stop_after: str | None,
    **loop: Any,
) -> None:
    """Run a recipe with its progress shown; an interruption is told, and ends with its signal's exit code.

    Args:
        train: (options, steps of stages, progress) → what came of it.
        out: The run's folder.
        method: Whose recipe.
        variant: Likewise.
        steps: As `parse_steps` takes it.
        threads: Of torch; None leaves them.
        stop_after: As `parse_duration` takes it.
        loop: Further `LoopOptions`.
    """
    from tinct.training.arguments import parse_duration, parse_steps
    from tinct.training.interruption import TrainingInterrupted
    from tinct.training.options import LoopOptions
    from tinct.training.progress import progress_display

    stop_after_s = None if stop_after is None else parse_duration(stop_after)
    options = LoopOptions(out, method, variant, stop_after_s=stop_after_s, **loop)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    try:
        with progress_display() as progress:
            outcome = train(options, None if steps is None else parse_steps(steps), progress)
    except TrainingInterrupted as interruption:
        print(f"tinct: {interruption}", file=sys.stderr)
        raise typer.Exit(128 + interruption.signal_number) from None
    print(outcome.summary(out))


@train_app.command("feelvos")
def train_feelvos(
    data: Annotated[Path, typer.Option(help="Data in the layout of DAVIS.")],
    out: Out,
    split: Split = "train",
    year: Year = "2016",
    stills: Annotated[
        Path | None, typer.Option(help="Photos with object masks, for the first stage.")
    ] = None,
    variant: Variant = "mobilenetv2",
    steps: Annotated[
        str | None, typer.Option(metavar="NAME=COUNT,...", help="Steps of stages: stills=1200,video=1900.")
    ] = None,
    dev: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Measure J and F on it at the end of every stage.")
    ] = None,
    seed: Seed = 0,
    init: Annotated[Path | None, typer.Option(help="Start from these weights, not from ImageNet's.")] = None,
    imagenet: Imagenet = "auto",
    mixed_precision: MixedPrecision = "auto",
    cpu: Cpu = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make clips.")] = 1,
    threads: Threads = None,
    save_every: SaveEvery = 100,
    stop_after: StopAfter = None,
    resume: Resume = False,
) -> None:
    """Train FEELVOS; the result is OUT/video.safetensors, for `tinct segment --weights`."""
    from tinct.training.recipes import feelvos

    run_recipe(
        lambda options, counts, progress: feelvos.train_feelvos(
            feelvos.Data(data, split, stills, year),
            options,
            steps=counts,
            imagenet=imagenet,
            weights=init,
            dev=dev,
            progress=progress,
        ),
        out,
        "feelvos",
        variant,
        steps=steps,
        threads=threads,
        stop_after=stop_after,
        seed=seed,
        mixed_precision=mixed_precision,
        cpu=cpu,
        workers=workers,
        save_every=save_every,
        resume=resume,
    )
