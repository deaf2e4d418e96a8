"""How FEELVOS is trained: the stages of both variants.

The paper's recipe (3.7): [reference, t-1, t], the truth of t-1 fed back, loss on t only. What the paper does
not say is as in the authors' code: frames are scaled, cropped and mirrored alone, all layers learn at one
rate, biases at twice that, and each gradient is clipped by itself.
The compact recipe starts with clips made from photos, and rolls three frames out (`feelvos_task`).

    tinct train feelvos --data DAVIS --stills STILLS --out runs/feelvos
    tinct train feelvos --variant xception65 --data DAVIS --year 2017 --init deeplab.npz --out runs/paper

Parts can be left out, as in the paper's ablation: `--without window` matches with the whole previous frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from tinct.data.frame_triplets import FrameTriplets, TripletOptions
from tinct.data.samplers import ClipOptions, Clips, MixedClips, StillClips, VideoClips
from tinct.errors import OptionError
from tinct.methods.feelvos import COMPACT, Options
from tinct.networks.deeplab import DeepLabV3Plus
from tinct.networks.deeplab_checkpoint import load_deeplab
from tinct.networks.feelvos import FeelvosNetwork
from tinct.training.recipes.feelvos_task import (
    COMPACT_LOSS,
    PAPER_LOSS,
    FeelvosTask,
    LossOptions,
    RateOf,
    compact_rate,
    paper_rate,
)
from tinct.training.recipes.recipe import Recipe, compact_stage
from tinct.training.sources import Sources
from tinct.training.stages import SGD, PolynomialSchedule, Stage


def compact_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Photos first, then videos with a quarter of photos mixed in; 240×432, AdamW, cosine.

    Args:
        data: Without photos, videos alone make the second stage.
        steps: Of each stage, "stills" and "video"; 0 leaves a stage out.
        seed: Of the clips.
    """
    options = ClipOptions(seed=seed)
    sources: dict[str, tuple[Clips, float]] = {}
    videos: Clips = VideoClips(data.videos(), options)
    if data.stills is not None or steps["stills"]:
        stills = StillClips(data.photos(), replace(options, paste=0.7))
        sources["stills"] = stills, 1e-3
        videos = MixedClips(videos, stills, 0.25)
    sources["video"] = videos, 7e-4
    return [
        compact_stage(name, clips, steps[name], 4, learning_rate, warm_up_steps=100)
        for name, (clips, learning_rate) in sources.items()
        if steps[name]
    ]  # fmt: skip


def paper_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """The paper's one stage (3.7): 465×465 crops of [reference, t-1, t], SGD, poly.

    Args:
        data: Photos are not used.
        steps: Of the stage "video".
        seed: Of the clips.
    """
    if not steps["video"]:
        return []
    return [
        Stage(
            "video", FrameTriplets(data.videos(), TripletOptions(seed=seed)), steps["video"], batch=6,
            learning_rate=7e-4, schedule=PolynomialSchedule(0.9),
            optimiser=SGD(momentum=0.9, weight_decay=4e-5), clip_gradient_norm=5.0, ema_decay=0.0,
            clip_each=True,
        )
    ]  # fmt: skip


def _task(options: Options, loss: LossOptions, rate: RateOf) -> FeelvosTask:
    """A randomly initialised network, with what stays as it was made taken out of training."""
    network = FeelvosNetwork(options.config, options.output_stride)
    network.freeze_for_training()
    return FeelvosTask(network, options, loss, rate)


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, FeelvosNetwork)
    return network.start_from_imagenet(source)


def _from_deeplab(network: nn.Module, file: Path) -> str:
    assert isinstance(network, FeelvosNetwork)
    assert isinstance(network.extractor, DeepLabV3Plus)
    return load_deeplab(network.extractor, file)


def _without(**changes: Any) -> Callable[[Recipe], Recipe]:
    """The recipe with some of the task's options changed, those of the segmenter that measures it too."""

    def changed(recipe: Recipe) -> Recipe:
        task: Any = recipe.task
        options, *others = task.args
        options = replace(options, **changes)
        if not options.global_matching and options.previous_matching == "none":
            raise OptionError(
                "Without global-matching and local-matching nothing is embedded; leave out one of them."
            )
        dev_options = {**recipe.dev_options, **changes}
        return replace(recipe, task=partial(task.func, options, *others), dev_options=dev_options)

    return changed


PARTS = {
    "global-matching": _without(global_matching=False),
    "local-matching": _without(previous_matching="none"),
    "window": _without(previous_matching="frame"),
    "previous-prediction": _without(previous_prediction=False),
}
"""What the paper's ablation leaves out; without the window the whole previous frame is matched."""


RECIPES = {
    "mobilenetv2": Recipe(
        "feelvos", "mobilenetv2", {"stills": 1200, "video": 1900},
        partial(_task, replace(COMPACT, reference_pixels=512), COMPACT_LOSS, compact_rate), compact_stages,
        _from_imagenet, parts=PARTS, optional=("stills",),
    ),
    "xception65": Recipe(
        "feelvos", "xception65", {"video": 200_000},
        partial(_task, Options(output_stride=16), PAPER_LOSS, paper_rate), paper_stages, _from_imagenet,
        parts=PARTS, foreign=_from_deeplab,
    ),
}  # fmt: skip
"""Variant → recipe: what two processor cores do in some hours, and the paper's 200,000 steps."""
