r"""How DyeNet is trained: proposals, then identities and masks, then the joint recurrence over clips.

tinct train dyenet --data DAVIS --stills STILLS --init runs/feelvos/video.safetensors --out runs/dyenet
tinct train dyenet --variant resnet101 --data DAVIS --out runs/dyenet-resnet101

Online per data set (what the paper reports, 2,000 steps): all first frames of a split, from trained weights.

tinct train dyenet --data DAVIS --split val --init runs/dyenet/long.safetensors --out runs/dyenet-online \
    --steps proposals=0,identities=0,joint=0,long=0,online=2000

The second stream and the patches of the advanced form, on top of trained weights:

tinct train dyenet --with two-streams,patches --data DAVIS --stills STILLS \
    --init runs/dyenet/long.safetensors --steps proposals=0,identities=0,joint=0,long=500 \
    --out runs/dyenet-advanced
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from tinct.data.online_clips import MOVED_FRAME, AnnotatedRegions, OnlineClips
from tinct.data.region_clips import PhotoRegions, RegionClips, RegionOptions, RegionSource, VideoRegions
from tinct.data.samplers import OVER_VIDEO, WHOLE_CLIP, Samples
from tinct.data.synthetic import Motion
from tinct.methods.dyenet.fine_tuning import PAPER_CLIPS, PAPER_TRAINING
from tinct.methods.dyenet.options import COMPACT_ENLARGEMENT
from tinct.networks.dyenet.network import COMPACT, PAPER, DyeNetConfig, DyeNetNetwork
from tinct.networks.dyenet.patches import PATCH_SIDE
from tinct.networks.dyenet.training_network import PAPER_LOSS, DyeNetLossOptions
from tinct.networks.flow import DisFlow
from tinct.networks.guided_pyramid import take_over_pyramid
from tinct.ops.losses import RegionLossOptions
from tinct.training.flow_clips import FlowClips
from tinct.training.recipes.dyenet_task import DyeNetTask
from tinct.training.recipes.recipe import Recipe, compact_stage
from tinct.training.sources import Sources
from tinct.training.stages import SGD, Stage, StairSchedule

COMPACT_LOSS = DyeNetLossOptions(
    proposals=0.5, identities=0.5, masks=1.0, propagation=2.0, matching=0.5,
    mask=RegionLossOptions(cross_entropy=1.0, hardest=0.5, dice=0.5), most_masks=16,
    references_first=True, enlargement=COMPACT_ENLARGEMENT,
)  # fmt: skip

COMPACT_RATES = (
    ("extractor.extractor.", 0.5),
    ("extractor.embedding.", 0.3),
    ("extractor.identity.", 0.1),
    ("reid.", 0.1),
)
"""The pyramid, which compact FEELVOS knows already, learns slower; the backbone not at all.

Re-identification learns ten times as slowly: its table lies where the space of embeddings was some
steps ago, and a space that moves faster flees from itself into one corner. Measured on unseen clips
after 60 steps of 1e-3: similarity of different objects 0.69 → 0.88; of 1e-4: → 0.30, with the same
objects at 0.79.
"""


_RECURRENCE = ("recurrent.", "extractor.embedding.")

UNUSED = {
    "proposals": (
        *_RECURRENCE, "motion.", "mask_network.", "reid.", "extractor.identity.",
        # Those of the pyramid's finest maps, of both kinds of backbone.
        "extractor.extractor.skip.", "extractor.lateral.", "extractor.top.", "extractor.smooth.",
    ),
    "identities": _RECURRENCE,
}  # fmt: skip
"""Layers that clips of one frame and of two do not reach (`tinct.networks.dyenet.training_network`)."""

COMPACT_STEPS = {"proposals": 250, "identities": 500, "joint": 1800, "long": 1820, "online": 0}


def compact_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Small clips of videos and of photos alike, AdamW, cosine.

    Args:
        data: Videos, and photos if there are any: they are what teaches identities.
        steps: Of each stage; 0 leaves one out.
        seed: Of the clips.
    """
    options = RegionOptions(size=(256, 448), seed=seed)
    # Measured on the occlusion benchmark, which is made from the photos that are held out.
    data = replace(data, keep_held_out=False)
    # frames of a clip, clips of a step, learning rate, average, share of photos
    plans = {
        "proposals": (1, 8, 1e-3, 0.99, 0.7),
        "identities": (2, 8, 1e-3, 0.995, 0.6),
        "joint": (5, 3, 7e-4, 0.998, 0.35),
        # What drifts over many frames is not seen in three.
        "long": (8, 2, 4e-4, 0.998, 0.2),
    }
    stages = []
    for name, (frames, batch, rate, average, photos) in plans.items():
        if steps.get(name, 0):
            clips = _clips(data, replace(options, frames=frames), photos, stored_px=400)
            stage = compact_stage(name, clips, steps[name], batch, rate, average)
            stages.append(replace(stage, unused=UNUSED.get(name, ())))
    if steps.get("online", 0):
        clips = _online_clips(data, options, lucid=0.6)
        stages.append(compact_stage("online", clips, steps["online"], 2, 2e-4, 0.99))
    return stages


def _clips(
    data: Sources, options: RegionOptions, photos: float, stored_px: int, motion: Motion = OVER_VIDEO
) -> Samples:
    """Clips of videos and, by a share, of photos; with flow where they are long enough for a recurrence."""
    sources: list[tuple[RegionSource, float]] = [
        (VideoRegions(data.videos(), stored_px=stored_px, motion=motion), 1 - photos)
    ]
    if data.stills is not None and photos:
        sources.append((PhotoRegions(data.photos()), photos))
    clips = RegionClips(sources, options)
    return FlowClips(clips, DisFlow()) if options.frames > 2 else clips


def _online_clips(
    data: Sources, options: RegionOptions, lucid: float, motion: Motion = MOVED_FRAME
) -> Samples:
    """All first frames of the split, composed again."""
    regions = AnnotatedRegions.of_first_frames(data.first_frames(), motion)
    return FlowClips(OnlineClips(regions, options, lucid), DisFlow())


PAPER_STEPS = {"proposals": 8000, "identities": 0, "joint": 24_000, "online": 0}
"""Those of the joint training are the paper's; proposals are trained before it, for how long is not said."""


def paper_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """The paper's (3.4): 8 clips of 4 frames, SGD, a tenth of the rate every 8,000 steps; nothing is pasted.

    Sizes, and how the four frames of a clip are drawn, are not published: a reference, and three
    frames in a row here. "identities" is no stage of the paper; it is for those who want it.
    """
    options = replace(PAPER_CLIPS, size=(480, 854), seed=seed)
    stages = []
    for name, frames in (("proposals", 1), ("identities", 2), ("joint", 4)):
        if steps.get(name, 0):
            clips = _clips(
                data, replace(options, frames=frames), photos=0.0, stored_px=480, motion=WHOLE_CLIP
            )
            stages.append(_paper_stage(name, clips, steps[name], 1e-3))
    if steps.get("online", 0):
        online = replace(PAPER_TRAINING.clips, size=options.size, seed=seed)
        clips = _online_clips(data, online, PAPER_TRAINING.lucid, PAPER_TRAINING.motion)
        stages.append(_paper_stage("online", clips, steps["online"], PAPER_TRAINING.learning_rate))
    return stages


def _paper_stage(name: str, clips: Samples, steps: int, learning_rate: float) -> Stage:
    return Stage(
        name, clips, steps, batch=8, learning_rate=learning_rate, schedule=StairSchedule(8000, 0.1),
        optimiser=SGD(momentum=0.9, weight_decay=5e-4), clip_gradient_norm=math.inf, ema_decay=0.0,
        unused=UNUSED.get(name, ()),
    )  # fmt: skip


def paper_task(config: DyeNetConfig, loss: DyeNetLossOptions = PAPER_LOSS) -> DyeNetTask:
    """The network of a paper's variant, randomly initialised."""
    network = DyeNetNetwork(config)
    network.freeze_for_training()
    return DyeNetTask(network, loss, rates=())


def compact_task(config: DyeNetConfig, loss: DyeNetLossOptions = COMPACT_LOSS) -> DyeNetTask:
    """The compact network, randomly initialised.

    Its backbone is frozen, as most of the paper's is (conv1 to conv4_20): a step then takes half the
    time, and what the backbone knows of objects it has from FEELVOS.
    """
    network = DyeNetNetwork(config)
    network.freeze_for_training()
    return DyeNetTask(network, loss, COMPACT_RATES, queue=400, memory=24)


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, DyeNetNetwork)
    return network.start_from_imagenet(source)


def _from_feelvos(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    assert isinstance(network, DyeNetNetwork)
    return take_over_pyramid(network.extractor, tensors, "")


PATCHES_AT_ONCE = 16
"""Of a batch: every object's patch costs as much as a whole frame."""


def recipe_of(config: DyeNetConfig, *, patches: bool = False) -> Recipe:
    """The recipe of a network of some config.

    Region attention can be left out (table 1: "Re-MP, no attention"); what makes the advanced form of it
    (3), the second stream, the pyramid and patches for masks and their recurrence, can be added where it is
    missing.
    """

    def changed(*, on_patches: bool = patches, **changes: Any) -> Callable[[Recipe], Recipe]:
        return lambda _: recipe_of(replace(config, **changes), patches=on_patches)

    additions = {} if config.two_streams else {"two-streams": changed(two_streams=True)}
    if not config.pyramid:
        additions["pyramid"] = changed(pyramid=True)
    if not patches:
        additions["patches"] = changed(on_patches=True)
    compact = config.backbone == COMPACT.backbone
    loss = COMPACT_LOSS if compact else PAPER_LOSS
    if patches:
        loss = replace(
            loss, patch_side=PATCH_SIDE, most_objects=PATCHES_AT_ONCE,
            most_masks=min(loss.most_masks, PATCHES_AT_ONCE),
        )  # fmt: skip
    return Recipe(
        "dyenet",
        config.backbone,
        COMPACT_STEPS if compact else PAPER_STEPS,
        partial(compact_task if compact else paper_task, config, loss),
        compact_stages if compact else paper_stages,
        _from_imagenet,
        {"feelvos": _from_feelvos} if compact else {},
        parts={"attention": changed(attention=False)},
        additions=additions,
        # It adds nothing at first, so one stream's weights are a beginning of two.
        may_lack=("motion.",) if config.two_streams else (),
    )


RECIPES = {
    config.backbone: recipe_of(config) for config in (COMPACT, PAPER, replace(PAPER, backbone="xception65"))
}
"""Variant → recipe. The compact one starts best from the compact FEELVOS, which knows objects already."""
