"""Every object with layers of its own: what fine-tuning gives to a segmenter's state.

The segmenters that fine-tune (OSVOS, MaskTrack, MaskRNN) keep one network for all objects, and for each
object the layers that were tuned; `ObjectWeights.call` puts them in the place of the network's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tinct.data.online_samples import AnnotatedFrame
from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.fine_tune import FineTuned, FineTuning, Progress, fine_tune
from tinct.inference.callbacks import FineTuningProgress, report_fine_tuning
from tinct.networks.side_outputs import SideLogits
from tinct.shapes import VOID


@dataclass(frozen=True)
class ObjectWeights:
    """One object's own layers, for a segmenter's state; none where the parent's are used.

    Attributes:
        tensors: In the order of `object_layers`.
    """

    tensors: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, tuned: FineTuned) -> ObjectWeights:
        """The layers of a network that was tuned; none if it was not."""
        if tuned.steps == 0 or tuned.diverged:
            return cls()
        return cls(tuple(p.detach().clone() for p in tuned.network.object_layers().values()))

    def call(self, network: Any, *args: Any) -> SideLogits:
        """The network's output with these layers in the place of its own."""
        if not self.tensors:
            output: SideLogits = network(*args)
            return output
        named = dict(zip(network.object_layers(), self.tensors, strict=True))
        replaced: SideLogits = torch.func.functional_call(network, named, args)
        return replaced


def resized_frame(frame: AnnotatedFrame, size: tuple[int, int]) -> AnnotatedFrame:
    """A painted frame at another size."""
    if frame.labels.shape == size:
        return frame
    image = cv2.resize(frame.image, size[::-1], interpolation=cv2.INTER_AREA)
    labels = cv2.resize(frame.labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    return AnnotatedFrame(np.asarray(image, np.uint8), np.asarray(labels, np.uint8))


def fine_tune_objects(
    network: nn.Module,
    painted: Sequence[AnnotatedFrame],
    object_ids: Sequence[int],
    options: FineTuning,
    progress: Progress | None = None,
) -> dict[int, ObjectWeights]:
    """Tune one copy per object, each on all painted frames that show it.

    Args:
        network: The parent, an `ObjectStream`; never changed.
        painted: Frames with label maps of all objects, at the working size.
        object_ids: The objects to tune.
        options: The budget holds for each object.
        progress: Called after every step of every object.

    Returns:
        Object id → its layers.
    """
    weights = {}
    for position, object_id in enumerate(object_ids):
        frames = [f for f in (_of_object(p, object_id) for p in painted) if (f.labels == 1).any()]
        if not frames:  # so small that nothing of it is left at the working size
            weights[object_id] = ObjectWeights()
            continue
        tell = _Teller(object_id, position, len(object_ids), options.budget, progress)
        with torch.inference_mode(False), torch.enable_grad():
            tuned = fine_tune(network, frames, options, progress=tell.step)
        tell.end(tuned)
        weights[object_id] = ObjectWeights.of(tuned)
    return weights


@runtime_checkable
class AnnotatedState(Protocol):
    """A segmenter's state, as far as fine-tuning goes."""

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, increasing."""
        ...

    @property
    def weights(self) -> tuple[ObjectWeights, ...]:
        """Each object's own layers."""
        ...

    @property
    def painted(self) -> tuple[AnnotatedFrame, ...]:
        """The painted frames so far, at the working size."""
        ...


def fine_tune_on_annotation(
    network: nn.Module,
    state: AnnotatedState | None,
    frame: AnnotatedFrame,
    object_ids: Sequence[int],
    options: FineTuning,
) -> tuple[dict[int, ObjectWeights], tuple[AnnotatedFrame, ...]]:
    """A newly painted frame's objects are tuned on all painted frames; the others keep their layers.

    Args:
        network: The parent, an `ObjectStream`; never changed.
        state: Before that frame was painted; None before the first one.
        frame: With its label map, at the working size.
        object_ids: Those painted on it.
        options: The budget holds for each object.

    Returns:
        (id → layers of every object so far, all painted frames).
    """
    painted = (*(state.painted if state else ()), frame)
    known = dict(zip(state.object_ids, state.weights, strict=True)) if state else {}
    return known | fine_tune_objects(network, painted, object_ids, options), painted


@dataclass(frozen=True)
class _Teller:
    """Tells `tinct.inference.callbacks` and one's own callback how far an object is."""

    object_id: int
    position: int
    objects: int
    budget: Budget
    progress: Progress | None

    def step(self, steps: int, seconds: float, loss: float) -> None:
        if self.progress is not None:
            self.progress(steps, seconds, loss)
        report_fine_tuning(self._news(steps, seconds, loss))

    def end(self, tuned: FineTuned) -> None:
        if tuned.steps:
            news = self._news(tuned.steps, tuned.seconds, tuned.loss)
            report_fine_tuning(replace(news, finished=True, diverged=tuned.diverged))

    def _news(self, steps: int, seconds: float, loss: float) -> FineTuningProgress:
        units = self.budget.steps or math.ceil(self.budget.seconds or 0)
        share = self.budget.share(steps, seconds)
        return FineTuningProgress(
            self.object_id, self.position, self.objects, steps, seconds, loss, share, units
        )


def _of_object(frame: AnnotatedFrame, object_id: int) -> AnnotatedFrame:
    labels = np.where(frame.labels == VOID, VOID, frame.labels == object_id).astype(np.uint8)
    return AnnotatedFrame(frame.image, labels)
