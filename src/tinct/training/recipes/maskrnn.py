"""How MaskRNN is trained: single frames first (MaskTrack's stages), then the recurrence over clips (3.5).

tinct train maskrnn --data DAVIS --stills STILLS --init runs/masktrack/clips.safetensors --out runs/maskrnn
tinct train maskrnn --variant vgg16 --data DAVIS --out runs/maskrnn-vgg16

The paper's recipe has both stages on DAVIS: single frames with perturbed masks, then seven frames in
a row; ten epochs of Adam each. The paper gives neither batches nor sizes; these are ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from tinct.data.samplers import WHOLE_CLIP, ClipOptions, MixedClips, StillClips, VideoClips
from tinct.methods.maskrnn import COMPACT, PAPER, MaskRnnNetwork
from tinct.networks.flow import DisFlow
from tinct.networks.guided_pyramid import take_over_pyramid
from tinct.networks.rates import rate_groups
from tinct.networks.two_streams import TwoStreams
from tinct.ops.losses import BALANCED, FrameLossOptions
from tinct.training.flow_clips import FlowClips
from tinct.training.recipes.frame_task import SIDE_SCORES
from tinct.training.recipes.maskrnn_task import MaskRnnLossOptions, MaskRnnTask
from tinct.training.recipes.recipe import Recipe, compact_stage
from tinct.training.sources import Sources
from tinct.training.stages import AdamW, PolynomialSchedule, Stage

COMPACT_LOSS = MaskRnnLossOptions(FrameLossOptions())


SEEN_FRAMES = 8
"""Of a training clip: a reference, the frame whose mask is given, and six that are segmented."""


def compact_stages(
    data: Sources, steps: Mapping[str, int], seed: int, frames: int = SEEN_FRAMES
) -> list[Stage]:
    """Clips of a reference and seven frames in a row, so that time goes back over six warps.

    Args:
        data: Videos, and photos for a third of the clips.
        steps: Of the stage "recurrence".
        seed: Of the clips.
        frames: Of a clip; with 3 there is no recurrence. A step sees as many segmented frames either way.
    """
    if not steps.get("recurrence", 0):
        return []
    options = ClipOptions(size=(240, 416), frames=frames, max_objects=1, max_step=2, seed=seed)
    clips = MixedClips(VideoClips(data.videos(), options), StillClips(data.photos(), options), 0.3)
    stage = compact_stage(
        "recurrence", FlowClips(clips, DisFlow(), forward=True), steps["recurrence"],
        2 * (SEEN_FRAMES - 2) // (frames - 2), 5e-4, 0.99,
    )  # fmt: skip
    return [replace(stage, unused=SIDE_SCORES)]


EPOCHS, DAVIS_FRAMES, RECURRENT_FRAMES = 10, 2079, 7

PAPER_STEPS = {
    "frames": EPOCHS * DAVIS_FRAMES // 4,
    "recurrence": EPOCHS * DAVIS_FRAMES // RECURRENT_FRAMES,
}
"""Ten epochs in batches of 4 frames, and of one clip."""

PAPER_LOSS = MaskRnnLossOptions(BALANCED, streams=0.0, blind=0.0, union=False, dilation_px=0)


def paper_stages(data: Sources, steps: Mapping[str, int], seed: int) -> list[Stage]:
    """Single frames, their warped masks perturbed; then the recurrence over seven frames (3.4, 3.5).

    Frames with their neighbours are clips of [reference, previous, query]; the flow to a clip's last
    neighbour is zero, as at a video's end.
    """
    lengths = {"frames": (3, 4), "recurrence": (1 + RECURRENT_FRAMES, 1)}
    stages = []
    for name, (frames, batch) in lengths.items():
        if not steps.get(name, 0):
            continue
        options = ClipOptions(
            size=(480, 854), frames=frames, max_objects=1, max_step=1, paste=0.0, degrade=1.0, colour=0.0,
            seed=seed,
        )  # fmt: skip
        clips = FlowClips(
            VideoClips(data.videos(), options, stored_px=480, motion=WHOLE_CLIP), DisFlow(), forward=True
        )
        stages.append(
            Stage(
                name, clips, steps[name], batch, learning_rate=1e-5, schedule=PolynomialSchedule(0.9),
                optimiser=AdamW(weight_decay=0.0), clip_gradient_norm=math.inf, ema_decay=0.0,
                unused=SIDE_SCORES,
            )
        )  # fmt: skip
    return stages


class PaperTask(MaskRnnTask):
    """The paper's: all layers learn at one rate."""

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """One group."""
        return rate_groups(self.network.named_parameters(), ())


def paper_task(loss: MaskRnnLossOptions = PAPER_LOSS) -> MaskRnnTask:
    """The paper's network, randomly initialised."""
    return PaperTask(MaskRnnNetwork(PAPER), loss)


def compact_task(loss: MaskRnnLossOptions = COMPACT_LOSS) -> MaskRnnTask:
    """The compact network, randomly initialised."""
    network = MaskRnnNetwork(COMPACT)
    network.streams.freeze_for_training()
    return MaskRnnTask(network, loss)


def _without_recurrence(recipe: Recipe) -> Recipe:
    """Every frame is segmented from the true mask of the one before, damaged."""
    if recipe.variant == "vgg16":
        return replace(recipe, steps={**recipe.steps, "recurrence": 0})
    return replace(recipe, stages=partial(compact_stages, frames=3))


def _without_localization(recipe: Recipe) -> Recipe:
    """The localization net learns nothing, and changes nothing of the features that it sees."""
    task, loss = (paper_task, PAPER_LOSS) if recipe.variant == "vgg16" else (compact_task, COMPACT_LOSS)
    return replace(recipe, task=partial(task, replace(loss, localization=0.0)))


def _from_imagenet(network: nn.Module, source: str) -> str:
    assert isinstance(network, MaskRnnNetwork)
    return network.streams.start_from_imagenet(source)


def _from_masktrack(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    assert isinstance(network, MaskRnnNetwork)
    assert isinstance(network.streams, TwoStreams)
    streams = (network.streams.appearance, network.streams.motion)
    return sum(take_over_pyramid(stream, tensors, "stream.") for stream in streams)


ONE_BY_ONE = {"look_ahead": False}
"""Scores at a stage's end are taken frame by frame, so there is no looking ahead."""

PARTS = {"recurrence": _without_recurrence, "localization": _without_localization}

RECIPES = {
    "mobilenetv2": Recipe(
        "maskrnn", "mobilenetv2", {"recurrence": 400}, compact_task, compact_stages, _from_imagenet,
        {"masktrack": _from_masktrack}, PARTS, dev_options=ONE_BY_ONE,
    ),
    "vgg16": Recipe(
        "maskrnn", "vgg16", PAPER_STEPS, paper_task, paper_stages, _from_imagenet, parts=PARTS,
        dev_options=ONE_BY_ONE,
    ),
}  # fmt: skip
"""Variant → recipe. Its first stages are MaskTrack's: it starts from a compact MaskTrack (`--init`)."""
