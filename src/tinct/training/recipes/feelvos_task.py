"""What FEELVOS learns from a clip: the roll-out, and the parts of the loss.

The paper (3.7) rolls out one frame and feeds back the truth of the one before. The compact recipe
rolls three frames out and lets the gradient flow through the fed-back mask, so that the network
meets its own errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.methods.feelvos import Options, without_parts
from tinct.networks.feelvos import FeelvosNetwork, HeadOutput
from tinct.networks.feelvos_parts import FAR, FrameEncoding, ObjectMatches
from tinct.networks.rates import grouped_by_rate
from tinct.ops.losses import bootstrapped_cross_entropy, bootstrapping_schedule, soft_dice
from tinct.ops.matching import global_matching, local_matching
from tinct.ops.membership import label_membership, subsampled
from tinct.ops.pixel_sets import PixelSet
from tinct.ops.resize import resize_area, resize_nearest
from tinct.shapes import VOID, holds_arrays
from tinct.training.stages import Task


@dataclass(frozen=True)
class LossOptions:
    """Weights of the parts of the loss; the defaults are the paper's: bootstrapped cross-entropy alone.

    Attributes:
        bootstrapped: Of the cross-entropy of the hardest pixels (3.7).
        kept_fraction: Their share at the end of the schedule (3.7: 15 %).
        bootstrap_steps: Steps over which the share falls from all pixels to that (3.7: 100,000).
        cross_entropy: Of the cross-entropy of all pixels.
        dice: Of the Dice loss.
        coarse: Of the cross-entropy of the head's output before refinement.
        matching: Of the cross-entropy of each kind of matching by itself.
        memory: Share of rolled-out frames that join the reference pixels.
        memory_weight: What a pixel of theirs counts against an annotated one, in a soft minimum.
    """

    bootstrapped: float = 1.0
    kept_fraction: float = 0.15
    bootstrap_steps: int = 100_000
    cross_entropy: float = 0.0
    dice: float = 0.0
    coarse: float = 0.0
    matching: float = 0.0
    memory: float = 0.0
    memory_weight: float = 1.0


COMPACT_LOSS = LossOptions(
    bootstrapped=0.5, kept_fraction=0.10, bootstrap_steps=0, cross_entropy=1.0, dice=0.5,
    coarse=0.25, matching=0.25, memory=0.4, memory_weight=0.1,
)  # fmt: skip


PAPER_LOSS = LossOptions(bootstrapped=3.0)
"""The authors' code adds up the losses of a GPU's three clips, and takes the mean over its two GPUs."""

RateOf = Callable[[str], float]
"""A parameter's name → its factor on the learning rate."""


def compact_rate(name: str) -> float:
    """The backbone learns at a tenth of the rate, the embedding's projection at 0.3 of it."""
    return 0.1 if ".backbone." in name else 0.3 if ".projection." in name else 1.0


def paper_rate(name: str) -> float:
    """Biases learn twice as fast, but for batch norm's; the backbone learns as all else (authors' code)."""
    return 2.0 if name.endswith(".bias") and not name.startswith("extractor.") else 1.0


@holds_arrays
@dataclass(repr=False)
class _ClipRun:
    """Where the roll-out of one clip of the batch stands."""

    reference: PixelSet
    membership: Tensor
    probs: Tensor


def match(
    embedding: Float[Tensor, "C H W"],
    reference: PixelSet,
    previous_embedding: Float[Tensor, "C H W"],
    previous_membership: Float[Tensor, "L H W"],
    previous_probs: Float[Tensor, "L H W"],
    options: Options,
) -> ObjectMatches:
    """Global matching with the reference (eq. 2) and local matching with the previous frame (eq. 5).

    In the ablation the previous frame is matched as a whole, by pixels drawn as the reference's are.
    """
    temperature = options.soft_minimum

    def nearest(pixels: PixelSet) -> Float[Tensor, "L H W"]:
        query = embedding.flatten(1).T
        found = global_matching(query, pixels.embedding, pixels.membership, temperature=temperature)
        return found.reshape(-1, *embedding.shape[-2:])

    if options.previous_matching == "frame":
        whole = PixelSet.of_frame(previous_embedding, previous_membership)
        soft = options.soft_minimum is not None
        local = nearest(subsampled(whole, options.reference_pixels, representative=soft))
    else:
        local = local_matching(
            embedding, previous_embedding, previous_membership,
            radius=options.local_radius, temperature=temperature,
        )  # fmt: skip
    return without_parts(ObjectMatches(nearest(reference), local, previous_probs), options)


class FeelvosTask(Task):
    """The loss of a batch of clips: encode all frames at once, then roll the queries out one by one.

    Args:
        network: What is trained.
        options: How it is run; their config is the network's.
        loss: Of what the loss consists.
        rate: Which layers learn slower or faster.
    """

    network: FeelvosNetwork

    def __init__(
        self, network: FeelvosNetwork, options: Options, loss: LossOptions, rate: RateOf = compact_rate
    ) -> None:
        super().__init__()
        self.network, self.options, self.loss, self.rate = network, options, loss, rate

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Trained parameters, with their factors on the learning rate."""
        return grouped_by_rate(self.network.named_parameters(), self.rate)

    def forward(
        self, batch: Mapping[str, Tensor], step: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The mean over the clip's queries of all parts of the loss, weighted; and each part by itself."""
        frames, labels, objects = batch["frames"], batch["labels"].long(), batch["objects"].tolist()
        B, T = labels.shape[:2]
        seen = self.network.encode(frames.flatten(0, 1).permute(0, 3, 1, 2).float() / 255)
        encodings = [seen.select(torch.arange(t, B * T, T)) for t in range(T)]
        runs = [
            self._start(encodings[0], b, labels[b, 0], batch["previous"][b], objects[b]) for b in range(B)
        ]
        parts: dict[str, list[Tensor]] = {}
        for t in range(2, T):
            self._query(encodings[t - 1], encodings[t], runs, labels[:, t], step, parts)
            if t + 1 < T and torch.rand(()) < self.loss.memory:
                self._remember(encodings[t], runs)
        means = {name: torch.stack(values).mean() for name, values in parts.items()}
        total = sum(
            (getattr(self.loss, name) * value for name, value in means.items()), seen.embedding.new_zeros(())
        )
        return total, {"loss": total.detach(), **{name: value.detach() for name, value in means.items()}}

    def _start(
        self, encoding: FrameEncoding, b: int, labels: Tensor, previous: Tensor, objects: int
    ) -> _ClipRun:
        options, grid = self.options, encoding.grid
        soft, corners = options.soft_minimum is not None, options.align_corners
        membership = label_membership(labels, objects, grid, soft=soft, align_corners=corners)
        reference = PixelSet.of_frame(encoding.embedding[b], membership)
        masks = previous[:objects].float() / 255
        if soft:
            masks = resize_area(masks, grid)
            probs = torch.cat([(1 - masks.sum(0, keepdim=True)).clamp_min(0), masks])
        else:
            before = torch.cat([(1 - masks.sum(0, keepdim=True)).clamp_min(0), masks]).argmax(0)
            probs = label_membership(before, objects, grid, soft=False, align_corners=corners)
        drawn = subsampled(reference, options.reference_pixels, representative=soft)
        return _ClipRun(drawn, probs, probs)

    def _membership(self, probs: Float[Tensor, "L H W"]) -> Float[Tensor, "L H W"]:
        if self.options.soft_minimum is not None:
            return probs
        grid = (probs.shape[-2], probs.shape[-1])
        return label_membership(probs.argmax(0), len(probs) - 1, grid, soft=False)

    def _query(
        self,
        previous: FrameEncoding,
        query: FrameEncoding,
        runs: list[_ClipRun],
        labels: Int64[Tensor, "B H W"],
        step: int,
        parts: dict[str, list[Tensor]],
    ) -> None:
        """Segment frame t of every clip, add up its loss, and hand its prediction on."""
        matches = [
            match(query.embedding[b], r.reference, previous.embedding[b], r.membership, r.probs, self.options)
            for b, r in enumerate(runs)
        ]
        outputs = [
            HeadOutput(output.logits.float(), output.coarse_logits.float())
            for output in self.network(query, matches, self.options.soft_minimum)
        ]
        self._add_losses(outputs, matches, labels, step, parts)
        for run, output in zip(runs, outputs, strict=True):
            probs = resize_area(output.logits.softmax(0), query.grid)
            run.probs, run.membership = probs, self._membership(probs)

    def _add_losses(
        self,
        outputs: list[HeadOutput],
        matches: list[ObjectMatches],
        labels: Int64[Tensor, "B H W"],
        step: int,
        parts: dict[str, list[Tensor]],
    ) -> None:
        scores = F.interpolate(
            stack_scores([output.logits for output in outputs]),
            size=labels.shape[-2:], mode="bilinear", align_corners=self.options.align_corners,
        )  # fmt: skip
        share = bootstrapping_schedule(step, self.loss.bootstrap_steps, self.loss.kept_fraction)
        found = {"bootstrapped": bootstrapped_cross_entropy(scores, labels, share)}
        if self.loss.cross_entropy:
            found["cross_entropy"] = bootstrapped_cross_entropy(scores, labels, 1.0)
        if self.loss.dice:
            found["dice"] = soft_dice(scores, labels)
        grid = (matches[0].global_distances.shape[-2], matches[0].global_distances.shape[-1])
        small = resize_nearest(labels.float(), grid).long()
        if self.loss.coarse:
            coarse = stack_scores([output.coarse_logits for output in outputs])
            found["coarse"] = bootstrapped_cross_entropy(coarse, small, 1.0)
        if self.loss.matching:
            readouts = [
                stack_scores([-d.clamp_max(FAR) for d in distances])
                for distances in (
                    [m.global_distances for m in matches],
                    [m.local_distances for m in matches],
                )
            ]
            found["matching"] = sum(
                (bootstrapped_cross_entropy(r, findable(r, small), 1.0) for r in readouts),
                scores.new_zeros(()),
            )
        for name, value in found.items():
            parts.setdefault(name, []).append(value)

    def _remember(self, encoding: FrameEncoding, runs: list[_ClipRun]) -> None:
        """Let the frame just segmented join the reference pixels, as the memory does at test."""
        per_label, soft = self.options.reference_pixels // 2, self.options.soft_minimum is not None
        for b, run in enumerate(runs):
            seen = PixelSet.of_frame(encoding.embedding[b], run.membership.detach())
            seen = subsampled(seen, per_label, representative=soft)
            run.reference = run.reference.joined(seen.weighted(self.loss.memory_weight))


def findable(readout: Float[Tensor, "B L H W"], labels: Int64[Tensor, "B H W"]) -> Int64[Tensor, "B H W"]:
    """The labels, void where matching cannot find the right one: nothing of it is among the candidates.

    An object whose previous mask was emptied, or that has left the window, would teach its pixels to keep
    away from one another.

    Args:
        readout: Of one kind of matching: the distances' negatives.
        labels: Indices into its channels, or 255.
    """
    own = readout.detach().gather(1, labels.clamp_max(readout.shape[1] - 1).unsqueeze(1)).squeeze(1)
    return labels.masked_fill(own <= -FAR, VOID)


def stack_scores(scores: list[Float[Tensor, "_ H W"]]) -> Float[Tensor, "B L H W"]:
    """Scores of clips with different numbers of objects in one batch: absent objects score -100."""
    most = max(len(s) for s in scores)
    return torch.stack([F.pad(s, (0, 0, 0, 0, 0, most - len(s)), value=-100.0) for s in scores])
