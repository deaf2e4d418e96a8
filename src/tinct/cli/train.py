"""`tinct train METHOD`: a method's recipe, run.

Annotations are evaluated as the verbs are made (there is no `from __future__ import annotations`):
some of their helps are the method's own.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinct.cli.application import app
from tinct.cli.measure import listed
from tinct.zoo.methods import METHODS, MethodRecord, TrainingHelp

if TYPE_CHECKING:
    from tinct.training.options import LoopOptions
    from tinct.training.sources import Sources

train_app = typer.Typer(help="Train a method by its recipe.", no_args_is_help=True)
app.add_typer(train_app, name="train")

Data = Annotated[Path | None, typer.Option(help="Data in the layout of DAVIS.")]
Out = Annotated[Path, typer.Option(help="The run's folder.")]
Split = Annotated[str, typer.Option(help="The list to train on.")]
Year = Annotated[str, typer.Option(help="Of the lists, as in ImageSets/2016.")]
Variant = Annotated[str, typer.Option(help="See `tinct models`.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Imagenet = Annotated[str, typer.Option(help="auto, hub, or a file with ImageNet weights.")]
MixedPrecision = Annotated[str, typer.Option(help="auto, no, bf16 or fp16.")]
Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the processor even where there is a GPU.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads of the network.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")]
StopAfter = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="End this slice after 30m, 1.5h, ...; then --resume."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]


def _train(
    options: "LoopOptions",
    data: "Sources",
    *,
    without: str | None,
    added: str | None,
    steps: str | None,
    threads: int | None,
    **start: Any,
) -> None:
    """Run a recipe with its progress shown; an interruption ends with its signal's exit code."""
    from tinct.errors import OptionError, near_match
    from tinct.training.arguments import parse_steps
    from tinct.training.interruption import TrainingInterrupted
    from tinct.training.progress import progress_display
    from tinct.training.recipes.recipe import train_by_recipe

    recipes = importlib.import_module(f"tinct.training.recipes.{options.method}").RECIPES
    if options.variant not in recipes:
        hint = near_match(options.variant, recipes)
        raise OptionError(f"{options.method} has no recipe for {options.variant!r}. {hint}")
    recipe = recipes[options.variant].without(listed(without) or ()).with_added(listed(added) or ())
    counts = None if steps is None else parse_steps(steps)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    try:
        with progress_display() as progress:
            outcome = train_by_recipe(recipe, data, options, steps=counts, progress=progress, **start)
    except TrainingInterrupted as interruption:
        print(f"tinct: {interruption}", file=sys.stderr)
        raise typer.Exit(128 + interruption.signal_number) from None
    print(outcome.summary(options.out))


def training_verb(method: str, record: MethodRecord, about: TrainingHelp) -> Callable[..., None]:
    """`tinct train METHOD`, with the helps of its record."""
    # Hidden, not absent: who gives one all the same reads that there is nothing to leave out or to add.
    without_option = typer.Option(
        metavar="PART,...",
        help=f"Leave parts out, as the paper's ablation does: {', '.join(record.recipe_parts)}.",
        hidden=not record.recipe_parts,
    )
    added_option = typer.Option(
        "--with",
        metavar="PART,...",
        help=f"Add parts that the recipe lacks: {', '.join(record.recipe_additions)}.",
        hidden=not record.recipe_additions,
    )
    steps_help, workers_help = f"Steps of stages: {about.steps}.", f"Processes that make {about.samples}."

    def verb(
        out: Out,
        data: Data = ... if about.needs_videos else None,  # type: ignore[assignment]
        split: Split = "train",
        year: Year = "2016",
        stills: Annotated[Path | None, typer.Option(help=about.stills)] = None,
        variant: Variant = "mobilenetv2",
        steps: Annotated[str | None, typer.Option(metavar="NAME=COUNT,...", help=steps_help)] = None,
        dev: Annotated[str | None, typer.Option(metavar="SPLIT", help=about.dev)] = None,
        seed: Seed = 0,
        init: Annotated[Path | None, typer.Option(help=about.init)] = None,
        without: Annotated[str | None, without_option] = None,
        added: Annotated[str | None, added_option] = None,
        imagenet: Imagenet = "auto",
        mixed_precision: MixedPrecision = "auto",
        cpu: Cpu = False,
        workers: Annotated[int, typer.Option(min=0, help=workers_help)] = 1,
        threads: Threads = None,
        save_every: SaveEvery = 100,
        stop_after: StopAfter = None,
        resume: Resume = False,
    ) -> None:
        from tinct.training.arguments import parse_duration
        from tinct.training.options import LoopOptions
        from tinct.training.sources import Sources

        options = LoopOptions(
            out, method, variant, seed, mixed_precision, cpu, workers, save_every, resume=resume,
            stop_after_s=None if stop_after is None else parse_duration(stop_after),
        )  # fmt: skip
        _train(
            options, Sources(data, split, stills, year), without=without, added=added, steps=steps,
            threads=threads, imagenet=imagenet, init=init, dev=dev,
        )  # fmt: skip

    verb.__doc__ = about.verb
    return verb


for _method, _record in METHODS.items():
    if _record.training is not None:
        train_app.command(_method)(training_verb(_method, _record, _record.training))
