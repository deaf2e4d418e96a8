"""How FEELVOS is trained: the stages of both variants.

The paper's recipe (3.7): clips of [reference, t-1, t], the truth of t-1 fed back, loss on t only.
The compact recipe starts with clips made from photos, and rolls three frames out (`feelvos_task`).

    tinct train feelvos --data DAVIS --stills STILLS --out runs/feelvos
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from torch import nn

from tinct.data.samplers import ClipOptions, Clips, MixedClips, StillClips, VideoClips
from tinct.methods.feelvos import COMPACT, Options
from tinct.networks.feelvos import FeelvosNetwork
from tinct.training.recipes.feelvos_task import COMPACT_LOSS, FeelvosTask, LossOptions
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
    """The paper's one stage (3.7): 465×465 crops of [reference, t-1, t], SGD, poly; nothing is pasted.

    Args:
        data: Photos are not used.
        steps: Of the stage "video".
        seed: Of the clips.
    """
    if not steps["video"]:
        return []
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


def _task(options: Options, loss: LossOptions) -> FeelvosTask:
    """A randomly initialised network, with what stays as ImageNet made it taken out of training."""
    network = FeelvosNetwork(options.config, options.output_stride)
    network.freeze_for_training()
    return FeelvosTask(network, options, loss)


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, FeelvosNetwork)
    return network.start_from_imagenet(source)


RECIPES = {
    "mobilenetv2": Recipe(
        "feelvos", "mobilenetv2", {"stills": 1200, "video": 1900},
        partial(_task, replace(COMPACT, reference_pixels=512), COMPACT_LOSS), compact_stages, _from_imagenet,
        optional=("stills",),
    ),
    "xception65": Recipe(
        "feelvos", "xception65", {"video": 200_000}, partial(_task, Options(output_stride=16), LossOptions()),
        paper_stages, _from_imagenet,
    ),
}  # fmt: skip
"""Variant → recipe: what two processor cores do in some hours, and the paper's 200,000 steps."""
