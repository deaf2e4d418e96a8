"""How FEELVOS is trained: the stages of both variants, and the run.

The paper's recipe (3.7): clips of [reference, t-1, t], the truth of t-1 fed back, loss on t only.
The compact recipe starts with clips made from photos, and rolls three frames out (`feelvos_task`).

    tinct train feelvos --data DAVIS --stills STILLS --out runs/feelvos
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tinct.data.davis import Davis
from tinct.data.samplers import ClipOptions, Clips, MixedClips, StillClips, VideoClips
from tinct.data.static_images import StaticImages
from tinct.errors import OptionError, near_match
from tinct.methods.feelvos import COMPACT, FeelvosNetwork, Options, build
from tinct.networks.weights import load_weights
from tinct.training.checkpoint import FILE_NAME as CHECKPOINT
from tinct.training.dev_score import scored_on
from tinct.training.loop import train
from tinct.training.options import LoopOptions, Outcome, Progress
from tinct.training.recipes.feelvos_task import COMPACT_LOSS, FeelvosTask, LossOptions
from tinct.training.stages import SGD, AdamW, CosineSchedule, PolynomialSchedule, Stage


@dataclass(frozen=True)
class Data:
    """Where the clips come from.

    Attributes:
        davis: Root of DAVIS-layout data.
        split: Its list to train on.
        stills: Folder of photos with masks, or None.
        year: Of the lists: "2016" or "2017".
    """

    davis: Path
    split: str = "train"
    stills: Path | None = None
    year: str = "2016"

    def videos(self) -> Davis:
        """The sequences; DatasetError if something of them is missing."""
        return Davis(self.davis, self.split, year=self.year)


def compact_stages(data: Data, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Photos first, then videos with a quarter of photos mixed in; 240×432, AdamW, cosine.

    Args:
        data: Without stills, only the second stage is run, on videos alone.
        steps: Of each stage, "stills" and "video"; 0 leaves a stage out.
        seed: Of the clips.
    """
    options = ClipOptions(seed=seed)
    sources: dict[str, tuple[Clips, float]] = {}
    videos: Clips = VideoClips(data.videos(), options)
    if data.stills is not None:
        stills = StillClips(StaticImages(data.stills), replace(options, paste=0.7))
        sources["stills"] = stills, 1e-3
        videos = MixedClips(videos, stills, 0.25)
    sources["video"] = videos, 7e-4
    return [
        Stage(
            name, clips, steps[name], batch=4, learning_rate=learning_rate, schedule=CosineSchedule(100),
            optimiser=AdamW(weight_decay=1e-3), clip_gradient_norm=2.0, ema_decay=0.998,
        )
        for name, (clips, learning_rate) in sources.items()
        if steps.get(name, 0)
    ]  # fmt: skip


def paper_stages(data: Data, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """The paper's one stage (3.7): 465×465 crops of [reference, t-1, t], SGD, poly; nothing is pasted.

    Args:
        data: Stills are not used.
        steps: Of the stage "video".
        seed: Of the clips.
    """
    options = ClipOptions(
        size=(465, 465), frames=3, max_objects=10, max_step=1, paste=0.0, degrade=0.0, colour=0.0, seed=seed
    )
    return [
        Stage(
            "video", VideoClips(data.videos(), options, stored_px=480), steps["video"], batch=6,
            learning_rate=7e-4, schedule=PolynomialSchedule(0.9),
            optimiser=SGD(momentum=0.9, weight_decay=4e-5), clip_gradient_norm=5.0, ema_decay=0.0,
        )
    ]  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """How one variant is trained.

    Attributes:
        options: How the network is made in training; weights do not depend on the stride.
        loss: Of what its loss consists.
        stages: Data, steps, seed → stages.
        steps: Steps of each stage, where none are asked for.
    """

    options: Options
    loss: LossOptions
    stages: Callable[[Data, Mapping[str, int], int], list[Stage]]
    steps: Mapping[str, int]


VARIANTS: Mapping[str, Variant] = {
    "mobilenetv2": Variant(
        replace(COMPACT, reference_pixels=512), COMPACT_LOSS, compact_stages, {"stills": 1200, "video": 1900}
    ),
    "xception65": Variant(Options(output_stride=16), LossOptions(), paper_stages, {"video": 200_000}),
}
"""The paper's 200,000 steps, and what two CPU cores do in some hours."""


def _recipe_of(variant: str) -> Variant:
    if variant not in VARIANTS:
        raise OptionError(f"feelvos has no variant {variant!r}. {near_match(variant, VARIANTS)}")
    return VARIANTS[variant]


def build_task(variant: str, *, imagenet: str | None = "auto", weights: Path | None = None) -> FeelvosTask:
    """The network of a variant, ready to train.

    Args:
        variant: "mobilenetv2" or "xception65".
        imagenet: Where the backbone's ImageNet weights come from (`load_imagenet`); None leaves it
            as chance made it, for a checkpoint to fill.
        weights: Start from these weights instead.

    Raises:
        OptionError: No such variant or source.
        WeightsError: Weights are missing or do not fit.
    """
    recipe = _recipe_of(variant)
    network = FeelvosNetwork(recipe.options)
    if weights is not None:
        load_weights(weights, network, method="feelvos", variant=variant)
    elif imagenet is not None:
        network.start_from_imagenet(imagenet)
    network.freeze_for_training()
    return FeelvosTask(network, recipe.loss)


def build_stages(variant: str, data: Data, steps: Mapping[str, int] | None, seed: int) -> list[Stage]:
    """The stages of a variant's recipe.

    Args:
        variant: "mobilenetv2" or "xception65".
        data: What to train on.
        steps: Steps of stages by name; those not named are as the recipe has them, 0 leaves one out.
        seed: Of the clips.

    Raises:
        OptionError: No such variant or stage, or a stage whose data are lacking.
        DatasetError: Something of the data is missing.
    """
    recipe = _recipe_of(variant)
    for name, count in (steps or {}).items():
        if name not in recipe.steps:
            raise OptionError(
                f"The recipe of {variant} has no stage {name!r}. {near_match(name, recipe.steps)}"
            )
        if count < 0:
            raise OptionError(f"Stage {name!r} was given {count} steps; 0 leaves it out.")
        if name == "stills" and count and data.stills is None:
            raise OptionError("Stage 'stills' needs photos with masks; give their folder with --stills.")
    return recipe.stages(data, {**recipe.steps, **(steps or {})}, seed)


def train_feelvos(
    data: Data,
    options: LoopOptions,
    *,
    steps: Mapping[str, int] | None = None,
    imagenet: str = "auto",
    weights: Path | None = None,
    dev: str | None = None,
    progress: Callable[[list[Stage]], Progress] | None = None,
) -> Outcome:
    """Train a variant by its recipe; the result is `<last stage>.safetensors` in the run's folder.

    Args:
        data: What to train on.
        options: The run: folder, variant, seed, precision, resume.
        steps: See `build_stages`.
        imagenet: See `build_task`.
        weights: See `build_task`.
        dev: A split of the same data: J and F on it are measured at the end of every stage, from
            the weights as they are saved, and written to the curve.
        progress: Stages → what is called after every step.

    Raises:
        OptionError: A variant, stage, source or option that does not exist, or a run that is not this one.
        DatasetError: Something of the data is missing or broken.
        WeightsError: Weights to start from are missing or do not fit.
        TinctError: Whatever else `tinct.training.loop.train` raises.
    """
    stages = build_stages(options.variant, data, steps, options.seed)
    score = None
    if dev is not None:
        score = scored_on(
            data.davis, dev, lambda file, device: build(options.variant, "default", file, device)
        )
    resumes = options.resume and (options.out / CHECKPOINT).exists()
    torch.manual_seed(options.seed)
    task = build_task(
        options.variant,
        imagenet=None if resumes else imagenet,
        weights=None if resumes else weights,
    )

    return train(
        task,
        stages,
        options,
        progress=None if progress is None else progress(stages),
        on_stage_end=score,
    )
