"""How MaskTrack is trained: on still images with deformed masks, no video needed (the paper, 3.2).

tinct train masktrack --data DAVIS --stills STILLS --out runs/masktrack
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tinct.data.deform import MaskDeformation
from tinct.data.masked_frames import FrameOptions, MaskedFrames, StillPictures
from tinct.data.samplers import ClipOptions, MixedClips, Samples, StillClips, VideoClips
from tinct.losses import FrameLossOptions
from tinct.methods.masktrack import COMPACT, MaskTrack, MaskTrackNetwork, build
from tinct.networks.flow import DisFlow
from tinct.networks.guided_pyramid import GuidedPyramid, take_over_pyramid
from tinct.online import Budget
from tinct.training.flow_clips import FlowClips
from tinct.training.recipes.clip_task import ClipTask, RollOut
from tinct.training.recipes.object_recipe import ObjectRecipe
from tinct.training.sources import Sources
from tinct.training.stages import AdamW, CosineSchedule, Stage

COMPACT_LOSS = FrameLossOptions(sides=0.1, sides_until=1000)

SAMPLES = FrameOptions(
    deformation=MaskDeformation(shift=0.15, dilation_px=3), box=0.08, damaged=0.4, paste=0.5
)
"""At 256 rows: the mask deformed as in the paper, or damaged as a network damages it; a few boxes."""


def compact_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Photos with deformed masks as in the paper; then, beyond it, clips whose masks are handed on."""
    stages = []
    if steps.get("stills", 0):
        samples = MaskedFrames([(StillPictures(data.photos()), 1.0)], replace(SAMPLES, seed=seed))
        stages.append(_stage("stills", samples, steps["stills"], 8, 1e-3, 0.998))
    if steps.get("clips", 0):
        options = ClipOptions(size=(256, 448), frames=5, max_objects=1, seed=seed)
        moved = StillClips(data.photos(), replace(options, paste=0.5))
        clips = FlowClips(MixedClips(VideoClips(data.videos(), options), moved, 0.4), DisFlow())
        stages.append(_stage("clips", clips, steps["clips"], 4, 5e-4, 0.99))
    return stages


def _stage(
    name: str, samples: Samples, steps: int, batch: int, learning_rate: float, ema_decay: float
) -> Stage:
    return Stage(
        name, samples, steps, batch, learning_rate, schedule=CosineSchedule(50),
        optimiser=AdamW(weight_decay=1e-3), clip_gradient_norm=2.0, ema_decay=ema_decay,
    )  # fmt: skip


def compact_task() -> ClipTask:
    """The compact network, as chance made it."""
    network = MaskTrackNetwork(COMPACT)
    _pyramid(network).backbone.freeze_to_stride_4()
    return ClipTask(network, COMPACT_LOSS, slow=(".backbone.",), roll_out=RollOut())


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, MaskTrackNetwork)
    return network.stream.backbone.start_from_imagenet(source)


def _from_feelvos(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    return take_over_pyramid(_pyramid(network), tensors, "extractor.")


def _pyramid(network: nn.Module) -> GuidedPyramid:
    assert isinstance(network, MaskTrackNetwork)
    assert isinstance(network.stream, GuidedPyramid)
    return network.stream


def _segmenter(weights: Path, device: torch.device, budget: Budget) -> MaskTrack:
    tuning = replace(COMPACT.fine_tuning, budget=budget)
    return build("mobilenetv2", "default", weights, device, fine_tuning=tuning)


RECIPES = {
    "mobilenetv2": ObjectRecipe(
        "masktrack", "mobilenetv2", {"stills": 1300, "clips": 700}, compact_task, compact_stages,
        _from_imagenet, {"feelvos": _from_feelvos}, _segmenter,
    )
}  # fmt: skip
"""Variant → recipe. The compact one starts best from the compact FEELVOS, which knows objects already."""
