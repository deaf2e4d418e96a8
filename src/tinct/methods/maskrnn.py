"""MaskRNN: Instance Level Video Object Segmentation.

Yuan-Ting Hu, Jia-Bin Huang, Alexander G. Schwing. NIPS 2017, arXiv:1803.11187.

Each object has a network of its own: an appearance stream that sees the frame and the object's
previous mask, warped by the optical flow; a flow stream that sees the magnitudes of the flow to both
neighbours; and a localization net that says where the object's box goes. What lies outside the box
is dropped. The networks were trained through time, over the warps of seven frames.

| paper | here |
|---|---|
| y_t = argmax over objects of b_t (3.1) | `enlarged_probs` of all objects' logits, background 0 |
| φ_{t-1,t}(b_{t-1}), the warped mask (3.1) | `ops.warp.warp` of `MaskRnnState.previous` |
| appearance stream, flow stream, linear combination (3.2) | `networks.two_streams.TwoStreams` |
| object localization net (3.3) | `networks.localization.LocalizationNet` |
| box enlarged by 1.25, pixels outside are 0 (3.3) | `networks.localization.located` |
| back-propagation through time over 7 frames (3.4) | `training.recipes.maskrnn_task` |
| online fine-tuning, 200 steps (3.5) | `fine_tuning.fine_tune`, `segmented_and_located` |

What goes beyond the paper is an `Options` field that the paper's variant leaves off; the page
docs/methods/maskrnn.md gives the reason for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tinct.data.deform import coarsened
from tinct.data.online_samples import WHOLE_FRAME, Magnitudes, OnlineAugmentation
from tinct.errors import OptionError, near_match
from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.fine_tune import COMPACT_GUIDED, Answer, FineTuning, TuningBatch, answer_of_stream
from tinct.fine_tuning.per_object import ObjectWeights
from tinct.fine_tuning.segmenter import FineTunedSegmenter, FineTunedState, Learnt
from tinct.inference.segmenter import VideoSegmenter
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.networks.flow import DisFlow, FlowEstimator
from tinct.networks.guided_pyramid import GuidedPyramid
from tinct.networks.localization import box_loss, located, proposals_of
from tinct.networks.presets import variant_options
from tinct.networks.two_streams import StreamFeatures, TwoStreamOutput, TwoStreams, VggTwoStreams
from tinct.networks.vgg import VggStream
from tinct.networks.weights import load_weights
from tinct.ops.boxes import inside_boxes
from tinct.ops.losses import BALANCED, at_size
from tinct.ops.tensors import flow_tensor, frame_tensor, object_masks
from tinct.ops.warp import magnitude_image, warp
from tinct.shapes import Image, LabelMap, holds_arrays

COMPACT_BACKBONES = {"mobilenetv2": "mobilenetv2_100"}
"""Backbones of compact variants, and timm's names for them."""

BACKBONES = (*COMPACT_BACKBONES, "vgg16")

OUTSIDE_LOGIT = -20.0
"""The logit that stands for a probability of 0."""


@dataclass(frozen=True)
class Options:
    """The network and the way it is run; the defaults are the paper's, but for `fine_tuning`.

    Attributes:
        backbone: "vgg16" (3.2) or "mobilenetv2".
        flow_stream: Join the flow stream to the appearance stream (3.2).
        localization: Drop what lies outside the object's box (3.3).
        enlargement: Of the box (3.3: 1.25).
        look_ahead: See the flow to the next frame too; such a segmenter takes whole videos, and
            still holds two frames at a time.
        union: Beyond the paper: the unwarped mask joins the warped one, and its box the regressed
            one, so that wrong flow does not lose the object.
        dilation_px: Beyond the paper: the guiding mask is dilated by a disc of this radius.
        appearance_alone: Beyond the paper: fine-tuning teaches the appearance stream, by its own logits;
            else both streams, their fusion and the localization net (3.5).
        fine_tuning: On the annotated frames, without recurrence (3.5: 200 steps).
        working_height: Short side in pixels to which frames are brought; None leaves them.

    Raises:
        OptionError: No such backbone.
    """

    backbone: str = "vgg16"
    flow_stream: bool = True
    localization: bool = True
    enlargement: float = 1.25
    look_ahead: bool = True
    union: bool = False
    dilation_px: int = 0
    appearance_alone: bool = False
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    working_height: int | None = None

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise OptionError(f"Unknown backbone {self.backbone!r}. {near_match(self.backbone, BACKBONES)}")

    @property
    def flow_steps(self) -> tuple[int, ...]:
        """To which frames a frame's flow is asked for, counted along the run: -1 is the one before."""
        return (-1, 1) if self.look_ahead and self.flow_stream else (-1,)


COMPACT = Options(
    backbone="mobilenetv2",
    look_ahead=False,
    union=True,
    dilation_px=2,
    appearance_alone=True,
    fine_tuning=COMPACT_GUIDED,
    working_height=480,
)

PAPER_FINE_TUNING = FineTuning(
    Budget(steps=200), learning_rate=1e-5, schedule="polynomial", clip_gradient_norm=0.0, weight_decay=0.0,
    augmentation=OnlineAugmentation(
        replace(WHOLE_FRAME, bend=0.0, blank_rim=True), lucid=0.0, damaged=0.0, lost=0.0, colour=0.0
    ),
    loss=BALANCED,
)  # fmt: skip
"""200 steps of Adam on resized, turned, cropped and mirrored frames with perturbed masks, at a rate that
decays gradually (3.5); how, the text does not say."""

PAPER = Options(fine_tuning=PAPER_FINE_TUNING)

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "mobilenetv2": {
        "default": COMPACT,
        "fast": replace(COMPACT, working_height=288, dilation_px=1),
    },
    "vgg16": {"default": PAPER, "fast": replace(PAPER, working_height=288), "paper": PAPER},
}
"""Variant → preset → options. There is no compact "paper": the network learnt with what goes beyond it."""


class MaskRnnNetwork(nn.Module):
    """Both streams and the localization net of one object."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.streams: TwoStreams | VggTwoStreams
        if options.backbone in COMPACT_BACKBONES:
            self.streams = TwoStreams(COMPACT_BACKBONES[options.backbone])
        else:
            self.streams = VggTwoStreams()

    def forward(
        self,
        features: StreamFeatures,
        guides: Float[Tensor, "B 1 H W"],
        proposals: Float[Tensor, "B 4"],
    ) -> TwoStreamOutput:
        """The binary segmentation and localization nets under the guidance of warped masks (3.2, 3.3).

        Args:
            features: What both streams see of the frames.
            guides: The warped previous masks.
            proposals: Their boxes.
        """
        output: TwoStreamOutput = self.streams(features, guides, proposals)
        return output

    def features(
        self, frames: Float[Tensor, "B 3 H W"], magnitudes: Float[Tensor, "B 2 H W"]
    ) -> StreamFeatures:
        """What both streams see of frames in [0, 1] and of the magnitude images of both flows."""
        if not self.options.flow_stream:
            return StreamFeatures(self.streams.appearance.features(frames), [])
        return self.streams.features(frames, magnitudes)

    @property
    def stream(self) -> nn.Module:
        """What is fine-tuned."""
        return self.streams.appearance if self.options.appearance_alone else self

    def object_layers(self) -> dict[str, nn.Parameter]:
        """What belongs to an object once it is fine-tuned, by name: all but a compact stream's backbone."""
        tuned: dict[str, nn.Module] = {"appearance": self.streams.appearance}
        if not self.options.appearance_alone:
            if self.options.flow_stream:
                tuned |= {"motion": self.streams.motion, "fusion": self.streams.fusion}
            if self.options.localization:
                tuned["localization"] = self.streams.localization
        return {
            f"streams.{part}.{name}": layer
            for part, module in tuned.items()
            for name, layer in _layers_of(module).items()
        }


def _layers_of(module: nn.Module) -> Mapping[str, nn.Parameter]:
    if isinstance(module, GuidedPyramid | VggStream):
        return module.object_layers()
    return dict(module.named_parameters())


def segmented_and_located(network: Any, batch: TuningBatch) -> tuple[Tensor, Tensor]:
    """How a whole network is asked in fine-tuning: its logits, and the box's loss (3.2, 3.3)."""
    with torch.no_grad():
        features = network.features(batch.frames, batch.magnitudes)
    proposals = proposals_of(batch.guides)
    output = network(features, batch.guides, proposals)
    if not network.options.localization:
        return output.fused, output.fused.new_zeros(())
    return output.fused, box_loss(output.deltas, proposals, batch.labels == 1)


@holds_arrays
@dataclass(frozen=True, repr=False)
class MaskRnnState(FineTunedState):
    """What is carried from frame to frame, beside each object's own layers.

    Attributes:
        image: The previous frame at the working size.
        previous: [N, h, w], b_{t-1}: each object's own probabilities, 0 outside its box.
    """

    image: np.ndarray
    previous: Tensor


class MaskRnn(FineTunedSegmenter[MaskRnnState]):
    """MaskRNN at test time, frame by frame.

    Args:
        network: Never changed.
        device: Where it runs.
        flow: Gives the optical flow; DIS if None.
    """

    network: MaskRnnNetwork
    options: Options

    def __init__(
        self,
        network: MaskRnnNetwork,
        device: torch.device | None = None,
        flow: FlowEstimator | None = None,
    ) -> None:
        super().__init__(network, device)
        self.flow = flow or DisFlow()

    def certain_state(self, learnt: Learnt, frame: Image, masks: ObjectMasks) -> MaskRnnState:
        """Masks that are certain are b_t."""
        image = self.working(frame)
        return MaskRnnState(*learnt.of(masks.object_ids), image, self.working_masks(masks, image))

    def step(
        self, state: MaskRnnState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[MaskRnnState, ObjectMasks]:
        """The next frame's masks, with no look at the frame after it."""
        return self.advance(state, frame, None, labels)

    @property
    def answer(self) -> Answer:
        """Of the whole network, or of the appearance stream."""
        return answer_of_stream if self.options.appearance_alone else segmented_and_located

    def start_before(self, frame: Image, following: Image | None, labels: LabelMap) -> MaskRnnState:
        """As `start`; fine-tuning sees the flow to the frame that follows."""
        image = self.working(frame)
        unknown = torch.zeros(1, 2, *image.shape[:2], device=self.device)
        ahead = None if following is None else self.working(following)
        magnitudes = self._tuning_magnitudes(image, unknown, ahead)
        (state,) = self.start_at_each([frame], [labels], [magnitudes])
        return state

    @torch.inference_mode()
    def advance(
        self,
        state: MaskRnnState,
        frame: Image,
        following: Image | None,
        labels: LabelMap | None = None,
    ) -> tuple[MaskRnnState, ObjectMasks]:
        """The next frame's masks.

        Args:
            state: After the frame before.
            frame: The next one.
            following: The one after it, if it is known; else its flow counts as zero.
            labels: The frame's annotation, which corrects what is found.
        """
        image, ahead = self.working(frame), None if following is None else self.working(following)
        backward = self._flow(image, state.image)
        warped = warp(state.previous[None], backward)[0]
        guides = torch.maximum(warped, state.previous) if self.options.union else warped
        with self.autocast():
            features = self.network.features(
                frame_tensor(image, self.device), self._magnitudes(image, backward, ahead)
            )
        logits = torch.stack(
            [
                self._segment(features, guide[None, None], moved[None, None], before[None, None], weights)
                for guide, moved, before, weights in zip(
                    guides, warped, state.previous, state.weights, strict=True
                )
            ]
        )
        masks = object_masks(state.object_ids, logits, frame.shape[:2])
        if labels is not None:
            magnitudes = self._tuning_magnitudes(image, backward, ahead)
            return self.corrected(state, frame, labels, masks, magnitudes)
        return replace(state, image=image, previous=logits.sigmoid()), masks

    def _magnitudes(
        self, image: Image, backward: Float[Tensor, "1 2 h w"], following: Image | None
    ) -> Float[Tensor, "1 2 h w"]:
        """The magnitude images of a working frame's flow to both neighbours."""
        forward = torch.zeros_like(backward)
        if following is not None and self.options.flow_stream:
            forward = self._flow(image, following)
        return torch.stack([magnitude_image(flow) for flow in (backward, forward)], 1)

    def _tuning_magnitudes(
        self, image: Image, backward: Float[Tensor, "1 2 h w"], following: Image | None
    ) -> Magnitudes | None:
        """Those that fine-tuning is to see, if it is to see any."""
        options = self.options
        if options.appearance_alone or not options.flow_stream or options.fine_tuning.budget.is_none:
            return None
        seen = self._magnitudes(image, backward, following)[0].permute(1, 2, 0)
        return (seen * 255).round().to(torch.uint8).cpu().numpy()

    def _segment(
        self,
        features: StreamFeatures,
        guide: Float[Tensor, "1 1 h w"],
        warped: Float[Tensor, "1 1 h w"],
        before: Float[Tensor, "1 1 h w"],
        weights: ObjectWeights,
    ) -> Float[Tensor, "h w"]:
        """One object's logits at the working size, inside its box alone; of a lost object, everywhere."""
        coarse = guide
        if self.options.dilation_px:
            dilated = coarsened(guide[0, 0].cpu().numpy(), self.options.dilation_px)
            coarse = torch.from_numpy(dilated).to(self.device)[None, None]
        with self.autocast():
            output: TwoStreamOutput = weights.call(self.network, features, coarse, proposals_of(warped))
        size = (guide.shape[-2], guide.shape[-1])
        logits = at_size(output.fused, size)[0]
        if not self.options.localization:
            return logits
        union = before if self.options.union else None
        box = located(warped, output.deltas, self.options.enlargement, union)
        return logits.masked_fill(~inside_boxes(box, size)[0], OUTSIDE_LOGIT)

    def _flow(self, image: Image, other: Image) -> Float[Tensor, "1 2 h w"]:
        return flow_tensor(self.flow.between(image, other), self.device)


class MaskRnnLookingAhead(VideoSegmenter):
    """MaskRNN with a look-ahead of one frame, as in the paper: the flow stream sees both neighbours.

    Args:
        segmenter: Does the work.
    """

    def __init__(self, segmenter: MaskRnn) -> None:
        self.segmenter = segmenter

    def segment(self, video: Video, prompts: Mapping[int, LabelMap]) -> Iterator[tuple[int, ObjectMasks]]:
        """Masks of every frame, each as soon as the frame after it was read."""
        state: MaskRnnState | None = None
        for index, (frame, following) in enumerate(_with_following(video)):
            labels = prompts.get(index)
            if state is not None:
                state, masks = self.segmenter.advance(state, frame, following, labels)
            elif labels is None:
                masks = ObjectMasks((), np.zeros((0, *video.size), np.float32))
            else:
                state = self.segmenter.start_before(frame, following, labels)
                masks = ObjectMasks.from_label_map(labels)
            yield index, masks


def _with_following(video: Video) -> Iterator[tuple[Image, Image | None]]:
    """Every frame with the one after it; None after the last."""
    return cast(Iterator[tuple[Image, Image | None]], pairwise(chain(video, [None])))


def build(
    variant: str,
    preset: str,
    weights: Path,
    device: torch.device,
    *,
    flow: FlowEstimator | None = None,
    **overrides: Any,
) -> MaskRnn | MaskRnnLookingAhead:
    """A segmenter with weights from a file, as the zoo asks for it."""
    network = MaskRnnNetwork(variant_options(PRESETS, variant, preset, overrides))
    load_weights(weights, network, method="maskrnn", variant=variant)
    segmenter = MaskRnn(network, device, flow)
    return MaskRnnLookingAhead(segmenter) if network.options.look_ahead else segmenter
