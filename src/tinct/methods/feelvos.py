"""FEELVOS: Fast End-to-End Embedding Learning for Video Object Segmentation.

Paul Voigtlaender, Yuning Chai, Florian Schroff, Hartwig Adam, Bastian Leibe, Liang-Chieh Chen.
CVPR 2019, arXiv:1902.09513.

Every pixel is embedded; each pixel of the current frame asks how far the nearest pixel of each
object lies in the first frame (global matching) and, within a window, in the previous frame (local
matching); a small head that all objects share turns these distances into masks.

| paper | here |
|---|---|
| backbone feature, stride 4 (3.1) | `networks.feelvos.FeelvosNetwork.extractor`, `FrameEncoding.features` |
| semantic embedding e_p (3.2) | `networks.feelvos.SemanticEmbedding`, `FrameEncoding.embedding` |
| d(p, q) = 1 - 2 / (1 + exp(‖e_p - e_q‖²)), eq. 1 | `ops.matching.squash` |
| global matching G_{t,o}(p), eq. 2 | `ops.matching.global_matching` against `State.reference` |
| local matching L_{t,o}(p), eq. 4 and 5 | `ops.matching.local_matching` against `State.previous` |
| previous frame's predictions (3.5) | `State.previous_probs` |
| dynamic segmentation head (3.6) | `networks.feelvos.DynamicSegmentationHead`, once per object |
| posterior over all objects | a softmax over the logits of `FeelvosNetwork.forward` |
| bootstrapped cross-entropy (3.7) | `losses.bootstrapped_cross_entropy`, in `FeelvosTask` |

What goes beyond the paper is an `Options` field that the paper's variant leaves off; the page
docs/methods/feelvos.md gives the reason for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinct.errors import OptionError, near_match
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.networks.feelvos import FAR, FeelvosConfig, FeelvosNetwork, FrameEncoding, ObjectMatches
from tinct.networks.weights import load_weights
from tinct.ops.components import apart_from
from tinct.ops.matching import ReferenceSet, global_matching, local_matching
from tinct.ops.membership import PixelSet, label_membership, label_positions
from tinct.ops.precision import Precision, bfloat16_is_faster
from tinct.ops.resize import enlarged_probs, resize_area, working_size
from tinct.shapes import Image, LabelMap, holds_arrays

PREVIOUS_MATCHING = ("window", "frame", "none")


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
        align_corners: Resize between the frame and the head's grid by the centres of their corner pixels, as
            in the authors' code; else by pixel centres, as the compact weights learnt it.
        global_matching: Match with the annotated frames (3.3); off in the paper's ablation.
        previous_matching: Match with the previous frame within a "window" (3.4); in the paper's ablation with
            the whole "frame", or "none" of it.
        previous_prediction: Show the head the previous frame's prediction (3.5); off in the paper's ablation.
        working_height: Short side in pixels to which frames are brought; None leaves them.
        soft_minimum: Beyond the paper: temperature of a soft minimum in matching over soft
            memberships; None takes the nearest pixel, as the paper does.
        refinement: Beyond the paper: use the network's refinement, if it has one.
        memory_frames: Beyond the paper: number of earlier frames that join the global matching (0).
        memory_every: Frames between two of them.
        memory_thinning: Only every n-th pixel of them is kept.
        memory_weight: What one frame of them counts against an annotated one, in a soft minimum.
        other_prompts: Beyond the paper: where a run starts at each annotated frame, what the others count in
            its reference, in a soft minimum (0: nothing).
        gate: Beyond the paper: drop components that lie apart from the previous mask.
        gate_reach: How far apart, as a fraction of the frame's short side.

    Raises:
        OptionError: No such `previous_matching`.
    """

    config: FeelvosConfig = field(default_factory=FeelvosConfig)
    output_stride: int = 8
    local_radius: int = 15
    soft_feedback: bool = True
    reference_pixels: int = 1024
    align_corners: bool = True
    global_matching: bool = True
    previous_matching: str = "window"
    previous_prediction: bool = True
    working_height: int | None = None
    soft_minimum: float | None = None
    refinement: bool = False
    memory_frames: int = 0
    memory_every: int = 5
    memory_thinning: int = 1
    memory_weight: float = 1.0
    other_prompts: float = 0.0
    gate: bool = False
    gate_reach: float = 0.1

    def __post_init__(self) -> None:
        if self.previous_matching not in PREVIOUS_MATCHING:
            raise OptionError(
                f"Unknown previous_matching {self.previous_matching!r}. "
                f"{near_match(self.previous_matching, PREVIOUS_MATCHING)}"
            )


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

COMPACT = Options(
    COMPACT_CONFIG, local_radius=7, working_height=240, soft_minimum=1.0, refinement=True, align_corners=False
)
"""The compact network, as it is trained: 240 rows, stride-8 matching."""

_COMPACT_MEMORY = replace(COMPACT, memory_thinning=3, memory_weight=0.1, other_prompts=0.3, gate=True)

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "mobilenetv2": {
        "default": replace(_COMPACT_MEMORY, working_height=432, local_radius=13, memory_frames=5),
        "fast": replace(_COMPACT_MEMORY, working_height=272, local_radius=8, memory_frames=3),
    },
    "xception65": {"default": Options(), "fast": Options(output_stride=16), "paper": Options()},
}
"""Variant → preset → options. There is no compact "paper": the network learnt with what goes beyond it."""


TRUST_RANGE = 0.08
"""A prompt counts a third if it agrees with what the others say of its frame so much less than the best."""


def without_parts(matches: ObjectMatches, options: Options) -> ObjectMatches:
    """Matches without what the options leave out: it says nothing, the same of every label and everywhere.

    The paper's ablation takes the channel away; to a head that was trained so, that is the same.
    """
    nothing = torch.full_like(matches.global_distances, FAR)
    return ObjectMatches(
        matches.global_distances if options.global_matching else nothing,
        nothing if options.previous_matching == "none" else matches.local_distances,
        matches.previous_probs if options.previous_prediction else torch.zeros_like(matches.previous_probs),
    )


def match(
    embedding: Float[Tensor, "C H W"],
    reference: PixelSet,
    previous_embedding: Float[Tensor, "C H W"],
    previous_membership: Float[Tensor, "L H W"],
    previous_probs: Float[Tensor, "L H W"],
    options: Options,
) -> ObjectMatches:
    """Global matching with the reference (eq. 2) and local matching with the previous frame (eq. 5)."""
    nearest = global_matching(
        embedding.flatten(1).T, reference.embedding, reference.membership, temperature=options.soft_minimum
    )
    nearest = nearest.reshape(-1, *embedding.shape[-2:])
    local = match_previous(
        embedding, previous_embedding, previous_membership, options, reference_pixels=options.reference_pixels
    )
    return without_parts(ObjectMatches(nearest, local, previous_probs), options)


def match_previous(
    embedding: Float[Tensor, "C H W"],
    previous_embedding: Float[Tensor, "C H W"],
    previous_membership: Float[Tensor, "L H W"],
    options: Options,
    *,
    precision: Precision = "float32",
    reference_pixels: int | None = None,
) -> Float[Tensor, "L H W"]:
    """Distances to the previous frame: within a window (eq. 5), or in the ablation to the whole frame.

    Args:
        embedding: Of the frame.
        previous_embedding: Of the one before.
        previous_membership: Which label the pixels of the one before belong to.
        options: How it is matched.
        precision: Of the window's correlations.
        reference_pixels: Pixels per label that are drawn from a whole frame (in training); None takes all.
    """
    if options.previous_matching != "frame":
        return local_matching(
            embedding, previous_embedding, previous_membership,
            radius=options.local_radius, temperature=options.soft_minimum, precision=precision,
        )  # fmt: skip
    pixels = PixelSet.of_frame(previous_embedding, previous_membership)
    if reference_pixels is not None:
        pixels = pixels.subsampled(reference_pixels)
    nearest = global_matching(
        embedding.flatten(1).T, pixels.embedding, pixels.membership, temperature=options.soft_minimum
    )
    return nearest.reshape(-1, *embedding.shape[-2:])


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


def prompt_trusts(
    states: Sequence[FeelvosState], seen: Sequence[FeelvosState | None]
) -> list[Float[Tensor, "L"]]:
    """How far each annotated frame's labels can be trusted, in (0, 1]; the background's is that of the least.

    Args:
        states: At each annotated frame.
        seen: The states after the same frames as the others see them; None for one that cannot be judged.
    """
    overlaps = [
        {
            i: _overlap(state.labels == label, after.labels == label)
            for label, i in enumerate(state.object_ids, 1)
        }
        if after is not None
        else {}
        for state, after in zip(states, seen, strict=True)
    ]
    best = {i: max(of[i] for of in overlaps if i in of) for i in {i for of in overlaps for i in of}}
    trusts = []
    for state, of in zip(states, overlaps, strict=True):
        behind = [best[i] - of[i] if i in of else 0.0 for i in state.object_ids]
        trusts.append(state.membership.new_tensor([max(behind), *behind]).div(-TRUST_RANGE).exp())
    return trusts


def _overlap(one: Tensor, other: Tensor) -> float:
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


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
    def start_at_each(self, frames: Sequence[Image], labels: Sequence[LabelMap]) -> list[FeelvosState]:
        """A state at each annotated frame, with all of them in its reference; see `Bidirectional`.

        Each frame is first segmented by what the others know. A mask that they contradict, where they do not
        contradict each other, was painted in a hurry: it counts less (`TRUST_RANGE`), and its run starts
        from what the others say of it in the same measure.

        Args:
            frames: The annotated frames.
            labels: Their annotations.
        """
        states = [self.start(*annotated) for annotated in zip(frames, labels, strict=True)]
        if len(states) == 1 or not self.options.other_prompts:
            return states
        seen = [self._seen_by_others(states, place, frame) for place, frame in enumerate(frames)]
        trusts = prompt_trusts(states, seen)
        trusted = [
            replace(state, prompts=state.prompts.weighted(trust))
            for state, trust in zip(states, trusts, strict=True)
        ]
        return [
            self._started(state, self._others(trusted, place), after, trust.min())
            for place, (state, after, trust) in enumerate(zip(trusted, seen, trusts, strict=True))
        ]

    def _started(
        self, state: FeelvosState, others: PixelSet, after: FeelvosState | None, share: Tensor
    ) -> FeelvosState:
        """The state that knows the others too, and starts from its own labels as far as they are trusted."""
        prompts = state.prompts.joined(others.weighted(self.options.other_prompts))
        state = replace(state, prompts=prompts, reference=self._reference(prompts, ()))
        if after is None:
            return state
        return replace(
            state,
            membership=after.membership.lerp(state.membership, share),
            probs=after.probs.lerp(state.probs, share),
            labels=state.labels if share > 0.5 else after.labels,
        )

    def _others(self, states: Sequence[FeelvosState], place: int) -> PixelSet:
        """The pixels of all other annotated frames, with the labels of this one."""
        object_ids = states[place].object_ids
        pixels = [
            state.prompts.relabelled(state.object_ids, object_ids)
            for other, state in enumerate(states)
            if other != place
        ]
        return reduce(PixelSet.joined, pixels)

    def _seen_by_others(
        self, states: Sequence[FeelvosState], place: int, frame: Image
    ) -> FeelvosState | None:
        """The state after an annotated frame as the others segment it; None if they lack a label."""
        others = self._others(states, place)
        if not (others.membership > 0).any(0).all():
            return None
        return self.step(replace(states[place], reference=self._reference(others, ())), frame)[0]

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
        probs = enlarged_probs(scores, frame.shape[:2], align_corners=self.options.align_corners)
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
        nearest = state.reference.match(embedding.flatten(1).T).reshape(-1, *embedding.shape[-2:])
        local = match_previous(
            embedding, state.embedding, state.membership, self.options, precision=self.precision
        )
        return without_parts(ObjectMatches(nearest, local, state.probs), self.options)

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
        membership = label_membership(
            positions, len(object_ids), grid,
            soft=options.soft_minimum is not None, align_corners=options.align_corners,
        )  # fmt: skip
        annotated = PixelSet.of_frame(embedding, membership)
        prompts = annotated if prompts is None else prompts.joined(annotated)
        fine = grid if encoding.skip is None else (encoding.skip.shape[-2], encoding.skip.shape[-1])
        return FeelvosState(
            # An annotation is fed back as it is matched: 1 and 0 in the paper, in training too.
            index, object_ids, prompts, (), self._reference(prompts, ()), embedding, membership, membership,
            label_membership(positions, len(object_ids), fine, soft=True).argmax(0),
        )  # fmt: skip


def build(variant: str, preset: str, weights: Path, device: torch.device, **overrides: Any) -> Feelvos:
    """A segmenter with weights from a file, as the zoo asks for it."""
    options = replace(PRESETS[variant][preset], **overrides)
    network = FeelvosNetwork(options.config, options.output_stride)
    load_weights(weights, network, method="feelvos", variant=variant)
    return Feelvos(network, options, device)
