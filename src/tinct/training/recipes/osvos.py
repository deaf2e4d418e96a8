"""How OSVOS's parent network is trained: to tell foreground from background (the paper, 3.2).

tinct train osvos --data DAVIS --stills STILLS --out runs/osvos
tinct train osvos --variant vgg16 --data DAVIS --out runs/osvos-vgg16

The paper's recipe is that of the authors' code: three stages in which the side outputs' own losses
count fully, half, and not at all; batches of 10 in the place of 10 gradients in a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinct.data.masked_frames import DavisFrames, FrameOptions, MaskedFrames, Pictures, StillPictures
from tinct.data.samplers import Samples
from tinct.methods.osvos import (
    COMPACT,
    PAPER,
    PAPER_DECAY,
    PAPER_MOTION,
    PAPER_PIXELS,
    OsvosNetwork,
)
from tinct.networks.guided_pyramid import GuidedPyramid, take_over_pyramid
from tinct.networks.side_outputs import SideLogits
from tinct.networks.vgg import SIDE_RATES
from tinct.ops.losses import BALANCED, FrameLossOptions
from tinct.training.recipes.frame_task import SIDE_SCORES, FrameTask, Segment
from tinct.training.recipes.recipe import Recipe, compact_stage
from tinct.training.sources import Sources
from tinct.training.stages import SGD, Stage, StepSchedule

COMPACT_LOSS = FrameLossOptions(sides=0.25, sides_until=600)


def compact_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Photos first, then frames of videos with a third of photos mixed in."""
    options = FrameOptions(one_object=False, seed=seed)
    stages = []
    if steps.get("stills", 0):
        photos: tuple[Pictures, float] = StillPictures(data.photos()), 1.0
        stages.append(compact_stage("stills", MaskedFrames([photos], options), steps["stills"], 8, 1e-3))
    if steps.get("video", 0):
        pictures: list[tuple[Pictures, float]] = [(DavisFrames(data.videos()), 2.0)]
        if data.stills is not None:
            pictures.append((StillPictures(data.photos()), 1.0))
        stages.append(compact_stage("video", MaskedFrames(pictures, options), steps["video"], 8, 5e-4))
    return stages


class SideWeighted(Samples):
    """Samples that say what the side outputs' own losses count in their stage, as `side_weight`.

    Args:
        samples: Of frames.
        weight: Of each side output's loss; that of the fused output counts 1.
    """

    def __init__(self, samples: Samples, weight: float) -> None:
        self.samples, self.weight = samples, weight

    def describe(self) -> str:
        """The samples, and the weight."""
        return f"{self.samples.describe()}; side outputs count {self.weight:g}"

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index` with the weight."""
        return {**self.samples[index], "side_weight": torch.tensor(self.weight)}


@dataclass(frozen=True)
class PaperStage:
    """One of the three stages of the authors' code.

    Attributes:
        side_weight: What the side outputs' own losses count.
        full_rate: The share of the steps before the learning rate falls to a tenth.
        steps: Of the optimiser.
    """

    side_weight: float
    full_rate: float
    steps: int


PAPER_STAGES = {
    "sides": PaperStage(1.0, 2 / 3, 15_000),
    "half_sides": PaperStage(0.5, 2 / 3, 15_000),
    "fused": PaperStage(0.0, 1 / 2, 20_000),
}


def paper_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """All objects of DAVIS's frames at 480 × 854, mirrored and zoomed; SGD."""
    wanted = [name for name in PAPER_STAGES if steps.get(name, 0)]
    if not wanted:
        return []
    options = FrameOptions(size=(480, 854), motion=PAPER_MOTION, one_object=False, colour=0.0, seed=seed)
    frames = MaskedFrames([(DavisFrames(data.videos()), 1.0)], options)
    return [
        Stage(
            name, SideWeighted(frames, PAPER_STAGES[name].side_weight), steps[name], batch=10,
            learning_rate=1e-8 * PAPER_PIXELS, schedule=StepSchedule(PAPER_STAGES[name].full_rate, 0.1),
            optimiser=SGD(momentum=0.9, weight_decay=PAPER_DECAY), clip_gradient_norm=math.inf, ema_decay=0.0,
            unused=() if PAPER_STAGES[name].side_weight else SIDE_SCORES,
        )
        for name in wanted
    ]  # fmt: skip


def compact_task() -> FrameTask:
    """The compact network, randomly initialised."""
    network = OsvosNetwork(COMPACT)
    _pyramid(network).backbone.freeze_to_stride_4()
    return FrameTask(network, _unguided(network), COMPACT_LOSS, rates=((".backbone.", 0.1),))


def paper_task() -> FrameTask:
    """The paper's network, randomly initialised."""
    network = OsvosNetwork(PAPER)
    return FrameTask(network, _unguided(network), BALANCED, rates=SIDE_RATES)


def _unguided(network: OsvosNetwork) -> Segment:
    def segment(frames: Tensor, previous: Tensor, *, deep_supervision: bool) -> SideLogits:
        output: SideLogits = network(frames, deep_supervision=deep_supervision)
        return output

    return segment


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, OsvosNetwork)
    return network.stream.start_from_imagenet(source)


def _from_feelvos(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    return take_over_pyramid(_pyramid(network), tensors, "extractor.")


def _pyramid(network: nn.Module) -> GuidedPyramid:
    assert isinstance(network, OsvosNetwork)
    assert isinstance(network.stream, GuidedPyramid)
    return network.stream


RECIPES = {
    "mobilenetv2": Recipe(
        "osvos", "mobilenetv2", {"stills": 400, "video": 300}, compact_task, compact_stages, _from_imagenet,
        {"feelvos": _from_feelvos},
    ),
    "vgg16": Recipe(
        "osvos", "vgg16", {name: stage.steps for name, stage in PAPER_STAGES.items()}, paper_task,
        paper_stages, _from_imagenet,
    ),
}  # fmt: skip
"""Variant → recipe. The compact one starts best from the compact FEELVOS, which knows objects already."""
