"""Object masks: ids with probabilities, label maps, their colours, and the checks on a given label map.

Reading, explaining, repairing and writing mask *files* is `tinct.io.mask_files`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from tinct.errors import MaskError, UnknownObjectError
from tinct.shapes import (
    BACKGROUND,
    VOID,
    BinaryMask,
    Float,
    LabelMap,
    Probabilities,
    Shaped,
    UInt8,
    holds_arrays,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image as Pictures

    MaskLike: TypeAlias = (
        "np.ndarray[Any, Any] | torch.Tensor | Pictures.Image | Sequence[Sequence[int]] | ObjectMasks"
    )
else:
    MaskLike = Any
"""What people have for a label map; `as_label_map` says what becomes of each."""

MAX_OBJECTS = 64
"""More objects than this in one label map are taken for a mistake: hardly anyone paints 65."""

_FEW_IDS = 20


class MaskWarning(UserWarning):
    """Part of a mask was interpreted or left out in a way that its author should know of."""


@holds_arrays
@dataclass(frozen=True)
class ObjectMasks:
    """The masks of one frame: object ids and, in the same order, one probability map each.

    The background's probability is what the objects leave over: 1 - sum(probs). `masks[object_id]` is one
    object's map; iterating gives the ids.

    Args:
        object_ids: Increasing ids from 1 to 254; they need not be consecutive.
        probs: float32 [N, H, W] in [0, 1]; N is len(object_ids) and may be 0.

    Raises:
        MaskError: The ids are not increasing, out of range, or not as many as the maps.
    """

    object_ids: tuple[int, ...]
    probs: Probabilities

    def __post_init__(self) -> None:
        if len(self.object_ids) != len(self.probs):
            raise MaskError(
                f"{len(self.object_ids)} object ids came with {len(self.probs)} probability maps; "
                "give one map per id."
            )
        if list(self.object_ids) != sorted(set(self.object_ids)):
            raise MaskError(f"Object ids must increase without repeats; {self.object_ids} came.")
        if any(not 1 <= i <= 254 for i in self.object_ids):
            raise MaskError(f"Object ids lie between 1 and 254; {self.object_ids} came.")

    def __len__(self) -> int:
        """The number of objects."""
        return len(self.object_ids)

    def __iter__(self) -> Iterator[int]:
        """The object ids, increasing."""
        return iter(self.object_ids)

    def __contains__(self, object_id: object) -> bool:
        """Whether there is a map of this object."""
        return object_id in self.object_ids

    def __getitem__(self, object_id: SupportsIndex) -> Float[np.ndarray, "H W"]:
        """One object's probabilities [H, W], by its id.

        Raises:
            UnknownObjectError: The masks have no such object; it is a KeyError as well.
        """
        wanted = operator.index(object_id)
        if wanted not in self.object_ids:
            known = ", ".join(str(i) for i in self.object_ids) or "none"
            raise UnknownObjectError(f"These masks have no object {wanted}; their objects are: {known}.")
        probs: Float[np.ndarray, "H W"] = self.probs[self.object_ids.index(wanted)]
        return probs

    def __repr__(self) -> str:
        """How many objects, which, and of what size."""
        objects = f"{len(self)} object{'' if len(self) == 1 else 's'}"
        ids = ", ".join(str(i) for i in self.object_ids)
        return f"ObjectMasks({objects}{': ' if ids else ''}{ids}; {self.size[0]}×{self.size[1]})"

    def binary(self, object_id: SupportsIndex) -> BinaryMask:
        """Where the object wins, bool [H, W]: the pixels that have its id in `label_map`.

        Raises:
            UnknownObjectError: The masks have no such object; it is a KeyError as well.
        """
        _ = self[object_id]
        winners: BinaryMask = self.label_map == operator.index(object_id)
        return winners

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.probs.shape[1], self.probs.shape[2]

    @cached_property
    def label_map(self) -> LabelMap:
        """The most probable label of each pixel, uint8 [H, W].

        A tie goes to the background, then to the lower id.
        """
        labels = np.zeros(self.size, np.uint8)
        if not self.object_ids:
            return labels
        best = 1 - self.probs.sum(axis=0)
        for object_id, probability in zip(self.object_ids, self.probs, strict=True):
            # Products instead of a masked assignment or an argmax over N: 6 and 20 times as fast.
            wins = probability > best
            labels *= ~wins
            labels += wins * np.uint8(object_id)
            np.maximum(best, probability, out=best)
        return labels

    @classmethod
    def from_label_map(cls, labels: LabelMap, object_ids: tuple[int, ...] | None = None) -> ObjectMasks:
        """Certain masks (0 or 1) of the ids in `labels` (void is nobody's), or of `object_ids` if given."""
        ids = object_ids_of(labels) if object_ids is None else object_ids
        wanted = np.asarray(ids, labels.dtype).reshape(-1, 1, 1)
        return cls(ids, (labels[None] == wanted).astype(np.float32))

    def corrected(self, labels: LabelMap) -> ObjectMasks:
        """These masks under a correction that was painted on the frame.

        Objects that `labels` holds are taken exactly as painted, new ones among them; objects that
        it does not hold keep their probabilities outside the painted pixels; void pixels stay as
        they are.
        """
        painted_ids = object_ids_of(labels)
        ids = tuple(sorted({*self.object_ids, *painted_ids}))
        undecided = labels == VOID
        unpainted = undecided | (labels == BACKGROUND)
        probs = np.zeros((len(ids), *labels.shape), np.float32)
        for position, object_id in enumerate(ids):
            known = object_id in self.object_ids
            before = self.probs[self.object_ids.index(object_id)] if known else np.float32(0)
            if object_id in painted_ids:
                probs[position] = np.where(undecided, before, labels == object_id)
            else:
                probs[position] = np.where(unpainted, before, 0)
        return ObjectMasks(ids, probs)


def object_ids_of(labels: LabelMap) -> tuple[int, ...]:
    """The object ids that occur in a label map, increasing; background (0) and void (255) are none."""
    highest = int(labels.max(initial=BACKGROUND))
    if highest <= _FEW_IDS:
        # Asking for each id is far faster than counting every pixel.
        return tuple(i for i in range(1, highest + 1) if (labels == i).any())
    return tuple(int(i) for i in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:VOID]) if i)


@cache
def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """The PASCAL VOC palette, read-only: row i is the RGB colour of label i; 0 is black.

    The bits of the label go round robin to red, green and blue, the lowest to the brightest bit
    (PASCAL VOC development kit, `VOClabelcolormap`).
    """
    palette = np.zeros((256, 3), np.uint8)
    for label in range(256):
        for bit in range(8):
            palette[label, bit % 3] |= (label >> bit & 1) << (7 - bit // 3)
    palette.setflags(write=False)
    return palette


def as_label_map(mask: MaskLike, *, name: str = "the label map") -> LabelMap:
    """The label map, uint8 [H, W], that somebody gave in one of the forms that Python has for it.

    Args:
        mask: An object id per pixel (0 background, 255 void) or bool (one object, which gets id 1): a
            NumPy array of any integer type, or of floats that are whole numbers; a torch tensor on any
            device; a PIL image, whose stored values count (modes P, L, 1, I); nested lists; or
            `ObjectMasks`. [H, W]; an axis of length 1 before or after is dropped.
        name: What to call it in messages.

    Raises:
        MaskError: It is none of these; the message names what to give instead.
    """
    labels = _as_array(mask, name)
    if labels.dtype.kind not in "buif":
        raise MaskError(
            f"{_start(name)} is of type {labels.dtype}; expected integers (an id per pixel) or bool."
        )
    if labels.ndim == 3 and 1 in (labels.shape[0], labels.shape[2]):
        labels = labels[0] if labels.shape[0] == 1 else labels[..., 0]
    if labels.ndim != 2:
        raise MaskError(f"{_start(name)} has the shape {labels.shape}; expected [H, W]. {_fix_for(labels)}")
    if np.issubdtype(labels.dtype, np.floating) and not (labels == np.floor(labels)).all():
        raise MaskError(
            f"{_start(name)} is of type {labels.dtype} and holds fractions; expected integers (an id per "
            "pixel) or bool. Probabilities become a mask by a threshold: `probs > 0.5`."
        )
    if labels.dtype not in (np.uint8, np.bool_) and labels.size and (labels.min() < 0 or labels.max() > VOID):
        raise MaskError(
            f"{_start(name)} holds values from {labels.min()} to {labels.max()}; object ids lie between 1 "
            "and 254 (0 is background, 255 void). Renumber the objects."
        )
    return np.ascontiguousarray(labels, np.uint8)


def check_labels(
    labels: MaskLike, *, frame_size: tuple[int, int] | None = None, name: str = "the label map"
) -> LabelMap:
    """The label map as uint8, once it is certain that it can be what was painted.

    Args:
        labels: As for `as_label_map`.
        frame_size: (H, W) of the frame that it belongs to, if it must fit one.
        name: What to call it in messages.

    Raises:
        MaskError: Not a label map (dtype, dimensions, range), of another size than the frame,
            without an object, 0/255 (which would be void, not an object), or of more than
            `MAX_OBJECTS` objects.
    """
    checked = as_label_map(labels, name=name)
    if frame_size is not None:
        check_size((checked.shape[0], checked.shape[1]), frame_size, name=name)
    _check_objects(checked, name)
    return checked


def as_binary_mask(mask: MaskLike, *, name: str = "the mask") -> BinaryMask:
    """One object's pixels, bool [H, W]: those that are not 0.

    Args:
        mask: In any form that `as_label_map` takes, with one value beside 0 (1, 255, any id).
        name: What to call it in messages.

    Raises:
        MaskError: It is no mask, it is empty, or it shows several objects.
    """
    labels = as_label_map(mask, name=name)
    values = [int(value) for value in np.unique(labels) if value]
    if not values:
        raise MaskError(f"{_start(name)} holds no object: every pixel is 0. Paint the object.")
    if len(values) > 1:
        raise MaskError(
            f"{_start(name)} holds the values {', '.join(map(str, values[:6]))} beside 0; expected the mask "
            f"of one object. Choose it: `mask == {values[0]}`."
        )
    return labels > 0


def check_size(size: tuple[int, int], frame_size: tuple[int, int], *, name: str) -> None:
    """Refuse a mask of another size than its frame.

    Args:
        size: (H, W) of the mask.
        frame_size: (H, W) of the frame.
        name: What to call the mask in the message.

    Raises:
        MaskError: They differ; the message says both and guesses why.
    """
    if size == frame_size:
        return
    (H, W), (frame_H, frame_W) = size, frame_size
    if frame_size == (W, H):
        hint = "Width and height are swapped: turn the mask as the video is turned (portrait or landscape)."
    elif min(H, W) > 0 and abs(H * frame_W - W * frame_H) <= max(H, W, frame_H, frame_W):
        hint = "Both have the same shape: resize the mask with nearest neighbour, so that no ids are mixed."
    else:
        hint = "Paint it on the frame itself, at the frame's size."
    raise MaskError(f"{_start(name)} is {W}×{H} pixels and its frame is {frame_W}×{frame_H}. {hint}")


def _check_objects(labels: LabelMap, name: str) -> None:
    ids = object_ids_of(labels)
    if not ids and (labels == VOID).any():
        values = "0 and 255" if (labels == 0).any() else "255"
        raise MaskError(
            f"{_start(name)} holds no other value than {values}. 255 is void (a pixel that nobody decided), "
            "so there is no object in it. If 255 means the object, give `labels > 0`, or 1 in place of 255."
        )
    if not ids:
        raise MaskError(f"{_start(name)} holds no object: every pixel is 0 (background). Paint an object.")
    if len(ids) > MAX_OBJECTS:
        raise MaskError(
            f"{_start(name)} holds {len(ids)} objects, from id {ids[0]} to {ids[-1]}; at most {MAX_OBJECTS} "
            "are taken. This is probably no label map but a photo, a probability map or a soft mask. If all "
            f"of them are objects, segment them in several runs, {MAX_OBJECTS} at most in each."
        )


def _as_array(mask: Any, name: str) -> Shaped[np.ndarray, "..."]:
    """Whatever was given as an array, in its own type and shape."""
    if isinstance(mask, ObjectMasks):
        return mask.label_map
    if isinstance(mask, (str, Path)):
        raise MaskError(
            f"{_start(name)} is the path {mask}; read it first: `tinct.read_mask({str(mask)!r})`."
        )
    if hasattr(mask, "detach"):  # a torch tensor; numpy has no bfloat16
        mask = mask.detach().cpu()
        mask = mask.double() if mask.is_floating_point() else mask
    try:
        return np.asarray(mask)
    except (ValueError, TypeError) as error:
        raise MaskError(
            f"{_start(name)}, a {type(mask).__name__}, cannot be read as an array ({error}); give a NumPy "
            "array, a torch tensor or a PIL image with an id per pixel."
        ) from error


def _fix_for(labels: Shaped[np.ndarray, "..."]) -> str:
    if labels.ndim == 3 and labels.shape[2] in (3, 4) and labels.max(initial=0) > 1:
        return "A coloured mask is read by `read_mask(path)`; in an array give one id per pixel."
    if labels.ndim == 3:
        return (
            "One mask per object becomes an id per pixel: "
            "`(masks * np.arange(1, len(masks) + 1)[:, None, None]).max(axis=0)`."
        )
    return "Give one id per pixel."


def _start(name: str) -> str:
    """`name` as the start of a sentence."""
    return name[:1].upper() + name[1:] if name.startswith("the ") else name
