"""Finishing: what is done to masks on their way out, without changing the masks themselves.

A `Finishing` says what is done to one object's mask, in this order: steadied over time, holes filled,
specks removed, smoothed, given a matte, grown or shrunk, feathered. `FinishingRule`s say for which objects
and frames. Exports and the page apply them by the one function `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from tinct.errors import OptionError, near_match
from tinct.io.masks import ObjectMasks
from tinct.ops.mask_edits import feather, fill_holes, grow, keep_apart, remove_specks, smooth, steady
from tinct.ops.matting import closed_form_alpha, edge_band, guided_alpha
from tinct.shapes import BinaryMask, Bool, Float, Image, LabelMap, holds_arrays

Matte = Literal["none", "guided", "closed-form"]

MAX_RADIUS_PX = 200
"""The farthest that an edge is moved, smoothed or softened."""

MAX_STEADY_FRAMES = 10
"""The most frames before, and after, that a mask is steadied by."""


_LIMITS = {
    "steady_frames": (0, MAX_STEADY_FRAMES),
    "fill_holes_px": (0, np.inf),
    "remove_specks_px": (0, np.inf),
    "smooth_px": (0, MAX_RADIUS_PX),
    "matte_px": (1, MAX_RADIUS_PX),
    "grow_px": (-MAX_RADIUS_PX, MAX_RADIUS_PX),
    "feather_px": (0, MAX_RADIUS_PX),
}
_MAY_BE_FRACTIONS = ("smooth_px", "feather_px")


@dataclass(frozen=True)
class Finishing:
    """What is done to one object's mask; nothing by default.

    In the order in which it is done.

    Args:
        steady_frames: How many frames before and after take part in smoothing the edge over time; 0 to 10.
        fill_holes_px: Area of the largest hole that is filled, in pixels.
        remove_specks_px: Area of the largest part that is removed, in pixels; the largest part always stays.
        smooth_px: Standard deviation of the blur that rounds off the edge, in pixels; 0 to 200.
        matte: How alpha is found around the edge: not at all, by a guided filter, or by closed-form matting.
        matte_px: How far from the edge a matte may be soft, in pixels; 1 to 200.
        grow_px: How far the edge is moved outward, in pixels, or inward if negative; -200 to 200.
        feather_px: How far a ramp reaches to either side of the edge, in pixels; 0 to 200.

    Raises:
        OptionError: A value is out of its range.
    """

    steady_frames: int = 0
    fill_holes_px: int = 0
    remove_specks_px: int = 0
    smooth_px: float | int = 0
    matte: Matte = "none"
    matte_px: int = 10
    grow_px: int = 0
    feather_px: float | int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                to = "up" if high == np.inf else f"to {high}"
                raise OptionError(
                    f"Finishing with {name} {getattr(self, name)} came; expected a number from {low} {to}."
                )

    @property
    def softens(self) -> bool:
        """Whether it makes soft edges."""
        return self.matte != "none" or self.feather_px > 0


@dataclass(frozen=True)
class FinishingRule:
    """A finishing, and the objects and frames that it is for.

    Args:
        finishing: What is done.
        objects: Ids of objects; None for all.
        first: Index of the first frame.
        last: Index of the last frame, included; None for the video's last.

    Raises:
        OptionError: The range is none.
    """

    finishing: Finishing
    objects: tuple[int, ...] | None = None
    first: int = 0
    last: int | None = None

    def __post_init__(self) -> None:
        if self.first < 0 or (self.last is not None and self.last < self.first):
            raise OptionError(f"Finishing of the frames {self.first} to {self.last} came; these are none.")

    def covers(self, object_id: int, index: int) -> bool:
        """Whether it is for an object in a frame."""
        in_range = self.first <= index and (self.last is None or index <= self.last)
        return in_range and (self.objects is None or object_id in self.objects)

    def document(self) -> dict[str, Any]:
        """The rule as JSON, for `rule_of`."""
        objects = None if self.objects is None else list(self.objects)
        return {"objects": objects, "first": self.first, "last": self.last, **asdict(self.finishing)}


def rule_of(document: Mapping[str, Any]) -> FinishingRule:
    """The rule of a JSON object; fields that are left out have their defaults.

    Raises:
        OptionError: A field is unknown, or its value is not what it can be.
    """
    values = dict(document)
    objects, first, last = values.pop("objects", None), values.pop("first", 0), values.pop("last", None)
    if objects is not None and not isinstance(objects, list):
        raise OptionError(f"Finishing for the objects {objects!r} came; expected a list of ids, or null.")
    whole = [first, *([] if last is None else [last]), *(objects or [])]
    if not all(_is_number(number, fractions=False) for number in whole):
        raise OptionError(f"Finishing came for the objects {objects!r} and frames {first!r} to {last!r}.")
    known = [field.name for field in fields(Finishing)]
    for name, value in values.items():
        if name not in known:
            raise OptionError(f"There is no finishing {name!r}. {near_match(name, known)}")
        if name == "matte":
            values[name] = matte_named(value)
        elif not _is_number(value, fractions=name in _MAY_BE_FRACTIONS):
            kind = "a number" if name in _MAY_BE_FRACTIONS else "a whole number"
            raise OptionError(f"Finishing with {name} {value!r} came; expected {kind}.")
    return FinishingRule(Finishing(**values), None if objects is None else tuple(objects), first, last)


def matte_named(name: object) -> Matte:
    """The matte of a name; OptionError if there is none."""
    for known in get_args(Matte):
        if name == known:
            found: Matte = known
            return found
    raise OptionError(f"There is no matte {name!r}. {near_match(str(name), get_args(Matte))}")


def _is_number(value: object, *, fractions: bool) -> bool:
    return isinstance(value, (int, float) if fractions else int) and not isinstance(value, bool)


def finishing_of(rules: Iterable[FinishingRule], object_id: int, index: int) -> Finishing:
    """What is done to an object in a frame: by the last of the rules that are for it."""
    found = Finishing()
    for rule in rules:
        if rule.covers(object_id, index):
            found = rule.finishing
    return found


@holds_arrays
@dataclass(frozen=True)
class FrameSource:
    """Where `finish` reads what it needs.

    Args:
        count: Number of frames.
        labels: The label map of a frame, by index.
        probabilities: The masks of a frame with their probabilities; None if they are hard.
        frame: The picture of a frame; mattes need it.
    """

    count: int
    labels: Callable[[int], LabelMap]
    probabilities: Callable[[int], ObjectMasks] | None = None
    frame: Callable[[int], Image] | None = None


def finish(
    source: FrameSource, rules: Sequence[FinishingRule], object_ids: Sequence[int], index: int
) -> ObjectMasks:
    """The finished masks of a frame; their sum is nowhere above 1.

    Args:
        source: The masks, and the frames for mattes.
        rules: What is done to which objects in which frames.
        object_ids: The objects of the video, increasing.
        index: The frame.

    Raises:
        OptionError: A matte is wanted, but there are no frames.
    """
    labels = source.labels(index)
    wanted = np.asarray(object_ids, labels.dtype).reshape(-1, 1, 1)
    owners: Bool[np.ndarray, "N H W"] = labels[None] == wanted
    before = owners.astype(np.float32)
    if source.probabilities is not None:
        masks = source.probabilities(index)
        before = np.stack([masks[i] for i in object_ids]) if object_ids else before
    todos = [finishing_of(rules, object_id, index) for object_id in object_ids]
    if all(todo == Finishing() for todo in todos):
        return ObjectMasks(tuple(object_ids), before)
    alphas = before.copy()
    for position, (object_id, todo) in enumerate(zip(object_ids, todos, strict=True)):
        if todo == Finishing():
            continue
        mask = _steadied(source, todo, object_id, index)
        # Where the mask stays, its probabilities stay.
        edited = _edited(mask, todo)
        start = np.where(edited == owners[position], before[position], edited).astype(np.float32)
        alphas[position] = _softened(source, todo, edited, start, index)
    return ObjectMasks(tuple(object_ids), keep_apart(alphas, owners))


def _steadied(source: FrameSource, todo: Finishing, object_id: int, index: int) -> BinaryMask:
    reach = min(todo.steady_frames, index, source.count - 1 - index)
    return steady([source.labels(i) == object_id for i in range(index - reach, index + reach + 1)])


def _edited(mask: BinaryMask, todo: Finishing) -> BinaryMask:
    filled = fill_holes(mask, todo.fill_holes_px)
    return smooth(remove_specks(filled, todo.remove_specks_px), todo.smooth_px)


def _softened(
    source: FrameSource, todo: Finishing, mask: BinaryMask, start: Float[np.ndarray, "H W"], index: int
) -> Float[np.ndarray, "H W"]:
    alpha = start
    if todo.matte != "none":
        if source.frame is None:
            raise OptionError(
                f"The matte {todo.matte!r} is made of the pictures, and there are none; give the video, or "
                "export without a matte."
            )
        frame, band = source.frame(index), edge_band(mask, todo.matte_px)
        alpha = guided_alpha(frame, np.where(band, start, mask).astype(np.float32), band, todo.matte_px)
        if todo.matte == "closed-form":
            alpha = closed_form_alpha(frame, alpha, band)
    return feather(grow(alpha, todo.grow_px), todo.feather_px)
