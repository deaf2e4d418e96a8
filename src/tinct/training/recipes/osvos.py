"""How OSVOS's parent network is trained: to tell foreground from background (the paper, 3.2).

tinct train osvos --data DAVIS --stills STILLS --out runs/osvos
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tinct.data.masked_frames import DavisFrames, FrameOptions, MaskedFrames, Pictures, StillPictures
from tinct.losses import FrameLossOptions
from tinct.methods.osvos import COMPACT, Osvos, OsvosNetwork, build
from tinct.networks.guided_pyramid import GuidedPyramid, take_over_pyramid
from tinct.networks.side_outputs import SideLogits
from tinct.online import Budget
from tinct.training.recipes.frame_task import FrameTask
from tinct.training.recipes.object_recipe import ObjectRecipe
from tinct.training.sources import Sources
from tinct.training.stages import AdamW, CosineSchedule, Stage

COMPACT_LOSS = FrameLossOptions(sides=0.25, sides_until=600)


def compact_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Photos first, then frames of videos with a third of photos mixed in."""
    options = FrameOptions(one_object=False, seed=seed)
    stages = []
    if steps.get("stills", 0):
        photos: tuple[Pictures, float] = StillPictures(data.photos()), 1.0
        stages.append(_stage("stills", [photos], options, steps["stills"], 1e-3))
    if steps.get("video", 0):
        pictures: list[tuple[Pictures, float]] = [(DavisFrames(data.videos()), 2.0)]
        if data.stills is not None:
            pictures.append((StillPictures(data.photos()), 1.0))
        stages.append(_stage("video", pictures, options, steps["video"], 5e-4))
    return stages


def _stage(
    name: str,
    pictures: list[tuple[Pictures, float]],
    options: FrameOptions,
    steps: int,
    learning_rate: float,
) -> Stage:
    return Stage(
        name, MaskedFrames(pictures, options), steps, batch=8, learning_rate=learning_rate,
        schedule=CosineSchedule(50), optimiser=AdamW(weight_decay=1e-3), clip_gradient_norm=2.0,
        ema_decay=0.998,
    )  # fmt: skip


def compact_task() -> FrameTask:
    """The compact network, as chance made it."""
    network = OsvosNetwork(COMPACT)
    _pyramid(network).backbone.freeze_to_stride_4()

    def segment(frames: Tensor, previous: Tensor, *, deep_supervision: bool) -> SideLogits:
        output: SideLogits = network(frames, deep_supervision=deep_supervision)
        return output

    return FrameTask(network, segment, COMPACT_LOSS, slow=(".backbone.",))


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, OsvosNetwork)
    return network.stream.backbone.start_from_imagenet(source)


def _from_feelvos(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    return take_over_pyramid(_pyramid(network), tensors, "extractor.")


def _pyramid(network: nn.Module) -> GuidedPyramid:
    assert isinstance(network, OsvosNetwork)
    assert isinstance(network.stream, GuidedPyramid)
    return network.stream


def _segmenter(weights: Path, device: torch.device, budget: Budget) -> Osvos:
    tuning = replace(COMPACT.fine_tuning, budget=budget)
    return build("mobilenetv2", "default", weights, device, fine_tuning=tuning)


RECIPES = {
    "mobilenetv2": ObjectRecipe(
        "osvos", "mobilenetv2", {"stills": 400, "video": 300}, compact_task, compact_stages, _from_imagenet,
        {"feelvos": _from_feelvos}, _segmenter,
    )
}  # fmt: skip
"""Variant → recipe. The compact one starts best from the compact FEELVOS, which knows objects already."""
