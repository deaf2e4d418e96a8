"""How OSVOS's parent network is trained: to tell foreground from background (the paper, 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from tinct.data.masked_frames import DavisFrames, FrameOptions, MaskedFrames, Pictures, StillPictures
from tinct.losses import FrameLossOptions
from tinct.methods.osvos import Options, OsvosNetwork
from tinct.networks.guided_pyramid import take_over_pyramid
from tinct.networks.side_outputs import SideLogits
from tinct.training.recipes.frame_task import FrameTask
from tinct.training.sources import Sources
from tinct.training.stages import AdamW, CosineSchedule, Stage

COMPACT_LOSS = FrameLossOptions(sides=0.25, sides_until=600)


def compact_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Photos first, then frames of videos with a third of photos mixed in."""
    options = FrameOptions(one_object=False, seed=seed)
    photos: tuple[Pictures, float] = StillPictures(data.photos()), 1.0
    frames: tuple[Pictures, float] = DavisFrames(data.videos()), 2.0
    sources = {"stills": ([photos], 1e-3), "video": ([frames, photos], 5e-4)}
    return [
        Stage(
            name, MaskedFrames(pictures, options), steps[name], batch=8, learning_rate=learning_rate,
            schedule=CosineSchedule(50), optimiser=AdamW(weight_decay=1e-3), clip_gradient_norm=2.0,
            ema_decay=0.998,
        )
        for name, (pictures, learning_rate) in sources.items()
        if steps.get(name, 0)
    ]  # fmt: skip


def build_task(*, pyramid: Path | None = None) -> FrameTask:
    """The compact network, its pyramid taken over from a FEELVOS."""
    network = OsvosNetwork(Options())
    if pyramid is not None:
        take_over_pyramid(network.stream, load_file(pyramid), "extractor.")
    network.stream.backbone.freeze_to_stride_4()

    def segment(frames: Tensor, previous: Tensor, *, deep_supervision: bool) -> SideLogits:
        output: SideLogits = network(frames, deep_supervision=deep_supervision)
        return output

    return FrameTask(network, segment, COMPACT_LOSS, slow=(".backbone.",))
