"""What the segmenters that fine-tune share at test time (OSVOS, MaskTrack, MaskRNN).

One network serves all objects; what annotated frames teach of an object goes into layers of its own, and
the state carries these. A method says what it carries from frame to frame (`certain_state`); its `step` is
the paper's loop, which ends in `corrected` where the frame came with an annotation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tinct.data.online_samples import AnnotatedFrame, Magnitudes
from tinct.fine_tuning.fine_tune import Answer, FineTuning, answer_of_stream
from tinct.fine_tuning.per_object import ObjectWeights, fine_tune_objects, resized_frame
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.ops.precision import bfloat16_is_faster
from tinct.ops.tensors import masks_tensor
from tinct.ops.working_size import working_frame
from tinct.shapes import Image, LabelMap


class FineTunedOptions(Protocol):
    """The options that such a segmenter has in any method."""

    @property
    def fine_tuning(self) -> FineTuning:
        """On the annotated frames."""
        ...

    @property
    def working_height(self) -> int | None:
        """Short side in pixels to which frames are brought; None leaves them."""
        ...


@dataclass(frozen=True)
class FineTunedState:
    """What such a segmenter carries from frame to frame in any method.

    Attributes:
        object_ids: Ids of the objects, increasing.
        weights: Each object's own layers.
        annotated: The annotated frames so far, with their label maps, at the working size.
    """

    object_ids: tuple[int, ...]
    weights: tuple[ObjectWeights, ...]
    annotated: tuple[AnnotatedFrame, ...]


State = TypeVar("State", bound=FineTunedState)


class Learnt(NamedTuple):
    """What the annotated frames have taught.

    Attributes:
        weights: Object id → its layers, of all objects so far.
        annotated: The annotated frames.
    """

    weights: Mapping[int, ObjectWeights]
    annotated: tuple[AnnotatedFrame, ...]

    def of(
        self, object_ids: tuple[int, ...]
    ) -> tuple[tuple[int, ...], tuple[ObjectWeights, ...], tuple[AnnotatedFrame, ...]]:
        """The fields of a `FineTunedState` of some objects."""
        return object_ids, tuple(self.weights[i] for i in object_ids), self.annotated


class FineTunedSegmenter(StreamingSegmenter[State]):
    """Fine-tunes a stream of a network for every object, on all frames on which it was annotated.

    Args:
        network: With its `options`, and the `stream` that is fine-tuned (an `ObjectStream`); never changed.
        device: Where it runs; None is the processor.
    """

    network: Any
    options: FineTunedOptions

    def __init__(self, network: Any, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        # A copy: moving it and switching it to evaluation would change the network that was given.
        self.network = deepcopy(network).to(self.device).to(memory_format=torch.channels_last).eval()
        self.options = network.options
        self.lowered = bfloat16_is_faster(self.device.type)

    @abstractmethod
    def certain_state(self, learnt: Learnt, frame: Image, masks: ObjectMasks) -> State:
        """The state after a frame of the video whose masks are certain."""

    @property
    def answer(self) -> Answer:
        """How the network's `stream` is asked in fine-tuning."""
        return answer_of_stream

    def annotated_masks(self, frame: Image, labels: LabelMap) -> LabelMap:
        """The masks that an annotation stands for: itself, unless a method overrides this."""
        return labels

    def start(self, frame: Image, labels: LabelMap) -> State:
        """Every object is fine-tuned on the annotated frame, whose masks are certain."""
        (state,) = self.start_at_each([frame], [labels])
        return state

    def start_at_each(
        self,
        frames: Sequence[Image],
        labels: Sequence[LabelMap],
        magnitudes: Sequence[Magnitudes | None] | None = None,
    ) -> list[State]:
        """A state at each annotated frame, every object fine-tuned on all of them; see `Bidirectional`.

        Args:
            frames: The annotated frames.
            labels: Their annotations.
            magnitudes: Of their optical flow at the working size, for a network that sees it.
        """
        annotations = [self.annotated_masks(*pair) for pair in zip(frames, labels, strict=True)]
        seen = magnitudes or [None] * len(frames)
        annotated = tuple(self._annotated(*each) for each in zip(frames, annotations, seen, strict=True))
        ids = [object_ids_of(each) for each in labels]
        learnt = self._learnt({}, annotated, sorted({i for each in ids for i in each}))
        masks = map(ObjectMasks.from_label_map, annotations, ids)
        return [self.certain_state(learnt, *pair) for pair in zip(frames, masks, strict=True)]

    def corrected(
        self,
        state: State,
        frame: Image,
        labels: LabelMap,
        masks: ObjectMasks,
        magnitudes: Magnitudes | None = None,
    ) -> tuple[State, ObjectMasks]:
        """The state and the masks after a frame that was annotated in mid-video.

        The objects on it are fine-tuned on all annotated frames; the others keep their layers.

        Args:
            state: Before that frame.
            frame: uint8 RGB.
            labels: Its annotation.
            masks: What was found on it.
            magnitudes: Of its optical flow at the working size, for a network that sees it.
        """
        annotation = self.annotated_masks(frame, labels)
        annotated = (*state.annotated, self._annotated(frame, annotation, magnitudes))
        known = dict(zip(state.object_ids, state.weights, strict=True))
        learnt = self._learnt(known, annotated, object_ids_of(labels))
        return self.certain_state(learnt, frame, masks.corrected(annotation)), masks.corrected(labels)

    def working(self, frame: Image) -> UInt8[np.ndarray, "h w 3"]:
        """The frame at the working size."""
        return working_frame(frame, self.options.working_height)

    def working_masks(self, masks: ObjectMasks, image: Image) -> Float[Tensor, "N h w"]:
        """The masks' probabilities at a working frame's size."""
        return masks_tensor(masks, (image.shape[0], image.shape[1]), self.device)

    def autocast(self) -> torch.autocast:
        """Within it, networks run in bfloat16 where this device is faster with it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.lowered)

    def _annotated(self, frame: Image, labels: LabelMap, magnitudes: Magnitudes | None) -> AnnotatedFrame:
        height, width, _ = self.working(frame).shape
        resized = resized_frame(AnnotatedFrame(frame, labels), (height, width))
        return resized if magnitudes is None else replace(resized, magnitudes=magnitudes)

    def _learnt(
        self,
        known: Mapping[int, ObjectWeights],
        annotated: tuple[AnnotatedFrame, ...],
        object_ids: Sequence[int],
    ) -> Learnt:
        """What is known, with some objects fine-tuned again on all annotated frames."""
        tuned = fine_tune_objects(
            self.network.stream, annotated, object_ids, self.options.fine_tuning, self.answer
        )
        return Learnt({**known, **tuned}, annotated)
