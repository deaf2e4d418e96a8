"""How the click network is trained: on photos, by simulated clicks.

tinct train click --stills STILLS --out runs/click
tinct train click --stills STILLS --data DAVIS --out runs/click

Photos that are held out (`tinct.data.held_out`) are not learnt from. Without `--data`, every sequence is held
out, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from tinct.data.click_samples import ClickOptions, ClickSamples
from tinct.data.masked_frames import DavisFrames, Pictures, StillPictures
from tinct.networks.click import ClickNetwork
from tinct.training.recipes.click_task import ClickTask
from tinct.training.recipes.recipe import Recipe, compact_stage
from tinct.training.sources import Sources
from tinct.training.stages import Stage

VIDEO_SHARE = 0.25
"""Share of frames of videos among the samples, where there are videos."""

STAGES = {"small": (160, 1e-3), "clicks": (256, 5e-4)}
"""Stage → side of its samples in pixels, largest learning rate. Most is learnt where a step is cheap."""


def click_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Photos, and frames of videos if there are any."""
    wanted = [name for name in STAGES if steps.get(name, 0)]
    if not wanted:
        return []
    data = replace(data, keep_held_out=False)
    sources: list[tuple[Pictures, float]] = [(StillPictures(data.photos()), 1.0)]
    if data.davis is not None:
        sources = [(sources[0][0], 1 - VIDEO_SHARE), (DavisFrames(data.videos()), VIDEO_SHARE)]
    stages = []
    for name in wanted:
        side, rate = STAGES[name]
        samples = ClickSamples(sources, ClickOptions(side=side, seed=seed))
        stages.append(compact_stage(name, samples, steps[name], 8, rate))
    return stages


def click_task() -> ClickTask:
    """The network, randomly initialised; its backbone is not trained, which halves a step's cost."""
    network = ClickNetwork()
    network.backbone.requires_grad_(False)
    return ClickTask(network)


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, ClickNetwork)
    return network.backbone.start_from_imagenet(source)


RECIPES = {
    "mobilenetv2": Recipe(
        "click", "mobilenetv2", {"small": 600, "clicks": 300}, click_task, click_stages, _from_imagenet
    )
}
"""Variant → recipe."""
