"""`tinct train osvos`, `tinct train masktrack`, `tinct train maskrnn`: recipes of one object's networks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tinct.cli.train import train_app

VERBS = {
    "osvos": "Train OSVOS's parent network; the result is OUT/video.safetensors.",
    "masktrack": "Train MaskTrack; the result is OUT/clips.safetensors.",
    "maskrnn": "Train MaskRNN, starting from a MaskTrack (--init); the result is OUT/recurrence.safetensors.",
}


def _verb(method: str, text: str) -> Callable[..., None]:
    def verb(
        out: Annotated[Path, typer.Option(help="The run's folder.")],
        data: Annotated[Path | None, typer.Option(help="Data in the layout of DAVIS.")] = None,
        split: Annotated[str, typer.Option(help="The list to train on.")] = "train",
        year: Annotated[str, typer.Option(help="Of the lists, as in ImageSets/2016.")] = "2016",
        stills: Annotated[Path | None, typer.Option(help="Photos with object masks.")] = None,
        variant: Annotated[str, typer.Option(help="See `tinct models`.")] = "mobilenetv2",
        steps: Annotated[
            str | None, typer.Option(metavar="NAME=COUNT,...", help="Steps of stages: stills=400,video=300.")
        ] = None,
        dev: Annotated[
            str | None,
            typer.Option(metavar="SPLIT", help="Measure J and F on it, untuned, at the end of every stage."),
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
        init: Annotated[
            Path | None,
            typer.Option(help="Start from these weights: of this method, or of the one it builds on."),
        ] = None,
        imagenet: Annotated[
            str, typer.Option(help="auto, hub, registry, or a file with ImageNet weights.")
        ] = "auto",
        mixed_precision: Annotated[str, typer.Option(help="auto, no, bf16 or fp16.")] = "auto",
        cpu: Annotated[
            bool, typer.Option("--cpu", help="Stay on the processor even where there is a GPU.")
        ] = False,
        workers: Annotated[int, typer.Option(min=0, help="Processes that make samples.")] = 1,
        threads: Annotated[int | None, typer.Option(min=1, help="Processor threads of the network.")] = None,
        save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
        stop_after: Annotated[
            str | None,
            typer.Option(metavar="DURATION", help="End this slice after 30m, 1.5h, ...; then --resume."),
        ] = None,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    ) -> None:
        from tinct.errors import OptionError, near_match
        from tinct.training.arguments import parse_duration, parse_steps
        from tinct.training.interruption import TrainingInterrupted
        from tinct.training.options import LoopOptions
        from tinct.training.progress import shown_progress
        from tinct.training.recipes import object_recipe
        from tinct.training.sources import Sources

        recipes = importlib.import_module(f"tinct.training.recipes.{method}").RECIPES
        if variant not in recipes:
            raise OptionError(f"{method} has no recipe for {variant!r}. {near_match(variant, recipes)}")
        options = LoopOptions(
            out,
            method,
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
                outcome = object_recipe.train_by_recipe(
                    recipes[variant],
                    Sources(data, split, stills, year),
                    options,
                    steps=None if steps is None else parse_steps(steps),
                    imagenet=imagenet,
                    init=init,
                    dev=dev,
                    progress=progress,
                )
        except TrainingInterrupted as interruption:
            print(f"tinct: {interruption}", file=sys.stderr)
            raise typer.Exit(128 + interruption.signal_number) from None
        print(outcome.summary(out))

    verb.__doc__ = text
    return verb


for _method, _text in VERBS.items():
    train_app.command(_method)(_verb(_method, _text))
