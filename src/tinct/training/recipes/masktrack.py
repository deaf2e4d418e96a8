"""How MaskTrack is trained: on still images with deformed masks, no video needed (the paper, 3.2).

tinct train masktrack --data DAVIS --stills STILLS --out runs/masktrack
tinct train masktrack --variant vgg16 --stills STILLS --out runs/masktrack-vgg16
tinct train masktrack --stills STILLS --steps clips=0 --without damage,deformation --out runs/undeformed

The paper's recipe (3.2) is one stage: 20,000 steps of 10 photos with deformed masks. It does not say
how photos are cropped; here it is as in DeepLab, to 321 × 321, with some zoom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from tinct.data.deform import MaskDeformation
from tinct.data.masked_frames import DavisFrames, FrameOptions, MaskedFrames, Pictures, StillPictures
from tinct.data.samplers import ClipOptions, MixedClips, StillClips, VideoClips
from tinct.data.synthetic import Motion
from tinct.methods.masktrack import COMPACT, PRESETS, MaskTrackNetwork
from tinct.networks.deeplab_v2 import SCORE_RATES, DeepLabV2Stream
from tinct.networks.flow import DisFlow
from tinct.networks.guided_pyramid import GuidedPyramid, take_over_pyramid
from tinct.ops.losses import PLAIN, FrameLossOptions
from tinct.training.flow_clips import FlowClips
from tinct.training.recipes.clip_task import ClipTask, RollOut
from tinct.training.recipes.frame_task import SIDE_SCORES, FrameTask
from tinct.training.recipes.recipe import Recipe, compact_stage
from tinct.training.sources import Sources
from tinct.training.stages import SGD, PolynomialSchedule, Stage

COMPACT_LOSS = FrameLossOptions(sides=0.1, sides_until=1000)

SAMPLES = FrameOptions(
    deformation=MaskDeformation(shift=0.15, dilation_px=3), box=0.08, damaged=0.4, paste=0.5
)
"""At 256 rows: the mask deformed as in the paper, or damaged as a network damages it; a few boxes."""


PicturesOf = Callable[[Sources], Pictures]
"""What the stage "stills" learns from."""

FEW_PHOTOS = 5_000
"""Of the paper's ablation."""


def all_photos(data: Sources) -> Pictures:
    """The stills."""
    return StillPictures(data.photos())


def few_photos(data: Sources) -> Pictures:
    """Some of the stills (the paper's ablation)."""
    return StillPictures(data.photos(), FEW_PHOTOS)


def video_frames(data: Sources) -> Pictures:
    """Frames of videos in the place of stills (the paper's ablation)."""
    return DavisFrames(data.videos())


def compact_stages(
    data: Sources,
    steps: Mapping[str, int],
    seed: int,
    samples: FrameOptions = SAMPLES,
    pictures: PicturesOf = all_photos,
) -> list[Stage]:
    """Photos with deformed masks as in the paper; then, beyond it, clips whose masks are handed on."""
    stages = []
    if steps.get("stills", 0):
        photos = MaskedFrames([(pictures(data), 1.0)], replace(samples, seed=seed))
        stages.append(compact_stage("stills", photos, steps["stills"], 8, 1e-3))
    if steps.get("clips", 0):
        options = ClipOptions(size=(256, 448), frames=5, max_objects=1, seed=seed)
        moved = StillClips(data.photos(), replace(options, paste=0.5))
        clips = FlowClips(MixedClips(VideoClips(data.videos(), options), moved, 0.4), DisFlow())
        stage = compact_stage("clips", clips, steps["clips"], 4, 5e-4, 0.99)
        stages.append(replace(stage, unused=SIDE_SCORES))
    return stages


PAPER_SAMPLES = FrameOptions(
    size=(321, 321),
    motion=Motion(
        scale=(1.0, 1.5), turn_degrees=0.0, shift=0.1, step_turn_degrees=0.0, bend=0.0, blank_rim=True
    ),
    colour=0.0,
)
"""Masks are deformed by the defaults of `MaskDeformation`, which are the paper's."""


def paper_stages(
    data: Sources,
    steps: Mapping[str, int],
    seed: int,
    samples: FrameOptions = PAPER_SAMPLES,
    pictures: PicturesOf = all_photos,
) -> list[Stage]:
    """Photos with deformed masks; SGD, poly (3.2)."""
    if not steps.get("stills", 0):
        return []
    photos = MaskedFrames([(pictures(data), 1.0)], replace(samples, seed=seed))
    return [
        Stage(
            "stills", photos, steps["stills"], batch=10, learning_rate=1e-3,
            schedule=PolynomialSchedule(0.9), optimiser=SGD(momentum=0.9, weight_decay=5e-4),
            clip_gradient_norm=math.inf, ema_decay=0.0,
        )
    ]  # fmt: skip


def paper_task(variant: str, mask_input: str = "mask") -> FrameTask:
    """The network of a paper's variant, randomly initialised."""
    network = MaskTrackNetwork(replace(PRESETS[variant]["paper"], mask_input=mask_input))
    return FrameTask(network, network, PLAIN, rates=SCORE_RATES)


def compact_task(mask_input: str = "mask") -> ClipTask:
    """The compact network, randomly initialised."""
    network = MaskTrackNetwork(replace(COMPACT, mask_input=mask_input))
    _pyramid(network).backbone.freeze_to_stride_4()
    return ClipTask(network, COMPACT_LOSS, rates=((".backbone.", 0.1),), roll_out=RollOut())


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, MaskTrackNetwork)
    return network.stream.backbone.start_from_imagenet(source)


def _from_feelvos(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    return take_over_pyramid(_pyramid(network), tensors, "extractor.")


def _pyramid(network: nn.Module) -> GuidedPyramid:
    assert isinstance(network, MaskTrackNetwork)
    assert isinstance(network.stream, GuidedPyramid)
    return network.stream


def _parts(samples: FrameOptions) -> dict[str, Callable[[Recipe], Recipe]]:
    """What the paper's ablations leave out of the making of previous masks (its table of ablations).

    Several can be left out together: each changes the samples that the recipe has by then.
    """

    def change(of_frame: dict[str, Any], of_mask: dict[str, Any]) -> Callable[[Recipe], Recipe]:
        def changed(recipe: Recipe) -> Recipe:
            stages: Any = recipe.stages
            before = getattr(stages, "keywords", {}).get("samples", samples)
            after = replace(before, deformation=replace(before.deformation, **of_mask), **of_frame)
            return replace(recipe, stages=partial(stages, samples=after))

        return changed

    return {
        "damage": change({"damaged": 0.0, "box": 0.0}, {}),
        "deformation": change({}, {"scale": 0.0, "shift": 0.0, "bend": 0.0, "dilation_px": 0}),
        "dilation": change({}, {"dilation_px": 0}),
        "non-rigid": change({}, {"bend": 0.0}),
        "mask": _seeing("none"),
    }


def _seeing(mask_input: str) -> Callable[[Recipe], Recipe]:
    """The recipe whose network sees this of previous masks; what measures it shows it the same."""

    def changed(recipe: Recipe) -> Recipe:
        task: Any = recipe.task
        dev_options = {**recipe.dev_options, "mask_input": mask_input}
        return replace(recipe, task=partial(task, mask_input=mask_input), dev_options=dev_options)

    return changed


def _learning_from(pictures: PicturesOf) -> Callable[[Recipe], Recipe]:
    def changed(recipe: Recipe) -> Recipe:
        stages: Any = recipe.stages
        return replace(recipe, stages=partial(stages, pictures=pictures))

    return changed


ADDITIONS = {
    "box-mask": _seeing("box"),
    "few-photos": _learning_from(few_photos),
    "video": _learning_from(video_frames),
}
"""What the paper's ablation puts in the place of masks and of all photos."""


RECIPES = {
    "mobilenetv2": Recipe(
        "masktrack", "mobilenetv2", {"stills": 1300, "clips": 700}, compact_task, compact_stages,
        _from_imagenet, {"feelvos": _from_feelvos}, _parts(SAMPLES), ADDITIONS,
    ),
    **{
        name: Recipe(
            "masktrack", name, {"stills": 20_000}, partial(paper_task, name), paper_stages, _from_imagenet,
            parts=_parts(PAPER_SAMPLES), additions=ADDITIONS,
        )
        for name in DeepLabV2Stream.BACKBONES
    },
}  # fmt: skip
"""Variant → recipe. The compact one starts best from the compact FEELVOS, which knows objects already."""
