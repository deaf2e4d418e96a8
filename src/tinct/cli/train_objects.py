"""`tinct train osvos`, `masktrack`, `maskrnn` and `dyenet`: methods whose recipes share one runner."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tinct.cli.measure import listed
from tinct.cli.train import (
    Cpu,
    Imagenet,
    MixedPrecision,
    Out,
    Resume,
    SaveEvery,
    Seed,
    Split,
    StopAfter,
    Threads,
    Variant,
    Year,
    run_recipe,
    train_app,
)

VERBS = {
    "osvos": "Train OSVOS's parent network; the result is OUT/video.safetensors.",
    "masktrack": "Train MaskTrack; the result is OUT/clips.safetensors.",
    "dyenet": "Train DyeNet; the result is OUT/long.safetensors (papers' variants: joint).",
    "maskrnn": "Train MaskRNN, starting from a MaskTrack (--init); the result is OUT/recurrence.safetensors.",
}


PARTS = {
    "masktrack": "damage, deformation, dilation, non-rigid",
    "maskrnn": "localization, recurrence",
    "dyenet": "attention",
}
"""What recipes can leave out, as the papers' ablations do; only these methods show the option."""

ADDITIONS = {"dyenet": "two-streams, and pyramid where there is none"}
"""What recipes can add: DyeNet's advanced form."""


def _verb(method: str, text: str) -> Callable[..., None]:
    def verb(
        out: Out,
        data: Annotated[Path | None, typer.Option(help="Data in the layout of DAVIS.")] = None,
        split: Split = "train",
        year: Year = "2016",
        stills: Annotated[Path | None, typer.Option(help="Photos with object masks.")] = None,
        variant: Variant = "mobilenetv2",
        steps: Annotated[
            str | None, typer.Option(metavar="NAME=COUNT,...", help="Steps of stages: stills=400,video=300.")
        ] = None,
        dev: Annotated[
            str | None,
            typer.Option(metavar="SPLIT", help="Measure J and F on it, untuned, at the end of every stage."),
        ] = None,
        seed: Seed = 0,
        init: Annotated[
            Path | None,
            typer.Option(help="Start from these weights: of this method, or of the one it builds on."),
        ] = None,
        without: str | None = None,
        added: str | None = None,
        imagenet: Imagenet = "auto",
        mixed_precision: MixedPrecision = "auto",
        cpu: Cpu = False,
        workers: Annotated[int, typer.Option(min=0, help="Processes that make samples.")] = 1,
        threads: Threads = None,
        save_every: SaveEvery = 100,
        stop_after: StopAfter = None,
        resume: Resume = False,
    ) -> None:
        from tinct.errors import OptionError, near_match
        from tinct.training.recipes.object_recipe import train_by_recipe
        from tinct.training.sources import Sources

        recipes = importlib.import_module(f"tinct.training.recipes.{method}").RECIPES
        if variant not in recipes:
            raise OptionError(f"{method} has no recipe for {variant!r}. {near_match(variant, recipes)}")
        run_recipe(
            lambda options, counts, progress: train_by_recipe(
                recipes[variant].without(listed(without) or ()).with_added(listed(added) or ()),
                Sources(data, split, stills, year),
                options,
                steps=counts,
                imagenet=imagenet,
                init=init,
                dev=dev,
                progress=progress,
            ),
            out,
            method,
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

    verb.__doc__ = text
    # Hidden, not absent: who gives one all the same is told that there is nothing to leave out or to add.
    help_text = f"Leave parts out, as the paper's ablation does: {PARTS.get(method)}."
    option = typer.Option(metavar="PART,...", help=help_text, hidden=method not in PARTS)
    verb.__annotations__["without"] = Annotated[str | None, option]
    help_text = f"Add parts that the recipe lacks: {ADDITIONS.get(method)}."
    option = typer.Option("--with", metavar="PART,...", help=help_text, hidden=method not in ADDITIONS)
    verb.__annotations__["added"] = Annotated[str | None, option]
    return verb


for _method, _text in VERBS.items():
    train_app.command(_method)(_verb(_method, _text))
