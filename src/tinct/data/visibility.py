"""The visibility of an object, frame by frame: visible, hidden, outside, or back again.

An object is *gone* from a frame that shows less than `GONE_SHARE` of its pixels: hidden if the rest lies
inside the frame, behind something; outside if not. Once it was gone for `GONE_FRAMES` frames or more
and is seen again, it has reappeared, and stays so until the end: only a method that re-identifies
objects segments it in those frames. Shorter gaps change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tinct.errors import DatasetError
from tinct.shapes import Bool, Float, Int64, UInt8

GONE_SHARE = 0.02
"""The share of an object below which it counts as gone: nobody could recognise it."""

GONE_FRAMES = 3
"""The least length of a disappearance: a propagated mask may survive a shorter gap."""


class Visibility(IntEnum):
    """What a frame shows of an object."""

    VISIBLE = 0
    HIDDEN = 1
    OUTSIDE = 2
    REAPPEARED = 3

    @property
    def letter(self) -> str:
        """The letter that stands for it in files: v, h, o or r."""
        return self.name[0].lower()


States = UInt8[np.ndarray, "T"]
"""One object's `Visibility` in every frame."""


@dataclass(frozen=True)
class Disappearance:
    """A period in which an object is gone.

    Attributes:
        kind: `HIDDEN` or `OUTSIDE`: the object's state in most of these frames.
        first: Index of its first frame.
        last: Index of its last frame.
        returns: Whether the object is seen again.
        size_factor: The object's size (a length) after, relative to that before; None if it does not return.
    """

    kind: Visibility
    first: int
    last: int
    returns: bool
    size_factor: float | None = None

    @property
    def frames(self) -> int:
        """Its length in frames."""
        return self.last - self.first + 1


def visibility_states(
    visible_px: Int64[np.ndarray, "T"], inside_px: Int64[np.ndarray, "T"], whole_px: Float[np.ndarray, "T"]
) -> States:
    """The visibility of one object in every frame.

    Args:
        visible_px: Pixels of the object in the truth.
        inside_px: Pixels that the frame would show if nothing lay in front of it.
        whole_px: Pixels that a frame without borders would show.
    """
    least = np.maximum(1.0, GONE_SHARE * whole_px)
    gone = visible_px < least
    states = np.where(gone, np.where(inside_px < least, Visibility.OUTSIDE, Visibility.HIDDEN), 0)
    for first, last in _runs(gone):
        if last - first + 1 >= GONE_FRAMES:
            after = np.arange(len(gone)) > last
            states[after & ~gone] = Visibility.REAPPEARED
    return states.astype(np.uint8)


def disappearances(states: States, sizes: Float[np.ndarray, "T"]) -> tuple[Disappearance, ...]:
    """The periods of `GONE_FRAMES` frames or more in which an object is gone.

    Args:
        states: From `visibility_states`.
        sizes: The object's size (a length, in any unit) in every frame.
    """
    found = []
    for first, last in _runs(gone_of(states)):
        if last - first + 1 < GONE_FRAMES:
            continue
        outside = 2 * int((states[first : last + 1] == Visibility.OUTSIDE).sum()) > last - first + 1
        kind = Visibility.OUTSIDE if outside else Visibility.HIDDEN
        returns = last + 1 < len(states)
        factor = float(sizes[last + 1] / sizes[max(0, first - 1)]) if returns else None
        found.append(Disappearance(kind, first, last, returns, factor))
    return tuple(found)


def gone_of(states: States) -> Bool[np.ndarray, "T"]:
    """The frames in which the object is hidden or outside."""
    return np.isin(states, (Visibility.HIDDEN, Visibility.OUTSIDE))


def to_letters(states: States) -> str:
    """The states as text, such as "vvvhhhhrr"."""
    return "".join(Visibility(int(state)).letter for state in states)


def from_letters(text: str) -> States:
    """The states from the text of `to_letters`.

    Raises:
        DatasetError: Another letter came.
    """
    codes = {state.letter: int(state) for state in Visibility}
    strange = sorted(set(text) - set(codes))
    if strange:
        raise DatasetError(
            f"A visibility of {', '.join(map(repr, strange))} came; the letters are {', '.join(codes)} "
            "(visible, hidden, outside, reappeared). Make the clips again."
        )
    return np.array([codes[letter] for letter in text], np.uint8)


def _runs(flags: Bool[np.ndarray, "T"]) -> Iterator[tuple[int, int]]:
    """(first, last) of every run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        yield int(first), int(end) - 1
