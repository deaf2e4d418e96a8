"""How MaskRNN is trained: single frames first (MaskTrack's stages), then the recurrence over clips (3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file

from tinct.data.samplers import ClipOptions, MixedClips, StillClips, VideoClips
from tinct.losses import FrameLossOptions
from tinct.methods.maskrnn import MaskRnnNetwork, Options
from tinct.networks.flow import DisFlow
from tinct.networks.guided_pyramid import take_over_pyramid
from tinct.networks.weights import load_weights
from tinct.training.flow_clips import FlowClips
from tinct.training.recipes.maskrnn_task import MaskRnnLossOptions, MaskRnnTask
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
    options = ClipOptions(size=(240, 416), frames=8, max_objects=1, max_step=2, seed=seed)
    clips = MixedClips(VideoClips(data.videos(), options), StillClips(data.photos(), options), 0.3)
    return [
        Stage(
            "recurrence", FlowClips(clips, DisFlow(), forward=True), steps["recurrence"], batch=2,
            learning_rate=5e-4, schedule=CosineSchedule(50), optimiser=AdamW(weight_decay=1e-3),
            clip_gradient_norm=2.0, ema_decay=0.995,
        )
    ]  # fmt: skip


def build_task(*, masktrack: Path | None = None, weights: Path | None = None) -> MaskRnnTask:
    """The compact network, ready to train.

    Args:
        masktrack: Start both streams from these weights of a compact MaskTrack.
        weights: Go on from these weights of MaskRNN instead.
    """
    network = MaskRnnNetwork(Options())
    if weights is not None:
        load_weights(weights, network, method="maskrnn", variant="mobilenetv2")
    elif masktrack is not None:
        tensors = load_file(masktrack)
        for stream in (network.streams.appearance, network.streams.motion):
            take_over_pyramid(stream, tensors, "stream.")
    for stream in (network.streams.appearance, network.streams.motion):
        stream.backbone.freeze_to_stride_4()
    return MaskRnnTask(network, network.streams, COMPACT_LOSS)
