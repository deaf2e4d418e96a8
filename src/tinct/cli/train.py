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
from tinct.cli.choosing import FlowWeights
from tinct.cli.measure import listed
from tinct.zoo.methods import METHODS, PROMPTABLE
from tinct.zoo.records import MethodRecord, TrainingHelp

if TYPE_CHECKING:
    from tinct.networks.flow import FlowEstimator
    from tinct.training.options import LoopOptions
    from tinct.training.sources import Sources

train_app = typer.Typer(help="Train a method by its recipe.", no_args_is_help=True)
app.add_typer(train_app, name="train")

Data = Annotated[
    list[str],
    typer.Option(
        metavar="[LAYOUT=]PATH[:WEIGHT]",
        help="Videos or photos, and their share of the samples; may be given several times. Layouts, which "
        "are recognised: davis-2016, davis-2017, youtube-vos, stills, saliency, coco.",
    ),
]
Out = Annotated[Path, typer.Option(help="The run's folder.")]
Split = Annotated[str, typer.Option(help="The list of DAVIS to train on.")]
Year = Annotated[
    str | None,
    typer.Option(help="Of DAVIS's lists, as in ImageSets/2016; by default the first that is there."),
]
Batch = Annotated[
    str | None,
    typer.Option(metavar="N|STAGE=N,...", help="Samples of a step and process; by default the recipe's."),
]
LearningRate = Annotated[
    str | None,
    typer.Option(metavar="RATE|STAGE=RATE,...", help="The largest learning rate; by default the recipe's."),
]
Accumulate = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="PARTS", help="Parts in which a step's batch goes through the network, to save memory."
    ),
]
Crop = Annotated[
    str | None, typer.Option(metavar="HxW", help="Size of the samples in pixels; by default the recipe's.")
]
LogEvery = Annotated[int, typer.Option(min=1, help="Steps between lines of the curve.")]
Flow = Annotated[
    str | None,
    typer.Option(
        metavar="dis|raft-small|raft-large", help="Optical flow of clips; by default the recipe's, dis."
    ),
]
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
        with progress_display(every=options.log_every) as progress:
            outcome = train_by_recipe(recipe, data, options, steps=counts, progress=progress, **start)
    except TrainingInterrupted as interruption:
        print(f"tinct: {interruption}", file=sys.stderr)
        raise typer.Exit(128 + interruption.signal_number) from None
    print(outcome.summary(options.out))


def _flow(name: str | None, weights: Path | None) -> "FlowEstimator | None":
    """The estimator that clips are made with; the processes that make them have no GPU."""
    if name is None and weights is None:
        return None
    import torch

    from tinct.networks.flow_choice import FlowChoice

    return FlowChoice(name or "dis", weights).estimator(torch.device("cpu"))


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
        data: Data = ... if about.needs_videos else [],  # type: ignore[assignment]
        split: Split = "train",
        year: Year = None,
        stills: Annotated[Path | None, typer.Option(help=about.stills)] = None,
        variant: Variant = "mobilenetv2",
        steps: Annotated[str | None, typer.Option(metavar="NAME=COUNT,...", help=steps_help)] = None,
        dev: Annotated[str | None, typer.Option(metavar="SPLIT", help=about.dev)] = None,
        seed: Seed = 0,
        init: Annotated[Path | None, typer.Option(help=about.init)] = None,
        without: Annotated[str | None, without_option] = None,
        added: Annotated[str | None, added_option] = None,
        batch: Batch = None,
        learning_rate: LearningRate = None,
        accumulate: Accumulate = None,
        crop: Crop = None,
        flow: Flow = None,
        flow_weights: FlowWeights = None,
        imagenet: Imagenet = "auto",
        mixed_precision: MixedPrecision = "auto",
        cpu: Cpu = False,
        workers: Annotated[int, typer.Option(min=0, help=workers_help)] = 1,
        threads: Threads = None,
        save_every: SaveEvery = 100,
        log_every: LogEvery = 20,
        stop_after: StopAfter = None,
        resume: Resume = False,
    ) -> None:
        from tinct.training.arguments import parse_by_stage, parse_duration, parse_size
        from tinct.training.options import LoopOptions
        from tinct.training.overrides import Overrides
        from tinct.training.sources import sources_of

        options = LoopOptions(
            out, method, variant, seed, mixed_precision, cpu, workers, save_every, log_every, resume=resume,
            stop_after_s=None if stop_after is None else parse_duration(stop_after),
        )  # fmt: skip
        overrides = Overrides(
            None if batch is None else parse_by_stage(batch, int, "8 or stills=8,video=4"),
            None if learning_rate is None else parse_by_stage(learning_rate, float, "1e-3 or video=5e-4"),
            accumulate,
            None if crop is None else parse_size(crop),
            _flow(flow, flow_weights),
        )
        _train(
            options, sources_of(data, stills=stills, split=split, year=year), without=without, added=added,
            steps=steps, threads=threads, imagenet=imagenet, init=init, dev=dev, overrides=overrides,
        )  # fmt: skip

    verb.__doc__ = about.verb
    return verb


for _method, _record in {**METHODS, **PROMPTABLE}.items():
    if _record.training is not None:
        train_app.command(_method, epilog=_record.training.defaults)(
            training_verb(_method, _record, _record.training)
        )
