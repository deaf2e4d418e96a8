"""MaskTrack: Learning Video Object Segmentation from Static Images.

Federico Perazzi, Anna Khoreva, Rodrigo Benenson, Bernt Schiele, Alexander Sorkine-Hornung.
CVPR 2017, arXiv:1612.02646.

A network sees a frame and a rough mask, and gives the object's exact mask. Trained on still images
with deformed masks, it turns each frame's mask into the next one's. It may be fine-tuned on the
first frame, and a twin that sees the magnitude of the optical flow in the place of the frame may
join it.

| paper | here |
|---|---|
| deformed masks of still images (3.2) | `data.deform.deform_mask`, `data.masked_frames.MaskedFrames` |
| mask coarsened by dilation, in training and at test (3.2) | `data.deform.coarsened`, `Options.dilation_px` |
| online fine-tuning on the first frame (3.3) | `fine_tuning.fine_tune` |
| MaskTrack Box (3.4) | `Options.box` |
| the flow-magnitude twin, averaged (3.4) | `Options.flow_stream`, `MaskTrack._twin_logits` |
| dense CRF (3.4) | `Options.crf`, `ops.dense_crf` |

What goes beyond the paper is an `Options` field that the preset "paper" switches off; the page
docs/methods/masktrack.md gives the reason for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from tinct.data.deform import coarsened, filled_box
from tinct.data.online_samples import OnlineAugmentation
from tinct.data.synthetic import Motion
from tinct.errors import OptionError, near_match
from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.fine_tune import COMPACT_GUIDED, Answer, FineTuning, TuningBatch, answer_of_stream
from tinct.fine_tuning.per_object import ObjectWeights
from tinct.fine_tuning.segmenter import FineTunedSegmenter, FineTunedState, Learnt
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.networks.deeplab_v2 import SCORE_RATES, DeepLabV2Stream
from tinct.networks.flow import DisFlow, FlowEstimator
from tinct.networks.guided_pyramid import GuidedPyramid
from tinct.networks.presets import variant_options
from tinct.networks.side_outputs import SideLogits
from tinct.networks.weights import load_weights
from tinct.ops.components import apart_from
from tinct.ops.dense_crf import check_dense_crf, dense_crf
from tinct.ops.losses import PLAIN
from tinct.ops.resize import resize_area
from tinct.ops.tensors import flow_tensor, frame_tensor, object_masks, object_probs
from tinct.ops.warp import magnitude_image, warp
from tinct.shapes import Image, LabelMap, holds_arrays

COMPACT_BACKBONES = {"mobilenetv2": "mobilenetv2_100"}
"""Backbones of compact variants, and timm's names for them."""

BACKBONES = (*COMPACT_BACKBONES, *DeepLabV2Stream.BACKBONES)


WARPING = ("no", "warped", "union")

MASK_INPUTS = ("mask", "box", "none")


@dataclass(frozen=True)
class Options:
    """The network and the way it is run; the defaults are the paper's, but for `fine_tuning`.

    Attributes:
        backbone: "vgg16" (3.1: DeepLabv2), "resnet101" (likewise: the baseline in DyeNet's paper) or
            "mobilenetv2".
        dilation_px: The previous mask is dilated by a disc of this radius (3.2: 5).
        soft_feedback: Beyond the paper: feed back probabilities instead of a hard mask.
        soft_reach: How far from the mask probabilities are fed back, as a fraction of the frame's
            short side.
        warp_previous: "no", "warped" (the previous mask moves along the optical flow first; the
            paper tried it, and found no gain) or "union" (beyond the paper: both together, so that
            neither a fast object nor wrong flow loses the mask).
        gate_reach: Beyond the paper: components further than this from the mask that the network was given,
            as a fraction of the frame's short side, are dropped as look-alikes; 0 keeps all. An object
            that was lost may come back anywhere.
        flow_stream: Average with the twin that sees the flow's magnitude (3.4).
        crf: Draw the masks to the frame's edges by a dense CRF (3.4); needs pydensecrf2.
        box: Of an annotated mask its box alone is used: the network makes a mask of it first, and goes on
            from that (3.4; the paper has a network of its own for this).
        mask_input: What the network sees of a previous mask: the "mask" (3.1), or in the paper's ablation its
            filled "box", or "none" of it. Weights learn with one of them.
        fine_tuning: On the annotated frames (3.3).
        working_height: Short side in pixels to which frames are brought; None leaves them.

    Raises:
        OptionError: No such backbone, `warp_previous` or `mask_input`.
    """

    backbone: str = "vgg16"
    dilation_px: int = 5
    soft_feedback: bool = False
    soft_reach: float = 0.05
    warp_previous: str = "no"
    gate_reach: float = 0.0
    flow_stream: bool = False
    crf: bool = False
    box: bool = False
    mask_input: str = "mask"
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    working_height: int | None = None

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise OptionError(f"Unknown backbone {self.backbone!r}. {near_match(self.backbone, BACKBONES)}")
        if self.warp_previous not in WARPING:
            raise OptionError(
                f"Unknown warp_previous {self.warp_previous!r}. {near_match(self.warp_previous, WARPING)}"
            )
        if self.mask_input not in MASK_INPUTS:
            raise OptionError(
                f"Unknown mask_input {self.mask_input!r}. {near_match(self.mask_input, MASK_INPUTS)}"
            )

    @property
    def flow_steps(self) -> tuple[int, ...]:
        """To which frames a frame's flow is asked for, counted along the run: -1 is the one before."""
        return (-1,) if self.flow_stream or self.warp_previous != "no" else ()


COMPACT = Options(
    backbone="mobilenetv2",
    dilation_px=2,
    soft_feedback=True,
    soft_reach=0.03,
    warp_previous="union",
    gate_reach=0.05,
    fine_tuning=COMPACT_GUIDED,
    working_height=480,
)

PAPER_FINE_TUNING = FineTuning(
    Budget(steps=200), learning_rate=1e-3, schedule="polynomial", clip_gradient_norm=0.0, optimiser="sgd",
    weight_decay=5e-4, rates=SCORE_RATES, batch=10,
    augmentation=OnlineAugmentation(
        Motion(
            scale=(1.0, 1.0), turn_degrees=20.0, shift=0.0, step_scale=0.0, step_turn_degrees=0.0,
            step_shift=0.0, bend=0.0,
        ),
        lucid=0.0, damaged=0.0, lost=0.0, colour=0.0,
    ),
    loss=PLAIN,
)  # fmt: skip
"""All layers, 200 steps on mirrored and turned frames with deformed masks (3.3); the paper gives no learning
rate, so that and its schedule are those of the training before."""

PAPER = Options(fine_tuning=PAPER_FINE_TUNING)

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "mobilenetv2": {
        "default": COMPACT,
        "fast": replace(COMPACT, working_height=288),
        "paper": Options(backbone="mobilenetv2", fine_tuning=PAPER_FINE_TUNING.with_compact_rates()),
    },
    **{
        name: {
            "default": replace(PAPER, backbone=name),
            "fast": replace(PAPER, backbone=name, working_height=288),
            "paper": replace(PAPER, backbone=name),
        }
        for name in DeepLabV2Stream.BACKBONES
    },
}
"""Variant → preset → options."""


APART_LOGIT = -20.0
"""Of what lies apart from its object: low enough to be nothing."""


class MaskTrackNetwork(nn.Module):
    """Frame and previous mask in, the object's logits out."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.stream: GuidedPyramid | DeepLabV2Stream
        if options.backbone in COMPACT_BACKBONES:
            self.stream = GuidedPyramid(COMPACT_BACKBONES[options.backbone], guides=1)
        else:
            self.stream = DeepLabV2Stream(options.backbone)

    def forward(
        self,
        frames: Float[Tensor, "B 3 H W"],
        previous: Float[Tensor, "B 1 H W"],
        *,
        deep_supervision: bool = False,
    ) -> SideLogits:
        """Logits of stride 4, or of the frame's size in the paper's variants."""
        output: SideLogits = self.stream(
            self.stream.features(frames), self.seen_of(previous), deep_supervision=deep_supervision
        )
        return output

    def seen_of(self, masks: Float[Tensor, "*N H W"]) -> Float[Tensor, "*N H W"]:
        """What the stream is shown of previous masks: themselves, their filled boxes, or nothing."""
        if self.options.mask_input == "mask":
            return masks
        if self.options.mask_input == "none":
            return torch.zeros_like(masks)
        certain = (masks > 0.5).flatten(0, -3).cpu().numpy()
        boxes = np.stack([filled_box(mask) for mask in certain]).reshape(masks.shape)
        return torch.from_numpy(boxes).to(masks)


@holds_arrays
@dataclass(frozen=True, repr=False)
class MaskTrackState(FineTunedState):
    """What is carried from frame to frame, beside each object's own layers.

    Attributes:
        image: The previous frame at the working size, for the flow.
        previous: [N, h, w], its probabilities at the working size.
    """

    image: np.ndarray
    previous: Tensor


class MaskTrack(FineTunedSegmenter[MaskTrackState]):
    """MaskTrack at test time: one pass of the backbone per frame, one of the pyramid per object.

    Args:
        network: Never changed.
        device: Where it runs.
        flow: Gives the optical flow where an option needs it; DIS if None.

    Raises:
        OptionError: A dense CRF is asked for, and its library is not installed.
    """

    network: MaskTrackNetwork
    options: Options

    def __init__(
        self,
        network: MaskTrackNetwork,
        device: torch.device | None = None,
        flow: FlowEstimator | None = None,
    ) -> None:
        super().__init__(network, device)
        self.flow = flow or DisFlow()
        if self.options.crf:
            check_dense_crf()

    @property
    def answer(self) -> Answer:
        """How fine-tuning asks the network: with what it is shown of masks at test."""

        def of_seen(stream: Any, batch: TuningBatch) -> tuple[Tensor, Tensor]:
            return answer_of_stream(stream, batch._replace(guides=self.network.seen_of(batch.guides)))

        return answer_of_stream if self.options.mask_input == "mask" else of_seen

    def certain_state(self, learnt: Learnt, frame: Image, masks: ObjectMasks) -> MaskTrackState:
        """Masks that are certain are the previous ones of the frame that comes next."""
        image = self.working(frame)
        return MaskTrackState(*learnt.of(masks.object_ids), image, self.working_masks(masks, image))

    @torch.inference_mode()
    def step(
        self, state: MaskTrackState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[MaskTrackState, ObjectMasks]:
        """Refine every object's previous mask on this frame; a pixel goes to the best score above 0."""
        image = self.working(frame)
        backward = self._flow(image, state.image) if self.options.flow_steps else None
        guides = self._guides(state.previous, backward)
        logits = self._logits(frame_tensor(image, self.device), guides, state.weights)
        if self.options.flow_stream and backward is not None:
            logits = (logits + self._twin_logits(backward, guides)) / 2
        if self.options.gate_reach:
            logits = self._gated(logits, guides)
        masks = object_masks(state.object_ids, logits, frame.shape[:2])
        previous = object_probs(logits, image.shape[:2])
        if self.options.crf:
            masks = ObjectMasks(state.object_ids, dense_crf(masks.probs, frame))
            previous = self.working_masks(masks, image)
        if labels is not None:
            return self.corrected(state, frame, labels, masks)
        return replace(state, image=image, previous=previous), masks

    @torch.inference_mode()
    def annotated_masks(self, frame: Image, labels: LabelMap) -> LabelMap:
        """The annotated masks; in the box variant what the network makes of their boxes (3.4).

        There the masks' outlines are never looked at, by fine-tuning neither. An object that the
        network does not find is taken for its whole box.
        """
        if not self.options.box:
            return labels
        ids, image = object_ids_of(labels), self.working(frame)
        boxes = ObjectMasks(ids, np.stack([filled_box(labels == i) for i in ids]).astype(np.float32))
        guides = self.working_masks(boxes, image)
        logits = self._logits(frame_tensor(image, self.device), guides, (ObjectWeights(),) * len(ids))
        found = object_masks(ids, logits, labels.shape).probs
        annotation = ObjectMasks(ids, found * boxes.probs).label_map
        for object_id, box in zip(ids, boxes.probs > 0, strict=True):
            if not (annotation == object_id).any():
                annotation[box] = object_id
        return annotation

    def _logits(
        self,
        picture: Float[Tensor, "1 3 h w"],
        guides: Float[Tensor, "N h w"],
        weights: tuple[ObjectWeights, ...],
    ) -> Float[Tensor, "N h4 w4"]:
        """What each object's network says of a picture in [0, 1]."""
        stream = self.network.stream
        with self.autocast():
            features = stream.features(picture)
            logits = [
                w.call(stream, features, guide[None, None]).fused[0].float()
                for w, guide in zip(weights, self.network.seen_of(guides), strict=True)
            ]
        return torch.stack(logits)

    def _twin_logits(
        self, backward: Float[Tensor, "1 2 h w"], guides: Float[Tensor, "N h w"]
    ) -> Float[Tensor, "N h4 w4"]:
        """What the network says of the flow's magnitude as a grey picture.

        The weights are those trained on pictures; what an object's network has learnt of the
        object's colours means nothing here, so it is the network before fine-tuning.
        """
        picture = magnitude_image(backward).unsqueeze(1).expand(-1, 3, -1, -1)
        return self._logits(picture, guides, (ObjectWeights(),) * len(guides))

    def _gated(
        self, logits: Float[Tensor, "N h4 w4"], guides: Float[Tensor, "N h w"]
    ) -> Float[Tensor, "N h4 w4"]:
        """Drop what lies apart from where its object was."""
        grid = (logits.shape[-2], logits.shape[-1])
        before = one_label_map(resize_area(guides[None], grid)[0] - 0.5)
        found = one_label_map(logits)
        reach_cells = round(self.options.gate_reach * min(grid))
        apart = apart_from(found, before, len(logits) + 1, reach_cells)[1:]
        return logits.masked_fill(torch.from_numpy(apart).to(self.device), APART_LOGIT)

    def _flow(self, image: Image, other: Image) -> Float[Tensor, "1 2 h w"]:
        return flow_tensor(self.flow.between(image, other), self.device)

    def _guides(
        self, previous: Float[Tensor, "N h w"], backward: Float[Tensor, "1 2 h w"] | None
    ) -> Float[Tensor, "N h w"]:
        """The previous masks as the network is given them."""
        if self.options.warp_previous != "no" and backward is not None:
            warped = warp(previous[None], backward)[0]
            previous = torch.maximum(previous, warped) if self.options.warp_previous == "union" else warped
        certain = previous > 0.5
        guides = certain.float()
        if self.options.soft_feedback:
            # Faint probabilities far from what is certain would feed themselves.
            guides = previous * _dilated(certain, round(self.options.soft_reach * min(previous.shape[-2:])))
        return _dilated(guides, self.options.dilation_px) if self.options.dilation_px else guides


def _dilated(masks: Shaped[Tensor, "N h w"], radius_px: int) -> Shaped[Tensor, "N h w"]:
    """Every mask dilated by a disc."""
    coarse = np.stack([coarsened(mask, radius_px) for mask in masks.cpu().numpy()])
    return torch.from_numpy(coarse).to(masks.device)


def one_label_map(scores: Float[Tensor, "N h w"]) -> np.ndarray:
    """0 where no score is above 0, else 1 + the position of the best."""
    best, position = scores.max(0)
    return np.asarray(torch.where(best > 0, position + 1, 0).cpu())


def build(
    variant: str,
    preset: str,
    weights: Path,
    device: torch.device,
    *,
    flow: FlowEstimator | None = None,
    **overrides: Any,
) -> MaskTrack:
    """A segmenter with weights from a file, as the zoo asks for it."""
    network = MaskTrackNetwork(variant_options(PRESETS, variant, preset, overrides))
    load_weights(weights, network, method="masktrack", variant=variant)
    return MaskTrack(network, device, flow)
