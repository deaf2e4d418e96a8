"""How MaskRNN is trained: single frames first (MaskTrack's stages), then the recurrence over clips (3.5).

tinct train maskrnn --data DAVIS --stills STILLS --init runs/masktrack/clips.safetensors --out runs/maskrnn
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinct.data.samplers import ClipOptions, MixedClips, StillClips, VideoClips
from tinct.losses import FrameLossOptions
from tinct.methods.maskrnn import COMPACT, MaskRnnNetwork, build
from tinct.networks.flow import DisFlow
from tinct.networks.guided_pyramid import take_over_pyramid
from tinct.networks.two_streams import TwoStreams
from tinct.online import Budget
from tinct.training.flow_clips import FlowClips
from tinct.training.recipes.maskrnn_task import MaskRnnLossOptions, MaskRnnTask
from tinct.training.recipes.object_recipe import ObjectRecipe
from tinct.training.sources import Sources
from tinct.training.stages import AdamW, CosineSchedule, Stage

COMPACT_LOSS = MaskRnnLossOptions(FrameLossOptions())


def compact_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Clips of a reference and seven frames in a row, so that time goes back over six warps.

    Args:
        data: Videos, and photos for a third of the clips.
        steps: Of the stage "recurrence".
        seed: Of the clips.
    """
    if not steps.get("recurrence", 0):
        return []
    options = ClipOptions(size=(240, 416), frames=8, max_objects=1, max_step=2, seed=seed)
    clips = MixedClips(VideoClips(data.videos(), options), StillClips(data.photos(), options), 0.3)
    return [
        Stage(
            "recurrence", FlowClips(clips, DisFlow(), forward=True), steps["recurrence"], batch=2,
            learning_rate=5e-4, schedule=CosineSchedule(50), optimiser=AdamW(weight_decay=1e-3),
            clip_gradient_norm=2.0, ema_decay=0.99,
        )
    ]  # fmt: skip


def compact_task() -> MaskRnnTask:
    """The compact network, as chance made it."""
    network = MaskRnnNetwork(COMPACT)
    network.streams.freeze_for_training()
    return MaskRnnTask(network, network.streams, COMPACT_LOSS)


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, MaskRnnNetwork)
    return network.streams.start_from_imagenet(source)


def _from_masktrack(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    assert isinstance(network, MaskRnnNetwork)
    assert isinstance(network.streams, TwoStreams)
    streams = (network.streams.appearance, network.streams.motion)
    return sum(take_over_pyramid(stream, tensors, "stream.") for stream in streams)


def _segmenter(weights: Path, device: torch.device, budget: Budget) -> Any:
    tuning = replace(COMPACT.fine_tuning, budget=budget)
    return build("mobilenetv2", "default", weights, device, fine_tuning=tuning)


RECIPES = {
    "mobilenetv2": ObjectRecipe(
        "maskrnn", "mobilenetv2", {"recurrence": 400}, compact_task, compact_stages, _from_imagenet,
        {"masktrack": _from_masktrack}, _segmenter,
    )
}  # fmt: skip
"""Variant → recipe. Its first stages are MaskTrack's: it starts from a compact MaskTrack (`--init`)."""
