"""FEELVOS: Fast End-to-End Embedding Learning for Video Object Segmentation.

Paul Voigtlaender, Yuning Chai, Florian Schroff, Hartwig Adam, Bastian Leibe, Liang-Chieh Chen.
CVPR 2019, arXiv:1902.09513.

Every pixel is embedded; each pixel of the current frame asks how far the nearest pixel of each
object lies in the first frame (global matching) and, within a window, in the previous frame (local
matching); a small head that all objects share turns these distances into masks.

| paper | here |
|---|---|
| backbone feature, stride 4 (3.1) | `FeelvosNetwork.extractor`, `FrameEncoding.features` |
| semantic embedding e_p (3.2) | `FrameEncoding.embedding` |
| d(p, q) = 1 - 2 / (1 + exp(‖e_p - e_q‖²)), eq. 1 | `ops.matching.squash` |
| global matching G_{t,o}(p), eq. 2 | `ops.matching.global_matching` against `State.reference` |
| local matching L_{t,o}(p), eq. 4 and 5 | `ops.matching.local_matching` against `State.previous` |
| previous frame's predictions (3.5) | `State.previous_probs` |
| dynamic segmentation head (3.6) | `DynamicSegmentationHead`, once per object |
| posterior over all objects | a softmax over the logits of `FeelvosNetwork.forward` |
| bootstrapped cross-entropy (3.7) | `losses.bootstrapped_cross_entropy`, in `FeelvosTask` |

What goes beyond the paper is an `Options` field that the preset "paper" switches off; the page
docs/methods/feelvos.md gives the reason for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.networks.backbones import ImageNormalisation
from tinct.networks.batch_norm import freeze_batch_norm
from tinct.networks.deeplab import DeepLabV3Plus
from tinct.networks.heads import Refinement, SharedInputConv, UnitEmbedding, convolution
from tinct.networks.pyramid import FeaturePyramid
from tinct.networks.weights import load_weights
from tinct.ops.components import apart_from
from tinct.ops.matching import ReferenceSet, global_matching, local_matching, squash
from tinct.ops.membership import PixelSet, label_membership, label_positions
from tinct.ops.precision import Precision, bfloat16_is_faster
from tinct.ops.resize import enlarged_probs, resize_area, working_size
from tinct.shapes import Image, LabelMap, holds_arrays

COMPACT_BACKBONES = {"mobilenetv2": "mobilenetv2_100"}
"""Backbones of compact variants, and timm's names for them."""

FAR = 80.0
"""The squared distance that stands for "no such pixel": `squash` takes it to 1."""


@dataclass(frozen=True)
class FeelvosConfig:
    """What trained weights are bound to; the defaults are the paper's.

    Attributes:
        backbone: "xception65" (3.1) or "mobilenetv2".
        feature_channels: Width of the backbone feature (256).
        embedding_channels: Width of the embedding (3.2: 100).
        head_layers: Convolutions of the head before the last one (3.6: 4).
        head_channels: Their width (3.6: 256).
        head_kernel: Their size (3.6: 7).
        head_separable: Depthwise-separable ones (3.6) or dense ones.
        background_head: Run the head for the background too (paper), or hold its logit at 0.
        distance_scale: Divides squared distances before eq. 1 squashes them (1 in the paper).
        unit_embedding: Beyond the paper: embeddings of one length, so that distances are bounded
            and matching starts as good as nearest neighbours on ImageNet features.
        contrast: Beyond the paper: each object also sees the distance to everything else.
        refinement: Beyond the paper: layers that sharpen the head's output with stride-4 features.
    """

    backbone: str = "xception65"
    feature_channels: int = 256
    embedding_channels: int = 100
    head_layers: int = 4
    head_channels: int = 256
    head_kernel: int = 7
    head_separable: bool = True
    background_head: bool = True
    distance_scale: float = 1.0
    unit_embedding: bool = False
    contrast: bool = False
    refinement: bool = False


@dataclass(frozen=True)
class Options:
    """The network's config and the way it is run; the defaults are the paper's.

    Attributes:
        config: What the weights are bound to.
        output_stride: Of the backbone: 16 in training, 8 at test (3.1); compact ones ignore it.
        local_radius: Reach k of the local window in cells of the matching grid (4: 15).
        soft_feedback: Feed back the previous frame's probabilities (3.5), or its hard labels as the
            authors' code does.
        reference_pixels: Reference pixels drawn per object in training (3.3: 1024).
        working_height: Short side in pixels to which frames are brought; None leaves them.
        soft_minimum: Beyond the paper: temperature of a soft minimum in matching over soft
            memberships; None takes the nearest pixel, as the paper does.
        refinement: Beyond the paper: use the network's refinement, if it has one.
        memory_frames: Beyond the paper: so many earlier frames join the global matching (0).
        memory_every: Frames between two of them.
        memory_thinning: Only every n-th pixel of them is kept.
        memory_weight: What one frame of them counts against an annotated one, in a soft minimum.
        gate: Beyond the paper: drop components that lie apart from the previous mask.
        gate_reach: How far apart, as a fraction of the frame's short side.
    """

    config: FeelvosConfig = field(default_factory=FeelvosConfig)
    output_stride: int = 8
    local_radius: int = 15
    soft_feedback: bool = True
    reference_pixels: int = 1024
    working_height: int | None = None
    soft_minimum: float | None = None
    refinement: bool = False
    memory_frames: int = 0
    memory_every: int = 5
    memory_thinning: int = 1
    memory_weight: float = 1.0
    gate: bool = False
    gate_reach: float = 0.1


COMPACT_CONFIG = FeelvosConfig(
    backbone="mobilenetv2",
    feature_channels=96,
    embedding_channels=64,
    head_layers=3,
    head_channels=48,
    head_kernel=3,
    head_separable=False,
    background_head=False,
    distance_scale=4.0,
    unit_embedding=True,
    contrast=True,
    refinement=True,
)

COMPACT = Options(COMPACT_CONFIG, local_radius=7, working_height=240, soft_minimum=1.0, refinement=True)
"""The compact network, as it is trained: 240 rows, stride-8 matching."""

_COMPACT_MEMORY = replace(COMPACT, memory_thinning=3, memory_weight=0.1, gate=True)

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "mobilenetv2": {
        "default": replace(_COMPACT_MEMORY, working_height=432, local_radius=13, memory_frames=5),
        "fast": replace(_COMPACT_MEMORY, working_height=272, local_radius=8, memory_frames=3),
        "paper": replace(COMPACT, working_height=480, local_radius=14, soft_minimum=None, refinement=False),
    },
    "xception65": {"default": Options(), "fast": Options(output_stride=16), "paper": Options()},
}
"""Variant → preset → options; "paper" switches off what goes beyond the paper, but for the config."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class FrameEncoding:
    """Frames seen by the network: everything that does not depend on the objects.

    Attributes:
        features: [B, F, H, W] on the matching grid, for the head.
        embedding: [B, C, H, W] on the same grid.
        skip: [B, S, H4, W4], fine features for the refinement, if there is one.
    """

    features: Tensor
    embedding: Tensor
    skip: Tensor | None

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the matching grid."""
        return self.embedding.shape[-2], self.embedding.shape[-1]

    def select(self, index: Tensor | slice) -> FrameEncoding:
        """Some of the frames."""
        skip = None if self.skip is None else self.skip[index]
        return FrameEncoding(self.features[index], self.embedding[index], skip)


class SemanticEmbedding(nn.Module):
    """Depthwise 3×3, then 1×1 to C channels, a ReLU after each (3.2; the ReLUs are the authors' code's)."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(features, features, 3, padding=1, groups=features)
        self.pointwise = nn.Conv2d(features, channels, 1)
        self._start_near_identity()

    def _start_near_identity(self) -> None:
        for weight in (self.depthwise.weight, self.pointwise.weight):
            nn.init.trunc_normal_(weight, std=0.03)
        with torch.no_grad():
            self.depthwise.weight[:, 0, 1, 1] += 1
            shared = min(self.pointwise.weight.shape[:2])
            self.pointwise.weight[range(shared), range(shared)] += 1
        nn.init.zeros_(self.depthwise.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.pointwise.bias)  # type: ignore[arg-type]

    def forward(self, features: Float[Tensor, "B F H W"]) -> Float[Tensor, "B C H W"]:
        """The embedding e_p of every pixel."""
        return F.relu(self.pointwise(F.relu(self.depthwise(features))))


class HeadOutput(NamedTuple):
    """What the head says of N objects, or of N labels, before the softmax over them.

    Attributes:
        logits: [N, H', W'], of stride 4.
        coarse_logits: [N, H, W] on the matching grid; the same tensor where nothing refines it.
    """

    logits: Float[Tensor, "N H4 W4"]
    coarse_logits: Float[Tensor, "N H W"]


class DynamicSegmentationHead(nn.Module):
    """The head that runs once for every object with the same weights (3.6)."""

    def __init__(self, config: FeelvosConfig, maps: int, skip_channels: int) -> None:
        super().__init__()
        width, kernel, separable = config.head_channels, config.head_kernel, config.head_separable
        self.first = SharedInputConv(config.feature_channels, maps, width, kernel, separable=separable)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(convolution(width, width, kernel, separable=separable, bias=True), nn.ReLU())
                for _ in range(config.head_layers - 1)
            )
        )
        self.score = nn.Conv2d(width, 1, 1)
        nn.init.trunc_normal_(self.score.weight, std=0.01)
        self.refinement = Refinement(width, skip_channels) if config.refinement else None

    def forward(
        self, encoding: FrameEncoding, owners: Int64[Tensor, "N"], maps: Float[Tensor, "N M H W"]
    ) -> HeadOutput:
        """Logits of all objects of all frames; `owners[n]` is the frame that object n lies in."""
        hidden = self.layers(self.first(encoding.features, owners, maps))
        coarse = self.score(hidden)
        if self.refinement is None or encoding.skip is None:
            return HeadOutput(coarse[:, 0], coarse[:, 0])
        return HeadOutput(self.refinement(encoding.skip, owners, hidden, coarse)[:, 0], coarse[:, 0])


@holds_arrays
@dataclass(frozen=True, repr=False)
class ObjectMatches:
    """What one frame's pixels have found: for every label, the background's first.

    Attributes:
        global_distances: [L, H, W] squared distances to the reference frames.
        local_distances: [L, H, W] squared distances to the previous frame, within the window.
        previous_probs: [L, H, W], the previous frame's prediction.
    """

    global_distances: Tensor
    local_distances: Tensor
    previous_probs: Tensor

    def head_maps(self, config: FeelvosConfig, soft_minimum: float | None) -> Float[Tensor, "N M H W"]:
        """The head's input for each of its objects, in the paper's order: global, previous, local."""
        maps = torch.cat(
            [
                distance_maps(self.global_distances, config, soft_minimum),
                self.previous_probs.unsqueeze(1),
                distance_maps(self.local_distances, config, soft_minimum),
            ],
            dim=1,
        )
        return maps if config.background_head else maps[1:]


def distance_maps(
    distances: Float[Tensor, "L H W"], config: FeelvosConfig, soft_minimum: float | None = None
) -> Float[Tensor, "L K H W"]:
    """Eq. 1 of each label's distance; with `contrast` also the nearest other label's, and who is nearer."""
    own, scale = distances.clamp_max(FAR), config.distance_scale
    if not config.contrast:
        return squash(own / scale).unsqueeze(1)
    temperature = soft_minimum or 1.0
    others = torch.stack([torch.cat([own[:i], own[i + 1 :]]) for i in range(len(own))])
    if soft_minimum is None:
        other = others.amin(1)
    else:
        other = -temperature * torch.logsumexp(-others / temperature, dim=1)
    nearer = torch.sigmoid((other - own) / temperature)
    return torch.stack([squash(own / scale), squash(other / scale), nearer], dim=1)


class FeelvosNetwork(nn.Module):
    """Backbone, embedding and head (Figure 2).

    Args:
        config: Sizes and parts.
        output_stride: Of the paper's backbone; the weights do not depend on it.
    """

    SKIP_CHANNELS = 24

    def __init__(self, config: FeelvosConfig, output_stride: int = 8) -> None:
        super().__init__()
        self.config = config
        features, channels = config.feature_channels, config.embedding_channels
        self.extractor: FeaturePyramid | DeepLabV3Plus
        self.embedding: UnitEmbedding | SemanticEmbedding
        if config.backbone in COMPACT_BACKBONES:
            self.extractor = FeaturePyramid(COMPACT_BACKBONES[config.backbone], features, self.SKIP_CHANNELS)
            self.embedding = UnitEmbedding(self.extractor.stacked_channels, features, channels)
        else:
            self.extractor = DeepLabV3Plus(config.backbone, output_stride, features)
            self.normalise = ImageNormalisation(self.extractor.mean, self.extractor.std)
            self.embedding = SemanticEmbedding(features, channels)
        maps = 2 * (3 if config.contrast else 1) + 1
        self.head = DynamicSegmentationHead(config, maps, self.SKIP_CHANNELS)

    def start_from_imagenet(self, source: str = "auto") -> str:
        """Give the backbone ImageNet weights; says where they came from."""
        if isinstance(self.extractor, FeaturePyramid):
            return self.extractor.backbone.start_from_imagenet(source)
        return self.extractor.start_from_imagenet(source)

    def freeze_for_training(self) -> None:
        """Take out of training what stays as ImageNet made it: batch norm, or the compact first layers."""
        if isinstance(self.extractor, FeaturePyramid):
            self.extractor.backbone.freeze_to_stride_4()
        else:
            freeze_batch_norm(self.extractor)

    def encode(self, frames: Float[Tensor, "B 3 H W"]) -> FrameEncoding:
        """Features and embedding of frames in [0, 1]."""
        if isinstance(self.extractor, FeaturePyramid):
            seen = self.extractor(frames)
            skip = seen.skip if self.config.refinement else None
            return FrameEncoding(seen.features, self.embedding(seen.stacked, seen.features), skip)
        features = self.extractor(self.normalise(frames))
        return FrameEncoding(features, self.embedding(features), None)

    def forward(
        self, encoding: FrameEncoding, matches: Sequence[ObjectMatches], soft_minimum: float | None = None
    ) -> list[HeadOutput]:
        """From matches to logits (3.5, 3.6): the head runs once for every object of every frame.

        Args:
            encoding: Of B frames.
            matches: What each of them has found.
            soft_minimum: With which temperature, if any, it was matched.

        Returns:
            For each frame the logits of all its labels, the background's first.
        """
        maps = [found.head_maps(self.config, soft_minimum) for found in matches]
        counts = [len(of_frame) for of_frame in maps]
        owners = [frame for frame, count in enumerate(counts) for _ in range(count)]
        output: HeadOutput = self.head(
            encoding, torch.tensor(owners, device=encoding.embedding.device), torch.cat(maps)
        )
        parts = zip(*(torch.split(logits, counts) for logits in output), strict=True)
        return [HeadOutput(*(label_logits(part, self.config) for part in of_frame)) for of_frame in parts]


def label_logits(object_logits: Float[Tensor, "N H W"], config: FeelvosConfig) -> Float[Tensor, "L H W"]:
    """Logits of all labels, the background's first: the head's, or 0 where the head runs for objects only."""
    if config.background_head:
        return object_logits
    return F.pad(object_logits, (0, 0, 0, 0, 1, 0))


def match(
    embedding: Float[Tensor, "C H W"],
    reference: PixelSet,
    previous_embedding: Float[Tensor, "C H W"],
    previous_membership: Float[Tensor, "L H W"],
    previous_probs: Float[Tensor, "L H W"],
    options: Options,
) -> ObjectMatches:
    """Global matching with the reference (eq. 2) and local matching with the previous frame (eq. 5)."""
    grid = embedding.shape[-2:]
    nearest = global_matching(
        embedding.flatten(1).T, reference.embedding, reference.membership, temperature=options.soft_minimum
    )
    local = local_matching(
        embedding, previous_embedding, previous_membership,
        radius=options.local_radius, temperature=options.soft_minimum,
    )  # fmt: skip
    return ObjectMatches(nearest.reshape(-1, *grid), local, previous_probs)


@holds_arrays
@dataclass(frozen=True, repr=False)
class FeelvosState:
    """What is carried from frame to frame; L counts the objects and the background, which comes first.

    Attributes:
        index: Frames seen.
        object_ids: Ids of the objects, increasing.
        prompts: The pixels of all annotated frames: the paper's reference, and late prompts.
        memory: Pixels of earlier frames as they were segmented, oldest first.
        reference: Both, made ready for matching.
        embedding: [C, h, w], of the previous frame.
        membership: [L, h, w], which label its pixels belong to.
        probs: [L, h, w], the previous frame's prediction as it is fed back.
        labels: [h4, w4], its label positions on the head's grid, for the gate.
    """

    index: int
    object_ids: tuple[int, ...]
    prompts: PixelSet
    memory: tuple[PixelSet, ...]
    reference: ReferenceSet
    embedding: Tensor
    membership: Tensor
    probs: Tensor
    labels: Tensor


class Feelvos(StreamingSegmenter[FeelvosState]):
    """FEELVOS at test time: one pass per frame, no fine-tuning.

    Args:
        network: Never changed.
        options: How it is run; their config is the network's.
        device: Where it runs.
        precision: "float32", "bfloat16", or "auto": bfloat16 where this device is faster with it.
    """

    def __init__(
        self,
        network: FeelvosNetwork,
        options: Options,
        device: torch.device | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.device = device or torch.device("cpu")
        # A copy: moving it and switching it to evaluation would change the network that was given.
        inner: Any = deepcopy(network).to(self.device)
        self.network: FeelvosNetwork = inner.to(memory_format=torch.channels_last).eval()
        self.options = options
        lowered = precision == "bfloat16" or (precision == "auto" and bfloat16_is_faster(self.device.type))
        self.precision: Precision = "bfloat16" if lowered else "float32"

    def start(self, frame: Image, labels: LabelMap) -> FeelvosState:
        """The annotated frame becomes the reference and the previous frame."""
        object_ids = object_ids_of(labels)
        encoding = self._encode(frame)
        return self._prompted(encoding, labels, object_ids, index=1, prompts=None)

    @torch.inference_mode()
    def step(
        self, state: FeelvosState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[FeelvosState, ObjectMasks]:
        """Match, run the head once per object, take the softmax over objects."""
        encoding = self._encode(frame)
        matches = self._match(state, encoding.embedding[0])
        with self._lowered():
            [output] = self.network(encoding, [matches], self.options.soft_minimum)
        scores = output.logits.float()
        present = scores.argmax(0)
        if self.options.gate:
            scores, present = self._gated(scores, present, state.labels)
        probs = enlarged_probs(scores, frame.shape[:2])
        masks = ObjectMasks(state.object_ids, probs.cpu().numpy())
        if labels is not None:
            return self._corrected(state, encoding, masks, labels)
        return self._advanced(state, encoding.embedding[0], scores.softmax(0), present), masks

    def _encode(self, frame: Image) -> FrameEncoding:
        size = working_size(frame.shape[:2], self.options.working_height)
        if size != frame.shape[:2]:
            frame = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device)
        with torch.inference_mode(), self._lowered():
            seen = self.network.encode(pixels.permute(2, 0, 1)[None].float() / 255)
        skip = seen.skip if self.options.refinement else None
        return FrameEncoding(seen.features, seen.embedding.float(), skip)

    def _lowered(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def _match(self, state: FeelvosState, embedding: Float[Tensor, "C H W"]) -> ObjectMatches:
        grid = embedding.shape[-2:]
        nearest = state.reference.match(embedding.flatten(1).T)
        local = local_matching(
            embedding, state.embedding, state.membership, radius=self.options.local_radius,
            temperature=self.options.soft_minimum, precision=self.precision,
        )  # fmt: skip
        return ObjectMatches(nearest.reshape(-1, *grid), local, state.probs)

    def _gated(
        self, scores: Float[Tensor, "L H W"], present: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Drop components that lie apart from where their object was (beyond the paper)."""
        reach_cells = round(self.options.gate_reach * min(present.shape))
        apart = apart_from(present.cpu().numpy(), previous.cpu().numpy(), len(scores), reach_cells)
        if not apart.any():
            return scores, present
        dropped = torch.from_numpy(apart).to(self.device)
        scores = scores.masked_fill(dropped, -20.0)
        return scores, scores.argmax(0)

    def _advanced(
        self, state: FeelvosState, embedding: Tensor, probs: Float[Tensor, "L H4 W4"], present: Tensor
    ) -> FeelvosState:
        """The frame becomes the previous one and, every few frames, joins the memory."""
        options, grid = self.options, (embedding.shape[-2], embedding.shape[-1])
        soft = resize_area(probs, grid)
        hard_matching = options.soft_minimum is None
        membership = (
            label_membership(present, len(state.object_ids), grid, soft=False) if hard_matching else soft
        )
        fed_back = soft if options.soft_feedback else membership
        memory, reference = state.memory, state.reference
        if options.memory_frames and state.index % options.memory_every == 0:
            seen = PixelSet.of_frame(embedding, membership).thinned(options.memory_thinning)
            if options.soft_minimum is not None:
                seen = seen.weighted(options.memory_weight * options.memory_thinning)
            memory = (*memory, seen)[-options.memory_frames :]
            reference = self._reference(state.prompts, memory)
        return replace(
            state, index=state.index + 1, memory=memory, reference=reference,
            embedding=embedding, membership=membership, probs=fed_back, labels=present,
        )  # fmt: skip

    def _reference(self, prompts: PixelSet, memory: tuple[PixelSet, ...]) -> ReferenceSet:
        pixels = prompts
        for seen in memory:
            pixels = pixels.joined(seen)
        return ReferenceSet.of(
            pixels.embedding, pixels.membership,
            temperature=self.options.soft_minimum, precision=self.precision,
        )  # fmt: skip

    def _corrected(
        self, state: FeelvosState, encoding: FrameEncoding, masks: ObjectMasks, labels: LabelMap
    ) -> tuple[FeelvosState, ObjectMasks]:
        """An annotated frame in mid-video joins the reference; the memory, which may be wrong, is dropped."""
        merged = masks.corrected(labels)
        object_ids = merged.object_ids
        prompts = state.prompts.with_labels(state.object_ids, object_ids)
        state = self._prompted(encoding, merged.label_map, object_ids, index=state.index + 1, prompts=prompts)
        return state, merged

    @torch.inference_mode()
    def _prompted(
        self,
        encoding: FrameEncoding,
        labels: LabelMap,
        object_ids: tuple[int, ...],
        *,
        index: int,
        prompts: PixelSet | None,
    ) -> FeelvosState:
        options, grid, embedding = self.options, encoding.grid, encoding.embedding[0]
        positions = label_positions(labels, object_ids).to(self.device)
        soft = label_membership(positions, len(object_ids), grid, soft=True)
        hard_matching = options.soft_minimum is None
        membership = label_membership(positions, len(object_ids), grid, soft=False) if hard_matching else soft
        annotated = PixelSet.of_frame(embedding, membership)
        prompts = annotated if prompts is None else prompts.joined(annotated)
        fine = grid if encoding.skip is None else (encoding.skip.shape[-2], encoding.skip.shape[-1])
        return FeelvosState(
            index, object_ids, prompts, (), self._reference(prompts, ()), embedding, membership,
            soft if options.soft_feedback else membership,
            label_membership(positions, len(object_ids), fine, soft=True).argmax(0),
        )  # fmt: skip


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Feelvos:
    """A segmenter with weights from a file, as the zoo asks for it."""
    options = replace(PRESETS[variant][preset], **overrides)
    network = FeelvosNetwork(options.config, options.output_stride)
    load_weights(weights, network, method="feelvos", variant=variant)
    return Feelvos(network, options, device)
