"""Online fine-tuning: a network of one object learns from the frames on which the object was painted.

One for all methods that fine-tune (OSVOS, MaskTrack, MaskRNN). The network that is given is never
touched; a copy comes back. Where a network can be asked for features that do not depend on the
object, only what comes after them is tuned, and the features stay shared by all objects.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tinct.data.online_samples import AnnotatedFrame, OnlineAugmentation, OnlineSample, OnlineSamples
from tinct.errors import OptionError, near_match
from tinct.fine_tuning.budget import Budget as Budget
from tinct.fine_tuning.budget import auto_budget as auto_budget
from tinct.networks.rates import RateFactors, rate_groups
from tinct.networks.side_outputs import SideLogits
from tinct.ops.losses import FrameLossOptions, frame_losses
from tinct.ops.precision import bfloat16_is_faster


class ObjectStream(Protocol):
    """A network that can be fine-tuned: features of a frame, then one object's logits."""

    def features(self, frames: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """What is not tuned."""
        ...

    def __call__(self, features: list[Tensor], guides: Tensor | None = None) -> SideLogits:
        """Logits from features and guiding maps."""
        ...

    def object_layers(self) -> Mapping[str, nn.Parameter]:
        """What is tuned, by name."""
        ...


OPTIMISERS = ("adamw", "sgd")

Network = TypeVar("Network", bound=nn.Module)

Progress = Callable[[int, float, float], None]
"""Called as progress(steps done, seconds, loss) after every step."""


class FineTuningWarning(UserWarning):
    """Fine-tuning did something that one should know of, such as falling back to the parent."""


@dataclass(frozen=True)
class FineTuning:
    """How an object is fine-tuned.

    Attributes:
        budget: How long.
        learning_rate: The largest; it rises over the first 10 steps, and falls to a tenth.
        optimiser: "adamw", or "sgd" with momentum 0.9.
        weight_decay: Of the optimiser.
        rates: Which layers learn slower or faster.
        batch: Samples per step.
        augmentation: How the painted frames are varied.
        loss: Its parts.
        tuned_share: Beyond the papers: the result is so much of the tuned layers and the rest of the
            parent's, weight by weight (Wortsman et al., "Robust fine-tuning of zero-shot models",
            CVPR 2022): what one frame does not show, the parent still knows. 1 is the tuned layers.
        early_stop_loss: Stop once the smoothed loss is below this; 0 never stops early.
        seed: Of the samples.

    Raises:
        OptionError: No such optimiser, or a share outside (0, 1].
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=200))
    learning_rate: float = 5e-4
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
        if self.optimiser not in OPTIMISERS:
            raise OptionError(
                f"Unknown optimiser {self.optimiser!r}. {near_match(self.optimiser, OPTIMISERS)}"
            )
        if not 0 < self.tuned_share <= 1:
            raise OptionError(f"tuned_share = {self.tuned_share} came; it lies in (0, 1].")

    def make_optimiser(self, layers: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of layers that are given by name; each group knows its own `full_rate`."""
        groups: list[dict[str, Any]] = [
            {"params": parameters, "full_rate": self.learning_rate * factor}
            for parameters, factor in rate_groups(layers.items(), self.rates)
        ]
        if self.optimiser == "sgd":
            return torch.optim.SGD(
                groups, lr=self.learning_rate, momentum=0.9, weight_decay=self.weight_decay
            )
        return torch.optim.AdamW(groups, lr=self.learning_rate, weight_decay=self.weight_decay)


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
        network: A copy with tuned layers; of the parent, where tuning diverged.
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
    network: Network,
    frames: Sequence[AnnotatedFrame],
    options: FineTuning,
    *,
    progress: Progress | None = None,
) -> FineTuned:
    """Tune a copy of a network on painted frames of one object.

    Args:
        network: An `ObjectStream` on its device; never changed.
        frames: At the size at which the network is to work.
        options: How long, how fast, on what.
        progress: Called after every step.

    Raises:
        MaskError: No frame shows the object.
    """
    samples = OnlineSamples(list(frames), options.augmentation, options.seed)
    started = time.monotonic()
    tuned: Any = deepcopy(network)
    if options.budget.is_none:
        return FineTuned(tuned, 0, 0.0, math.nan, False)
    layers = list(tuned.object_layers().values())
    with _evaluated(tuned, layers), StepSamples(samples, options.batch) as batches:
        run = _Run(tuned, layers, batches, options, started)
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
        mix_in_parent(layers, parent.object_layers().values(), options.tuned_share)
    return FineTuned(tuned, run.step, time.monotonic() - started, run.loss, diverged)


@torch.no_grad()
def mix_in_parent(tuned: Iterable[nn.Parameter], parent: Iterable[nn.Parameter], share: float) -> None:
    """Leave a share of tuned layers, and take the rest from the parent's, weight by weight."""
    for own, before in zip(tuned, parent, strict=True):
        own.lerp_(before, 1 - share)


def rate_factor(step: int, share_spent: float) -> float:
    """By what the largest rate is multiplied: it rises over 10 steps, and falls to a tenth like a cosine."""
    warm = min(1.0, (step + 1) / 10)
    return warm * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, share_spent))))


class StepSamples:
    """The samples of each step; while one step is learnt from, a thread makes those of the next.

    The samples are the same either way. Where torch was given a single thread, nothing runs beside it.

    Args:
        samples: Of the object.
        batch: How many a step takes.
    """

    def __init__(self, samples: OnlineSamples, batch: int) -> None:
        self.samples, self.batch = samples, batch
        self._maker = ThreadPoolExecutor(1) if torch.get_num_threads() > 1 else None
        self._ahead: dict[int, Future[list[OnlineSample]]] = {}

    def __enter__(self) -> StepSamples:
        return self

    def __exit__(self, *_: object) -> None:
        if self._maker is not None:
            self._maker.shutdown(cancel_futures=True)

    def of_step(self, step: int) -> list[OnlineSample]:
        """What step `step` learns from."""
        if self._maker is None:
            return self._made(step)
        found = self._ahead.pop(step, None) or self._maker.submit(self._made, step)
        self._ahead = {step + 1: self._maker.submit(self._made, step + 1)}
        return found.result()

    def _made(self, step: int) -> list[OnlineSample]:
        return [self.samples.sample(step * self.batch + i) for i in range(self.batch)]


class _Run:
    """Fine-tuning under way."""

    def __init__(
        self,
        network: Any,
        layers: list[nn.Parameter],
        samples: StepSamples,
        options: FineTuning,
        started: float,
    ) -> None:
        self.network, self.layers, self.samples, self.options = network, layers, samples, options
        self.started, self.step, self.loss = started, 0, math.nan
        # Single samples differ too much to be judged by: what counts is a network that knows nothing.
        self.ignorant_loss = self.worst_loss = math.nan
        self.device = layers[0].device
        self.optimiser = options.make_optimiser(network.object_layers())
        self.lowered = bfloat16_is_faster(self.device.type)

    def train(self, progress: Progress | None) -> bool:
        """All steps; False if the network ends worse than one that knows nothing.

        One step is always taken, even where the seconds were over while the network was copied.
        """
        while self.step == 0 or self._share_spent() < 1:
            self._set_rate()
            loss = self._train_step()
            if not math.isfinite(loss):
                return False
            if self.step == 0:
                self.loss = loss
                self.worst_loss = 2 * max(loss, self.ignorant_loss)
            self.loss = 0.9 * self.loss + 0.1 * loss
            self.step += 1
            if progress is not None:
                progress(self.step, time.monotonic() - self.started, self.loss)
            if self.step >= 20 and self.loss < self.options.early_stop_loss:
                break
        # The first samples once more: what the last step did shows in no loss before it.
        with torch.no_grad():
            again = float(self._loss(*self._logits(0)))
        # Written so that NaN is worse than anything.
        return self.loss <= self.worst_loss and again <= self.worst_loss

    def _share_spent(self) -> float:
        return self.options.budget.share(self.step, time.monotonic() - self.started)

    def _set_rate(self) -> None:
        factor = rate_factor(self.step, self._share_spent())
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] * factor

    def _train_step(self) -> float:
        logits, labels = self._logits(self.step)
        loss = self._loss(logits, labels)
        if self.step == 0:
            self.ignorant_loss = float(self._loss(torch.zeros_like(logits), labels))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.layers, 2.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return float(loss.detach())

    def _logits(self, step: int) -> tuple[Float[Tensor, "B h w"], Tensor]:
        """The network's logits for the samples of a step, and their labels."""
        frames, guides, labels = _to_tensors(self.samples.of_step(step), self.device)
        lowered = torch.autocast(self.device.type, torch.bfloat16) if self.lowered else nullcontext()
        with lowered:
            with torch.no_grad():
                features = self.network.features(frames)
            logits: Tensor = self.network(features, guides).fused
        return logits, labels

    def _loss(self, logits: Float[Tensor, "B h w"], labels: Tensor) -> Float[Tensor, ""]:
        parts = frame_losses(logits, labels, self.options.loss)
        weighted = [getattr(self.options.loss, name) * value for name, value in parts.items()]
        return torch.stack(weighted).sum()


def _to_tensors(drawn: list[OnlineSample], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    images = torch.from_numpy(np.stack([s.image for s in drawn])).to(device)
    previous = torch.from_numpy(np.stack([s.previous for s in drawn])).to(device)
    labels = torch.from_numpy(np.stack([s.labels for s in drawn])).to(device)
    return images.permute(0, 3, 1, 2).float() / 255, previous.unsqueeze(1).float() / 255, labels.long()


class _evaluated:  # noqa: N801 (used as a function)
    """The network in evaluation mode, with gradients for its object's layers alone, for a while."""

    def __init__(self, network: nn.Module, layers: list[nn.Parameter]) -> None:
        self.network, self.layers = network, layers

    def __enter__(self) -> None:
        self.network.eval().requires_grad_(False)
        for parameter in self.layers:
            parameter.requires_grad_(True)

    def __exit__(self, *_: object) -> None:
        self.network.requires_grad_(False)
