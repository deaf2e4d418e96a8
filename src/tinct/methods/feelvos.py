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

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinct.backends.feelvos import FeelvosBackend
from tinct.errors import OptionError, near_match
from tinct.graphs.feelvos import LEAST_TEMPERATURE
from tinct.graphs.shapes import feelvos_shapes
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.io.weights_file import check_shapes, read_weights
from tinct.networks.feelvos_parts import COMPACT_BACKBONES, FAR, FeelvosConfig, FrameEncoding, ObjectMatches
from tinct.ops.components import apart_from
from tinct.ops.pixel_sets import Array, PixelSet, ReferenceSet, label_positions, namespace_of
from tinct.ops.working_size import working_frame
from tinct.shapes import Image, LabelMap, holds_arrays

if TYPE_CHECKING:
    from tinct.methods.feelvos_views import FeelvosViews

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
        views: Beyond the paper: (working height, mirrored or not) of runs whose probabilities are averaged
            (`methods.feelvos_views`); none for a single run at `working_height`.

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
    views: tuple[tuple[int, bool], ...] = ()

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

# More cells than in training: a soft minimum over them is to lie no lower.
_COMPACT_DEFAULT = replace(
    _COMPACT_MEMORY, working_height=432, local_radius=13, memory_frames=2, soft_minimum=0.85
)

PRESETS: Mapping[str, Mapping[str, Options]] = {
    "mobilenetv2": {
        "default": _COMPACT_DEFAULT,
        "best": replace(_COMPACT_DEFAULT, views=((432, False), (432, True))),
        "fast": replace(_COMPACT_MEMORY, working_height=272, local_radius=8, memory_frames=3),
    },
    "xception65": {"default": Options(), "fast": Options(output_stride=16), "paper": Options()},
}
"""Variant → preset → options. There is no compact "paper": the network learnt with what goes beyond it."""


def missing_graph(options: Options) -> str:
    """What of the options no ONNX graph computes, in words; empty if the backend onnx can run all of it."""
    config = options.config
    parts = (config.unit_embedding, config.contrast, config.refinement, options.refinement)
    if config.backbone not in COMPACT_BACKBONES:
        return f"the backbone {config.backbone}"
    if config.head_separable or config.background_head or not all(parts):
        return "other parts than the compact network's"
    if options.soft_minimum is None or options.soft_minimum < LEAST_TEMPERATURE:
        return f"soft_minimum={options.soft_minimum}"
    return "align_corners=True" if options.align_corners else ""


TRUST_RANGE = 0.08
"""A prompt counts a third if it agrees with what the others say of its frame so much less than the best."""


def without_parts(matches: ObjectMatches, options: Options) -> ObjectMatches:
    """Matches without what the options leave out: it says nothing, the same of every label and everywhere.

    The paper's ablation takes the channel away; to a head that was trained so, that is the same.
    """
    xp = namespace_of(matches.global_distances)
    nothing = xp.full_like(matches.global_distances, FAR)
    return ObjectMatches(
        matches.global_distances if options.global_matching else nothing,
        nothing if options.previous_matching == "none" else matches.local_distances,
        matches.previous_probs if options.previous_prediction else xp.zeros_like(matches.previous_probs),
    )


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
    embedding: Array
    membership: Array
    probs: Array
    labels: Array


def prompt_trusts(
    states: Sequence[FeelvosState], seen: Sequence[FeelvosState | None]
) -> list[tuple[float, ...]]:
    """How far the labels of each annotated frame can be trusted, in (0, 1]; the background's as the least.

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
        trusts.append(tuple(math.exp(-far / TRUST_RANGE) for far in (max(behind), *behind)))
    return trusts


def _overlap(one: Array, other: Array) -> float:
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


class Feelvos(StreamingSegmenter[FeelvosState]):
    """FEELVOS at test time: one pass per frame, no fine-tuning.

    Args:
        backend: The network, and what runs it.
        options: How it is run; their config is the network's.
    """

    def __init__(self, backend: FeelvosBackend, options: Options) -> None:
        self.backend, self.options = backend, options

    @property
    def device(self) -> Any:
        """Where it runs."""
        return self.backend.device

    def start(self, frame: Image, labels: LabelMap) -> FeelvosState:
        """The annotated frame becomes the reference and the previous frame."""
        object_ids = object_ids_of(labels)
        with self.backend.inference():
            return self._prompted(self._encode(frame), labels, object_ids, index=1, prompts=None)

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
        with self.backend.inference():
            seen = [self._seen_by_others(states, place, frame) for place, frame in enumerate(frames)]
            trusts = prompt_trusts(states, seen)
            trusted = [
                replace(state, prompts=state.prompts.weighted(trust))
                for state, trust in zip(states, trusts, strict=True)
            ]
            return [
                self._started(state, self._others(trusted, place), after, min(trust))
                for place, (state, after, trust) in enumerate(zip(trusted, seen, trusts, strict=True))
            ]

    def _started(
        self, state: FeelvosState, others: PixelSet, after: FeelvosState | None, share: float
    ) -> FeelvosState:
        """The state that knows the others too, and starts from its own labels as far as they are trusted."""
        prompts = state.prompts.joined(others.weighted(self.options.other_prompts))
        state = replace(state, prompts=prompts, reference=self._reference(prompts, ()))
        if after is None:
            return state
        return replace(
            state,
            membership=share * state.membership + (1 - share) * after.membership,
            probs=share * state.probs + (1 - share) * after.probs,
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

    def step(
        self, state: FeelvosState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[FeelvosState, ObjectMasks]:
        """Match, run the head once per object, take the softmax over objects."""
        self._check_owner(state)
        options, backend = self.options, self.backend
        with backend.inference():
            encoding = self._encode(frame)
            matches = self._match(state, encoding.embedding[0])
            scores = backend.logits(encoding, matches, options.soft_minimum)
            present = scores.argmax(0)
            if options.gate:
                scores, present = self._gated(scores, present, state.labels)
            probs = backend.probs(scores, frame.shape[:2], align_corners=options.align_corners)
            masks = ObjectMasks(state.object_ids, probs)
            if labels is not None:
                return self._corrected(state, encoding, masks, labels)
            advanced = self._advanced(state, encoding.embedding[0], backend.softmax(scores), present)
        return advanced, masks

    def _check_owner(self, state: FeelvosState) -> None:
        """The last bits of the two backends differ, and so do their arrays: neither goes on for the other."""
        if not isinstance(state.embedding, self.backend.array_type):
            other = "onnx" if isinstance(state.embedding, np.ndarray) else "torch"
            raise OptionError(
                f"A state of the backend {other} came to one of {self.backend.name}; go on with "
                f'backend="{other}" (--backend {other}), or start again.'
            )

    def _encode(self, frame: Image) -> FrameEncoding:
        seen = self.backend.encode(working_frame(frame, self.options.working_height))
        return seen if self.options.refinement else replace(seen, skip=None)

    def _match(self, state: FeelvosState, embedding: Array) -> ObjectMatches:
        options, backend = self.options, self.backend
        nearest = backend.match(state.reference, embedding)
        if options.previous_matching == "frame":
            previous = PixelSet.of_frame(state.embedding, state.membership)
            local = backend.match(backend.reference(previous, options.soft_minimum), embedding)
        else:
            local = backend.match_window(
                embedding, state.embedding, state.membership, options.local_radius, options.soft_minimum
            )
        return without_parts(ObjectMatches(nearest, local, state.probs), options)

    def _gated(self, scores: Array, present: Array, previous: Array) -> tuple[Array, Array]:
        """Drop components that lie apart from where their object was (beyond the paper)."""
        numpy = self.backend.numpy
        reach_cells = round(self.options.gate_reach * min(present.shape))
        apart = apart_from(numpy(present), numpy(previous), len(scores), reach_cells)
        if not apart.any():
            return scores, present
        scores = self.backend.masked(scores, apart, -20.0)
        return scores, scores.argmax(0)

    def _advanced(self, state: FeelvosState, embedding: Array, probs: Array, present: Array) -> FeelvosState:
        """The frame becomes the previous one and, every few frames, joins the memory."""
        options, grid = self.options, (embedding.shape[-2], embedding.shape[-1])
        soft = membership = self.backend.resized(probs, grid)
        if options.soft_minimum is None:
            membership = self.backend.membership(present, len(state.object_ids), grid, soft=False)
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
        return self.backend.reference(pixels, self.options.soft_minimum)

    def _corrected(
        self, state: FeelvosState, encoding: FrameEncoding, masks: ObjectMasks, labels: LabelMap
    ) -> tuple[FeelvosState, ObjectMasks]:
        """An annotated frame in mid-video joins the reference; the memory, which may be wrong, is dropped."""
        merged = masks.corrected(labels)
        object_ids = merged.object_ids
        prompts = state.prompts.with_labels(state.object_ids, object_ids)
        state = self._prompted(encoding, merged.label_map, object_ids, index=state.index + 1, prompts=prompts)
        return state, merged

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
        of_labels = self.backend.membership
        positions = self.backend.array(label_positions(labels, object_ids))
        membership = of_labels(
            positions, len(object_ids), grid,
            soft=options.soft_minimum is not None, align_corners=options.align_corners,
        )  # fmt: skip
        annotated = PixelSet.of_frame(embedding, membership)
        prompts = annotated if prompts is None else prompts.joined(annotated)
        fine = grid if encoding.skip is None else (encoding.skip.shape[-2], encoding.skip.shape[-1])
        return FeelvosState(
            # An annotation is fed back as it is matched: 1 and 0 in the paper, in training too.
            index, object_ids, prompts, (), self._reference(prompts, ()), embedding, membership, membership,
            of_labels(positions, len(object_ids), fine, soft=True).argmax(0),
        )  # fmt: skip


def build(
    variant: str, preset: str, weights: Path, device: Any, backend: str = "torch", **overrides: Any
) -> Feelvos | FeelvosViews:
    """A segmenter with weights from a file, as the zoo asks for it."""
    options = replace(PRESETS[variant][preset], **overrides)
    if backend == "onnx":
        from tinct.backends.feelvos_onnx import OnnxBackend

        if what := missing_graph(options):
            raise OptionError(
                f'FEELVOS with {what} needs the backend torch: --backend torch (backend="torch"); '
                "`pip install 'tinct[torch]'` brings it."
            )
        tensors = read_weights(weights, "feelvos", variant)
        check_shapes(weights, tensors, feelvos_shapes(options.config), f"feelvos ({variant})")
        return _segmenter(OnnxBackend(tensors, options.config), options)
    from tinct.backends.feelvos_torch import TorchBackend
    from tinct.networks.feelvos import FeelvosNetwork
    from tinct.networks.weights import load_weights

    network = FeelvosNetwork(options.config, options.output_stride)
    load_weights(weights, network, method="feelvos", variant=variant)
    return _segmenter(TorchBackend(network, device), options)


def _segmenter(backend: FeelvosBackend, options: Options) -> Feelvos | FeelvosViews:
    if not options.views:
        return Feelvos(backend, options)
    from tinct.methods.feelvos_views import FeelvosViews

    return FeelvosViews(backend, options)
