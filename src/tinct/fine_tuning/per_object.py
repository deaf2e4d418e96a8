"""Every object with layers of its own: what fine-tuning gives to a segmenter's state.

A segmenter has one network for all objects, and for each object the layers that were fine-tuned;
`ObjectWeights.call` puts them in the place of the network's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tinct.data.online_samples import AnnotatedFrame
from tinct.fine_tuning.budget import Budget
from tinct.fine_tuning.fine_tune import Answer, FineTuned, FineTuning, answer_of_stream, fine_tune
from tinct.inference.callbacks import FineTuningProgress, report_fine_tuning
from tinct.shapes import VOID, holds_arrays


@holds_arrays
@dataclass(frozen=True, repr=False)
class ObjectWeights:
    """One object's own layers, for a segmenter's state; none where the parent's are used.

    Attributes:
        tensors: In the order of `object_layers`.
    """

    tensors: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, tuned: FineTuned) -> ObjectWeights:
        """The layers of a network that was fine-tuned; none if it was not."""
        if tuned.steps == 0 or tuned.diverged:
            return cls()
        return cls(tuple(p.detach().clone() for p in tuned.network.object_layers().values()))

    def call(self, network: Any, *args: Any) -> Any:
        """The network's output with these layers in the place of its own."""
        if not self.tensors:
            return network(*args)
        named = dict(zip(network.object_layers(), self.tensors, strict=True))
        return torch.func.functional_call(network, named, args)


def resized_frame(frame: AnnotatedFrame, size: tuple[int, int]) -> AnnotatedFrame:
    """An annotated frame at another size (H, W)."""
    if frame.labels.shape == size:
        return frame
    image = cv2.resize(frame.image, size[::-1], interpolation=cv2.INTER_AREA)
    labels = cv2.resize(frame.labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    return AnnotatedFrame(np.asarray(image, np.uint8), np.asarray(labels, np.uint8))


def fine_tune_objects(
    network: nn.Module,
    annotated: Sequence[AnnotatedFrame],
    object_ids: Sequence[int],
    options: FineTuning,
    answer: Answer = answer_of_stream,
) -> dict[int, ObjectWeights]:
    """Fine-tune one copy per object, each on all annotated frames that show it.

    Args:
        network: The parent, an `ObjectStream`; never changed.
        annotated: Frames with label maps of all objects, at the working size.
        object_ids: The objects to fine-tune.
        options: The budget holds for each object.
        answer: How the network is asked.

    Returns:
        Object id → its layers.
    """
    weights = {}
    for position, object_id in enumerate(object_ids):
        frames = [f for f in (_of_object(a, object_id) for a in annotated) if (f.labels == 1).any()]
        if not frames:  # so small that it vanishes at the working size
            weights[object_id] = ObjectWeights()
            continue
        progress_at = partial(FineTuningProgress, object_id, position, len(object_ids))
        report = partial(_report, progress_at, options.budget)
        with torch.inference_mode(False), torch.enable_grad():
            tuned = fine_tune(network, frames, options, answer=answer, progress=report)
        if tuned.steps:
            report(tuned.steps, tuned.seconds, tuned.loss, finished=True, diverged=tuned.diverged)
        weights[object_id] = ObjectWeights.of(tuned)
    return weights


def _of_object(frame: AnnotatedFrame, object_id: int) -> AnnotatedFrame:
    """The frame as annotated for one object: 1 the object, 0 all else, 255 void."""
    labels = np.where(frame.labels == VOID, VOID, frame.labels == object_id).astype(np.uint8)
    return replace(frame, labels=labels)


def _report(
    progress_at: Callable[..., FineTuningProgress],
    budget: Budget,
    steps: int,
    seconds: float,
    loss: float,
    **end: bool,
) -> None:
    """Pass on to the callback, if there is one, how far an object's fine-tuning is."""
    share = budget.share(steps, seconds)
    report_fine_tuning(progress_at(steps, seconds, loss, share, budget.units, **end))
