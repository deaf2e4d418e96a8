"""OSVOS: One-Shot Video Object Segmentation.

Sergi Caelles, Kevis-Kokitsi Maninis, Jordi Pont-Tuset, Laura Leal-Taixé, Daniel Cremers, Luc Van Gool.
CVPR 2017, arXiv:1611.05198.

A network that tells foreground from background in any picture (the parent) learns from the first
frame and its mask what the object looks like (the test network), and then segments every frame by
itself: no motion, no memory, no order.

| paper | here |
|---|---|
| base network (3.1) | ImageNet weights of the backbone |
| parent network, trained on all of DAVIS (3.2) | `training.recipes.osvos` |
| test network, fine-tuned on the first frame (3.2) | `fine_tuning.fine_tune`, `OsvosState.weights` |
| side outputs, fixed bilinear enlargement, fusion (3.1) | `networks.side_outputs.SideOutputs` |
| class-balanced cross-entropy, eq. 1 | `losses.class_balanced_cross_entropy` |
| boundary snapping (3.3) | `Options.boundary`, `ops.refine` |

What goes beyond the paper is an `Options` field that the preset "paper" switches off; the page
docs/methods/osvos.md gives the reason for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from tinct.data.online_samples import OnlineAugmentation
from tinct.data.synthetic import Motion
from tinct.errors import OptionError, near_match
from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.fine_tune import FineTuning
from tinct.fine_tuning.segmenter import FineTunedSegmenter, FineTunedState, Learnt
from tinct.io.masks import ObjectMasks
from tinct.networks.guided_pyramid import GuidedPyramid
from tinct.networks.presets import variant_options
from tinct.networks.side_outputs import SideLogits
from tinct.networks.vgg import SIDE_RATES, VggStream
from tinct.networks.weights import load_weights
from tinct.ops.losses import BALANCED
from tinct.ops.refine import guided_filter, superpixel_vote
from tinct.ops.tensors import object_masks
from tinct.shapes import Image, LabelMap

COMPACT_BACKBONES = {"mobilenetv2": "mobilenetv2_100"}
"""Backbones of compact variants, and timm's names for them."""

BACKBONES = (*COMPACT_BACKBONES, "vgg16")

BOUNDARIES = ("none", "guided", "superpixels")

Superpixels = Callable[[Image], Integer[np.ndarray, "H W"]]
"""Frame → the number of each pixel's superpixel, from 0."""


@dataclass(frozen=True)
class Options:
    """The network and the way it is run; the defaults are the paper's, but for `fine_tuning`.

    Attributes:
        backbone: "vgg16" (3.1) or "mobilenetv2".
        fine_tuning: On the annotated frames (3.2).
        boundary: "none", "guided" (edge-aware smoothing, in the place of the paper's bilateral
            solver) or "superpixels" (3.3: majority vote).
        working_height: Short side in pixels to which frames are brought; None leaves them.

    Raises:
        OptionError: No such backbone or boundary.
    """

    backbone: str = "vgg16"
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    boundary: str = "none"
    working_height: int | None = None

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise OptionError(f"Unknown backbone {self.backbone!r}. {near_match(self.backbone, BACKBONES)}")
        if self.boundary not in BOUNDARIES:
            raise OptionError(f"Unknown boundary {self.boundary!r}. {near_match(self.boundary, BOUNDARIES)}")


COMPACT_FINE_TUNING = FineTuning(
    learning_rate=2e-3,
    # No frame's mask guides the next one's: none is made.
    augmentation=OnlineAugmentation(lucid=0.2, in_view=0.9, lost=1.0, damaged=0.0),
)
"""What suits the compact network (docs/experiments.md)."""

COMPACT = Options(backbone="mobilenetv2", fine_tuning=COMPACT_FINE_TUNING, working_height=480)

PAPER_PIXELS = 480 * 854
"""The paper sums its loss over a frame's pixels; here it is their mean, so its rates grow by this factor."""

PAPER_DECAY = 2e-4 / PAPER_PIXELS
"""The authors' weight decay. The optimiser multiplies it by the rate: it shrinks by the same factor."""

PAPER_MOTION = Motion(
    scale=(0.5, 1.0), turn_degrees=0.0, shift=0.0, step_scale=0.0, step_turn_degrees=0.0, step_shift=0.0,
    bend=0.0, blank_rim=True,
)  # fmt: skip
"""Mirrored and zoomed (3.2); the authors' code takes the scales 0.5, 0.8 and 1, here any between.

The code rescales the picture. Samples are of one size here, so there is a rim around a smaller picture,
which shows nothing and teaches nothing."""

PAPER_FINE_TUNING = FineTuning(
    Budget(steps=500), learning_rate=1e-8 * PAPER_PIXELS, schedule="constant", clip_gradient_norm=0.0,
    optimiser="sgd", weight_decay=PAPER_DECAY, rates=SIDE_RATES, loss=BALANCED,
    augmentation=OnlineAugmentation(PAPER_MOTION, lucid=0.0, damaged=0.0, lost=1.0, colour=0.0),
)  # fmt: skip
"""The authors' code (3.2): one rate throughout; 500 steps in its demonstration, 2,000 for the best result."""

PAPER = Options(fine_tuning=PAPER_FINE_TUNING)

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "mobilenetv2": {
        "default": COMPACT,
        "fast": replace(COMPACT, working_height=288),
        "paper": Options(backbone="mobilenetv2", fine_tuning=PAPER_FINE_TUNING.with_compact_rates()),
    },
    "vgg16": {
        "default": PAPER,
        "fast": replace(PAPER, working_height=288),
        "paper": replace(PAPER, fine_tuning=replace(PAPER_FINE_TUNING, budget=Budget(steps=2000))),
    },
}
"""Variant → preset → options."""


class OsvosNetwork(nn.Module):
    """A frame in, the object's logits out; no frame knows of another."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.stream: GuidedPyramid | VggStream
        if options.backbone in COMPACT_BACKBONES:
            self.stream = GuidedPyramid(COMPACT_BACKBONES[options.backbone], guides=0)
        else:
            self.stream = VggStream(0, of_pixels=True)

    def forward(self, frames: Float[Tensor, "B 3 H W"], *, deep_supervision: bool = False) -> SideLogits:
        """Logits of stride 4, or of the frame's size in the paper's variant."""
        output: SideLogits = self.stream(self.stream.features(frames), deep_supervision=deep_supervision)
        return output


@dataclass(frozen=True)
class OsvosState(FineTunedState):
    """What is carried from frame to frame: each object's test network, and nothing of the frames between."""


class Osvos(FineTunedSegmenter[OsvosState]):
    """OSVOS at test time: fine-tuning at each annotated frame, then one pass per frame and object.

    Args:
        network: The parent, never changed.
        device: Where it runs.
        superpixels: For the boundary "superpixels".

    Raises:
        OptionError: Superpixels are asked for, and nobody gives them.
    """

    network: OsvosNetwork
    options: Options

    def __init__(
        self,
        network: OsvosNetwork,
        device: torch.device | None = None,
        superpixels: Superpixels | None = None,
    ) -> None:
        super().__init__(network, device)
        self.superpixels = superpixels
        if self.options.boundary == "superpixels" and superpixels is None:
            raise OptionError(
                'boundary="superpixels" needs superpixels: give Osvos(superpixels=...) a function from a '
                "frame to the number of each pixel's superpixel, such as OpenCV's SEEDS or scikit-image's "
                'slic; or take boundary="guided".'
            )

    def certain_state(self, learnt: Learnt, frame: Image, masks: ObjectMasks) -> OsvosState:
        """The state of all objects so far: on every frame each is looked for again."""
        return OsvosState(*learnt.of(tuple(sorted(learnt.weights))))

    def step(
        self, state: OsvosState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[OsvosState, ObjectMasks]:
        """Segment a frame; a pixel goes to the best score above 0."""
        (masks,) = self.segment_frames(state, [frame])
        return (state, masks) if labels is None else self.corrected(state, frame, labels, masks)

    @torch.inference_mode()
    def segment_frames(self, state: OsvosState, frames: Sequence[Image]) -> list[ObjectMasks]:
        """Masks of frames of one size in any order, in one batch: they do not depend on each other."""
        pixels = torch.from_numpy(np.stack([self.working(frame) for frame in frames])).to(self.device)
        with self.autocast():
            features = self.network.stream.features(pixels.permute(0, 3, 1, 2).float() / 255)
            logits = [w.call(self.network.stream, features).fused.float() for w in state.weights]
        return [
            self._snapped(object_masks(state.object_ids, each, frame.shape[:2]), frame)
            for each, frame in zip(torch.stack(logits, 1), frames, strict=True)
        ]

    def _snapped(self, masks: ObjectMasks, frame: Image) -> ObjectMasks:
        """Boundary snapping (3.3)."""
        if self.options.boundary == "guided":
            probs = np.stack([guided_filter(p, frame) for p in masks.probs])
            return ObjectMasks(masks.object_ids, probs / np.maximum(probs.sum(0), 1))
        if self.options.boundary == "superpixels" and self.superpixels is not None:
            numbers, labels = self.superpixels(frame), masks.label_map
            if numbers.shape != labels.shape:
                raise OptionError(
                    f"Superpixels of {numbers.shape} came for a frame of {labels.shape} (height, width); "
                    "give one number for each pixel of the frame."
                )
            voted = [superpixel_vote(labels == i, numbers) for i in masks.object_ids]
            return ObjectMasks(masks.object_ids, np.stack(voted).astype(np.float32))
        return masks


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Osvos:
    """A segmenter with weights from a file, as the zoo asks for it."""
    network = OsvosNetwork(variant_options(PRESETS, variant, preset, overrides))
    load_weights(weights, network, method="osvos", variant=variant)
    return Osvos(network, device)
