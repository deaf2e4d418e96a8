"""SAM 2's loop over a video with an immutable state: the segmenter behind SAM 2, EdgeTAM and SAM 3's tracker.

On a frame with a prompt for an object no memory of that object is read, and the frame joins its annotated
frames. On every other frame the frame's features attend to the memories, and the decoder's mask becomes one
more memory. The image is encoded once, and all objects go through each part of the network together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from tinct.errors import OptionError, near_match
from tinct.inference.promptable import FramePrompt, ObjectPrompt, PromptableSegmenter
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.networks.sam2.lean_attention import make_lean
from tinct.networks.sam2.memory import FrameMemory, ObjectMemory
from tinct.networks.sam2.network import Decoded, Family, FrameFeatures, NetworkParts
from tinct.networks.sam2.prompts import mask_logits_of, points_of
from tinct.ops.precision import PRECISIONS, bfloat16_is_faster
from tinct.ops.tensors import object_masks
from tinct.shapes import VOID, BinaryMask, Image, LabelMap, holds_arrays


@dataclass(frozen=True)
class TrackerOptions:
    """How a network is run; none of it changes what it computes, but for rounding.

    Attributes:
        precision: "float32", "bfloat16", or "auto": bfloat16 where the device is faster with it.
        compile: Compile the image encoder and the memory attention (`torch.compile`): the first frames take
            minutes, those after them less time. For long videos on a GPU.

    Raises:
        OptionError: No such precision.
    """

    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise OptionError(
                f"Unknown precision {self.precision!r}. {near_match(self.precision, PRECISIONS)}"
            )


@holds_arrays
@dataclass(frozen=True, repr=False)
class TrackerState:
    """What is carried from frame to frame.

    Attributes:
        index: Frames seen.
        object_ids: Ids of the objects, increasing.
        memories: Their memory banks, in that order.
        position: [L, M], the position encoding of a frame's memory tokens: the same for all.
    """

    index: int
    object_ids: tuple[int, ...]
    memories: tuple[ObjectMemory, ...]
    position: Tensor


class MemoryTracker(StreamingSegmenter[TrackerState], PromptableSegmenter):
    """A network of SAM 2's kin at test time.

    Args:
        network: A video model of `transformers` of the class that `FAMILY` names; never changed.
        options: How it is run.
        device: Where it runs.
        smaller: What to advise where the device's memory does not suffice.
    """

    FAMILY: ClassVar[Family]

    def __init__(
        self,
        network: nn.Module,
        options: TrackerOptions | None = None,
        device: torch.device | None = None,
        smaller: str = "",
    ) -> None:
        self.options = options or TrackerOptions()
        self.device = device or torch.device("cpu")
        self.smaller = smaller
        with enough_memory(self.smaller):
            self.network = prepared(network, self.options, self.device)
            if self.device.type == "cpu" and not self.FAMILY.perceived:
                inner: Any = self.network
                for layer in inner.memory_attention.layers:
                    make_lean(layer.cross_attn_image)
            self._parts = NetworkParts(self.network, self.FAMILY)
        self._last = LastFrame()

    def start(self, frame: Image, labels: LabelMap) -> TrackerState:
        """Every annotated object's mask becomes its first memory."""
        return self._advanced(None, frame, _masks_of(labels))[0]

    def step(
        self, state: TrackerState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[TrackerState, ObjectMasks]:
        """Read the memories, decode every object's mask, and remember it."""
        if labels is None:
            return self._masked(*self._advanced(state, frame, {}), frame)
        following, logits = self._advanced(state, frame, _masks_of(labels))
        masks = object_masks(following.object_ids, logits, frame.shape[:2])
        if (labels == VOID).any():  # there the network decides, as it would have without the prompt
            masks = self._masked(*self._advanced(state, frame, {}), frame)[1]
        return following, masks.corrected(labels)

    def start_prompted(self, frame: Image, prompt: FramePrompt) -> tuple[TrackerState, ObjectMasks]:
        """As `start`, from points and boxes: the decoder's masks are what is remembered, and come back.

        Raises:
            OptionError: There is no prompt, or one does not fit the frame (`ObjectPrompt.check`).
        """
        return self._masked(*self._advanced(None, frame, _checked(frame, prompt)), frame)

    def step_prompted(
        self, state: TrackerState, frame: Image, prompt: FramePrompt
    ) -> tuple[TrackerState, ObjectMasks]:
        """As `step`, with points and boxes for some objects, known or new.

        Raises:
            OptionError: There is no prompt, or one does not fit the frame (`ObjectPrompt.check`).
        """
        return self._masked(*self._advanced(state, frame, _checked(frame, prompt)), frame)

    @torch.inference_mode()
    def propose(self, frame: Image, prompt: FramePrompt) -> ObjectMasks:
        """The masks of one frame alone, without memories."""
        prompts = _checked(frame, prompt)
        with enough_memory(self.smaller):
            features = self._features(frame)
            logits = [self._prompted(features, prompts[i], frame).logits[0].float() for i in sorted(prompts)]
        return object_masks(tuple(sorted(prompts)), torch.stack(logits), frame.shape[:2])

    def __repr__(self) -> str:
        """The method and where it runs."""
        return f"{type(self).__name__}({self._parts.image_size} px, {self._parts.dtype}, on {self.device})"

    @torch.inference_mode()
    def _advanced(
        self, state: TrackerState | None, frame: Image, prompts: Mapping[int, BinaryMask | ObjectPrompt]
    ) -> tuple[TrackerState, Float[Tensor, "N a b"]]:
        """The state after a frame, and the logits of all objects, known and new."""
        known = {} if state is None else dict(zip(state.object_ids, state.memories, strict=True))
        index = 0 if state is None else state.index
        ids = tuple(sorted({*known, *prompts}))
        with enough_memory(self.smaller):
            features = self._features(frame)
            found: dict[int, Decoded] = {}
            followed = [i for i in ids if i not in prompts]
            if followed and state is not None:
                maps = self._parts.conditioned(features, [known[i] for i in followed], state.position, index)
                found |= _apart(followed, self._parts.decode(features, maps))
            masks = {i: prompt for i, prompt in prompts.items() if not isinstance(prompt, ObjectPrompt)}
            if masks:
                given = torch.from_numpy(np.stack(list(masks.values()))).to(self.device)
                found |= _apart(list(masks), self._parts.given_masks(features, given))
            for object_id, prompt in prompts.items():
                if isinstance(prompt, ObjectPrompt):
                    found[object_id] = self._prompted(features, prompt, frame)
            decoded = Decoded(*(torch.cat(parts) for parts in zip(*(found[i] for i in ids), strict=True)))
            is_prompt = torch.tensor([i in prompts for i in ids], device=self.device)
            tokens, position = self._parts.remember(features, decoded, is_prompt)
        memories = tuple(
            known.get(i, ObjectMemory()).with_frame(
                # A copy, so that one object's memory does not hold those of all.
                FrameMemory(index, pointer.clone(), seen.clone(memory_format=torch.contiguous_format)),
                self._parts.sizes,
                prompted=i in prompts,
            )
            for i, pointer, seen in zip(ids, decoded.pointers, tokens, strict=True)
        )
        return TrackerState(index + 1, ids, memories, position), decoded.logits.float()

    def _prompted(self, features: FrameFeatures, prompt: ObjectPrompt, frame: Image) -> Decoded:
        parts, size = self._parts, frame.shape[:2]
        points = points_of(prompt, size, parts.image_size, parts.device, parts.dtype)
        dense = mask_logits_of(prompt, parts.device, parts.dtype)
        return parts.decode(features, parts.unconditioned(features), points, dense)

    def _masked(
        self, state: TrackerState, logits: Float[Tensor, "N a b"], frame: Image
    ) -> tuple[TrackerState, ObjectMasks]:
        return state, object_masks(state.object_ids, logits, frame.shape[:2])

    def _features(self, frame: Image) -> FrameFeatures:
        """The frame's features; the last frame's are cached, since clicks ask for one frame many times."""
        pixels = np.ascontiguousarray(frame).tobytes()
        known = self._last.encoded
        if known is None or known[0] != pixels:
            self._last.encoded = known = (pixels, self._parts.encode(frame))
        return known[1]


class LastFrame:
    """A cache of one frame's features, by its pixels; one thread's frame at most is encoded in vain."""

    def __init__(self) -> None:
        self.encoded: tuple[bytes, FrameFeatures] | None = None


def prepared(network: nn.Module, options: TrackerOptions, device: torch.device) -> nn.Module:
    """A copy of the network, ready to run."""
    low = options.precision == "bfloat16" or (options.precision == "auto" and bfloat16_is_faster(device.type))
    dtype = torch.bfloat16 if low else torch.float32
    network = deepcopy(network).to(device=device, dtype=dtype).eval()
    if options.compile:
        parts: Any = network
        parts.vision_encoder.compile()
        parts.memory_attention.compile(dynamic=True)
    return network


@contextmanager
def enough_memory(smaller: str) -> Iterator[None]:
    """Turn a device's lack of memory into an OptionError that says what would fit."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        advice = f"take {smaller}, " if smaller else ""
        raise OptionError(
            f"The device's memory does not suffice for this network ({str(error).splitlines()[0]}); "
            f"{advice}give precision=bfloat16, follow fewer objects at once, or use --device cpu."
        ) from error


def _masks_of(labels: LabelMap) -> dict[int, BinaryMask]:
    return {object_id: labels == object_id for object_id in object_ids_of(labels)}


def _checked(frame: Image, prompt: FramePrompt) -> dict[int, ObjectPrompt]:
    if not prompt.objects:
        raise OptionError("A prompt of no object came; say of at least one where it is.")
    for each in prompt.objects.values():
        each.check(frame.shape[0], frame.shape[1])
    return dict(prompt.objects)


def _apart(object_ids: list[int], decoded: Decoded) -> dict[int, Decoded]:
    """Each object's part of a batch, as a batch of one."""
    parts = zip(*(torch.split(part, 1) for part in decoded), strict=True)
    return {i: Decoded(*part) for i, part in zip(object_ids, parts, strict=True)}
