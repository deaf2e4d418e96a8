"""Object masks: ids with probabilities, label maps, their colours, and the checks on a given label map.

Reading, explaining, repairing and writing mask *files* is `tinct.io.mask_files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from tinct.errors import MaskError
from tinct.shapes import BACKGROUND, VOID, LabelMap, Probabilities, Shaped, UInt8

MAX_OBJECTS = 64
"""More objects than this in one label map are taken for a mistake: hardly anyone paints 65."""

_FEW_IDS = 20


@dataclass(frozen=True)
class ObjectMasks:
    """The masks of one frame: object ids and, in the same order, one probability map each.

    The background's probability is what the objects leave over: 1 - sum(probs).

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


def check_labels(
    labels: Shaped[np.ndarray, "..."],
    *,
    frame_size: tuple[int, int] | None = None,
    name: str = "the label map",
) -> LabelMap:
    """The label map as uint8, once it is certain that it can be what was painted.

    Args:
        labels: [H, W], of bool (one object, which gets id 1) or of any integer type: an object id
            per pixel, 0 background, 255 void.
        frame_size: (H, W) of the frame that it belongs to, if it must fit one.
        name: What to call it in messages.

    Raises:
        MaskError: Not a label map (dtype, dimensions, range), of another size than the frame,
            without an object, 0/255 (which would be void, not an object), or of more than
            `MAX_OBJECTS` objects.
    """
    if labels.ndim != 2:
        raise MaskError(f"{_start(name)} has the shape {labels.shape}; expected [H, W]. {_fix_for(labels)}")
    if labels.dtype != np.bool_ and not np.issubdtype(labels.dtype, np.integer):
        raise MaskError(
            f"{_start(name)} is of type {labels.dtype}; expected integers (an id per pixel) or bool. "
            "Probabilities become a mask by a threshold: `probs > 0.5`."
        )
    if frame_size is not None:
        check_size((labels.shape[0], labels.shape[1]), frame_size, name=name)
    if labels.size and (labels.min() < 0 or labels.max() > VOID):
        raise MaskError(
            f"{_start(name)} holds values from {labels.min()} to {labels.max()}; object ids lie between 1 "
            "and 254 (0 is background, 255 void). Renumber the objects."
        )
    checked = np.ascontiguousarray(labels, np.uint8)
    _check_objects(checked, name)
    return checked


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
            "are taken. This is probably no label map but a photo, a probability map or a soft mask."
        )


def _fix_for(labels: Shaped[np.ndarray, "..."]) -> str:
    if labels.ndim == 3 and labels.shape[2] in (3, 4):
        return "A coloured mask is read by `read_mask(path)`; in an array give one id per pixel."
    if labels.ndim == 3 and 1 in labels.shape:
        return "Drop the axis of length 1: `labels.squeeze()`."
    return "Give one id per pixel."


def _start(name: str) -> str:
    """`name` as the start of a sentence."""
    return name[:1].upper() + name[1:] if name.startswith("the ") else name
