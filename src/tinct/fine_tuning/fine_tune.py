"""Online fine-tuning: a network of one object learns from the frames on which the object was annotated.

The network that is given is never touched; a copy comes back. Where a network can be asked for features
that do not depend on the object, only what comes after them is fine-tuned, and the features stay shared by
all objects.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tinct.data.online_samples import AnnotatedFrame, OnlineAugmentation, OnlineSample, OnlineSamples
from tinct.errors import OptionError
from tinct.fine_tuning.budget import Budget as Budget
from tinct.fine_tuning.descent import check_descent, clip_gradients, make_optimiser, set_rate
from tinct.networks.rates import RateFactors
from tinct.networks.side_outputs import SideLogits
from tinct.ops.losses import FrameLossOptions, frame_losses
from tinct.ops.precision import bfloat16_is_faster


class ObjectStream(Protocol):
    """A network that can be fine-tuned: features of a frame, then one object's logits."""

    def features(self, frames: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """What is not fine-tuned."""
        ...

    def __call__(self, features: list[Tensor], guides: Tensor | None = None) -> SideLogits:
        """Logits from features and guiding maps."""
        ...

    def object_layers(self) -> Mapping[str, nn.Parameter]:
        """What is fine-tuned, by name."""
        ...


Made = TypeVar("Made")


class TuningBatch(NamedTuple):
    """A batch of samples.

    Attributes:
        frames: In [0, 1].
        guides: Masks of the frame before, in [0, 1].
        labels: 1 the object, 0 all else, 255 void.
        magnitudes: The flow's to the frame before and to the one after, as pictures; 0 where it is unknown.
    """

    frames: Float[Tensor, "B 3 h w"]
    guides: Float[Tensor, "B 1 h w"]
    labels: Int64[Tensor, "B h w"]
    magnitudes: Float[Tensor, "B 2 h w"]


Answer = Callable[[Any, TuningBatch], tuple[Tensor, Tensor]]
"""(network, batch) → logits [B, h, w], and a loss of the network's own beside theirs."""


def answer_of_stream(network: Any, batch: TuningBatch) -> tuple[Tensor, Tensor]:
    """What an `ObjectStream` says; it has no loss of its own."""
    with torch.no_grad():
        features = network.features(batch.frames)
    return network(features, batch.guides).fused, batch.frames.new_zeros(())


StepCallback = Callable[[int, float, float], None]
"""Called as progress(steps done, seconds, loss) after every step."""


class FineTuningWarning(UserWarning):
    """Fine-tuning fell back to the parent network."""


@dataclass(frozen=True)
class FineTuning:
    """How an object is fine-tuned.

    Attributes:
        budget: How long.
        learning_rate: The largest.
        schedule: Of the rate: "warm-cosine" (it rises over the first 10 steps, and falls to a tenth),
            "constant" (OSVOS) or "polynomial" (MaskRNN: it decays gradually).
        clip_gradient_norm: Gradients are scaled down to this norm; 0 leaves them as they are (the papers).
        optimiser: "adamw", or "sgd" with momentum 0.9.
        weight_decay: Of the optimiser.
        rates: Which layers learn slower or faster.
        batch: Samples per step.
        augmentation: How the annotated frames are varied.
        loss: Its parts.
        tuned_share: Beyond the papers: the result is this share of the fine-tuned layers plus the rest of
            the parent's, weight by weight (Wortsman et al., "Robust fine-tuning of zero-shot models",
            CVPR 2022): what one frame does not show, the parent still knows. 1 is the fine-tuned layers.
        early_stop_loss: Stop once the smoothed loss is below this; 0 never stops early.
        seed: Of the samples.

    Raises:
        OptionError: No such optimiser or schedule, or a number out of its range.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=200))
    learning_rate: float = 5e-4
    schedule: str = "warm-cosine"
    clip_gradient_norm: float = 2.0
    optimiser: str = "adamw"
    weight_decay: float = 1e-4
    rates: RateFactors = ()
    batch: int = 1
    augmentation: OnlineAugmentation = field(default_factory=OnlineAugmentation)
    loss: FrameLossOptions = field(default_factory=FrameLossOptions)
    tuned_share: float = 1.0
    early_stop_loss: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_descent(self.optimiser, self.schedule, self.clip_gradient_norm)
        if not 0 < self.tuned_share <= 1:
            raise OptionError(f"tuned_share = {self.tuned_share} came; it lies in (0, 1].")

    def with_compact_rates(self) -> FineTuning:
        """These samples and this loss; optimiser and rate are a compact network's, its backbone fixed."""
        return FineTuning(augmentation=self.augmentation, loss=self.loss)


COMPACT_GUIDED = FineTuning(
    learning_rate=5e-3,
    augmentation=OnlineAugmentation(lucid=0.2, in_view=0.9, lost=0.3, disguised=0.3),
)
"""What suits compact networks that a mask guides: they learn to find the object without its mask too
(docs/experiments.md)."""


@dataclass(frozen=True)
class FineTuned:
    """The outcome.

    Attributes:
        network: A copy with fine-tuned layers; of the parent, where fine-tuning diverged.
        steps: Taken.
        seconds: Spent.
        loss: Smoothed, at the end.
        diverged: Whether the parent's weights were put back.
    """

    network: Any
    steps: int
    seconds: float
    loss: float
    diverged: bool


def fine_tune(
    network: nn.Module,
    frames: Sequence[AnnotatedFrame],
    options: FineTuning,
    *,
    answer: Answer = answer_of_stream,
    progress: StepCallback | None = None,
) -> FineTuned:
    """Fine-tune a copy of a network on annotated frames of one object.

    Args:
        network: An `ObjectStream` on its device; never changed.
        frames: At the size at which the network is to work.
        options: How long, how fast, on what.
        answer: How the network is asked.
        progress: Called after every step.

    Raises:
        MaskError: No frame shows the object.
    """
    samples = OnlineSamples(list(frames), options.augmentation, options.seed)
    started = time.monotonic()
    tuned: Any = deepcopy(network)
    if options.budget.is_none:
        return FineTuned(tuned, 0, 0.0, math.nan, False)

    def of_step(step: int) -> list[OnlineSample]:
        return [samples.sample(step * options.batch + i) for i in range(options.batch)]

    with _object_layers_alone(tuned), closing(made_ahead(of_step)) as batches:
        run = _Run(tuned, batches, options, answer, started)
        diverged = not run.train(progress)
    if diverged:
        warnings.warn(
            f"Fine-tuning diverged after {run.step} step{'s' * (run.step != 1)} (loss {run.loss:.3g}); the "
            "parent network is used for this object. A smaller learning rate may help.",
            FineTuningWarning,
            stacklevel=2,
        )
        tuned = deepcopy(network)
    elif options.tuned_share != 1:
        parent: Any = network
        mix_in_parent(run.layers, parent.object_layers().values(), options.tuned_share)
    return FineTuned(tuned, run.step, time.monotonic() - started, run.loss, diverged)


@torch.no_grad()
def mix_in_parent(tuned: Iterable[nn.Parameter], parent: Iterable[nn.Parameter], share: float) -> None:
    """Leave a share of fine-tuned layers, and take the rest from the parent's, weight by weight."""
    for own, before in zip(tuned, parent, strict=True):
        own.lerp_(before, 1 - share)


def made_ahead(make: Callable[[int], Made]) -> Generator[Made, None, None]:
    """make(0), make(1), ... without end; a thread makes the next one while the last is used.

    Where torch was given a single thread, nothing runs beside it.
    """
    if torch.get_num_threads() == 1:
        yield from map(make, count())
        return
    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(make, 0)
        for number in count(1):
            now, ahead = ahead, thread.submit(make, number)
            yield now.result()


@contextmanager
def _object_layers_alone(network: Any) -> Iterator[None]:
    """The network in evaluation mode, with gradients for its object's layers alone; after it for none."""
    network.eval().requires_grad_(False)
    for parameter in network.object_layers().values():
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        network.requires_grad_(False)


class _Run:
    """Fine-tuning under way."""

    def __init__(
        self,
        network: Any,
        batches: Iterator[list[OnlineSample]],
        options: FineTuning,
        answer: Answer,
        started: float,
    ) -> None:
        self.network, self.batches, self.options, self.started = network, batches, options, started
        self.answer = answer
        self.layers: list[nn.Parameter] = list(network.object_layers().values())
        self.device = self.layers[0].device
        self.optimiser = make_optimiser(
            options.optimiser, network.object_layers().items(), options.learning_rate, options.weight_decay,
            options.rates,
        )  # fmt: skip
        self.lowered = bfloat16_is_faster(self.device.type)
        self.step, self.loss = 0, math.nan

    def train(self, progress: StepCallback | None) -> bool:
        """All steps; False if the network ends worse than one that knows nothing.

        One step is always taken, even where the seconds were over while the network was copied.
        """
        first, worst_loss = self._tensors(next(self.batches)), math.nan
        while self.step == 0 or self._share_spent() < 1:
            set_rate(self.optimiser, self.options.schedule, self.step, self._share_spent())
            batch = self._tensors(next(self.batches)) if self.step else first
            logits, own = self._asked(batch)
            loss = self._loss(logits, batch) + own
            if self.step == 0:
                # Single samples differ too much to be judged by: what counts is a network that knows nothing.
                nothing = self._loss(torch.zeros_like(logits), batch) + own.detach()
                worst_loss = 2 * max(float(loss.detach()), float(nothing))
            self._descend(loss)
            if not math.isfinite(now := float(loss.detach())):
                return False
            if self.step == 0:
                self.loss = now
            self.loss = 0.9 * self.loss + 0.1 * now
            self.step += 1
            if progress is not None:
                progress(self.step, time.monotonic() - self.started, self.loss)
            if self.step >= 20 and self.loss < self.options.early_stop_loss:
                break
        # The first samples once more: what the last step did shows in no loss before it.
        with torch.no_grad():
            logits, own = self._asked(first)
            again = float(self._loss(logits, first) + own)
        # Written so that NaN is worse than anything.
        return self.loss <= worst_loss and again <= worst_loss

    def _share_spent(self) -> float:
        return self.options.budget.share(self.step, time.monotonic() - self.started)

    def _tensors(self, samples: list[OnlineSample]) -> TuningBatch:
        images, guides, labels, magnitudes = (
            torch.from_numpy(np.stack([getattr(sample, name) for sample in samples])).to(self.device)
            for name in ("image", "previous", "labels", "magnitudes")
        )
        frames, motion = (x.permute(0, 3, 1, 2).float() / 255 for x in (images, magnitudes))
        return TuningBatch(frames, guides.unsqueeze(1).float() / 255, labels.long(), motion)

    def _asked(self, batch: TuningBatch) -> tuple[Float[Tensor, "B h w"], Float[Tensor, ""]]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.lowered):
            return self.answer(self.network, batch)

    def _loss(self, logits: Float[Tensor, "B h w"], batch: TuningBatch) -> Float[Tensor, ""]:
        parts = frame_losses(logits, batch.labels, self.options.loss)
        weighted = [getattr(self.options.loss, name) * value for name, value in parts.items()]
        return torch.stack(weighted).sum()

    def _descend(self, loss: Float[Tensor, ""]) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        clip_gradients(self.layers, self.options.clip_gradient_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
