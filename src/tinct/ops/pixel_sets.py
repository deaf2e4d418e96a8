"""Labelled pixels and reference sets as plain values: their arrays are NumPy's, or torch's tensors.

Labels are positions here, not ids: the background is 0, the N objects are 1 to N, L = N + 1. What is computed
here is the same for both kinds of array; what is not is a backend's (`tinct.backends`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tinct.shapes import VOID, Int64, LabelMap, holds_arrays

Array: TypeAlias = Any
"""A NumPy array or a torch tensor."""


def namespace_of(array: Array) -> Any:
    """The module whose functions take such an array: `torch` or `numpy`."""
    return sys.modules["torch"] if hasattr(array, "detach") else np


def label_positions(labels: LabelMap, object_ids: tuple[int, ...]) -> Int64[np.ndarray, "H W"]:
    """Ids replaced by their positions: background 0, the objects 1 to N, anything else void."""
    table = np.full(256, VOID, np.int64)
    table[[0, *object_ids]] = np.arange(len(object_ids) + 1)
    return np.asarray(table[labels])


@holds_arrays
@dataclass(frozen=True, repr=False)
class PixelSet:
    """Reference pixels: embeddings and the label that each belongs to.

    Attributes:
        embedding: [R, C].
        membership: [R, L] in [0, 1], the background first.
    """

    embedding: Array
    membership: Array

    @classmethod
    def of_frame(cls, embedding: Array, membership: Array) -> PixelSet:
        """All pixels of a frame: embedding [C, H, W], membership [L, H, W]."""
        return cls(embedding.reshape(len(embedding), -1).T, membership.reshape(len(membership), -1).T)

    def joined(self, other: PixelSet) -> PixelSet:
        """The union of both sets."""
        joined = namespace_of(self.embedding).concatenate
        return PixelSet(
            joined([self.embedding, other.embedding]), joined([self.membership, other.membership])
        )

    def with_labels(self, old: tuple[int, ...], new: tuple[int, ...]) -> PixelSet:
        """The pixels with columns for further objects, to which none of them belongs."""
        xp = namespace_of(self.membership)
        wider = xp.concatenate([self.membership, xp.zeros_like(self.membership[:, :1])], 1)
        columns = [0, *(old.index(i) + 1 if i in old else len(old) + 1 for i in new)]
        return PixelSet(self.embedding, wider[:, columns])

    def relabelled(self, old: tuple[int, ...], new: tuple[int, ...]) -> PixelSet:
        """The pixels of a frame that shows `old` objects, in the labels of one that shows `new` ones.

        Objects that the other lacks are background to it. The background of a frame that lacks one of its
        objects may hold that object, and belongs to nobody.
        """
        xp, membership = namespace_of(self.membership), self.membership
        columns = [xp.zeros_like(membership[:, 0])] * (len(new) + 1)
        for column, object_id in enumerate(old, 1):
            place = new.index(object_id) + 1 if object_id in new else 0
            columns[place] = columns[place] + membership[:, column]
        if {*new} <= {*old}:
            columns[0] = columns[0] + membership[:, 0]
        return PixelSet(self.embedding, xp.stack(columns, 1))

    def thinned(self, keep_every: int) -> PixelSet:
        """Every n-th pixel."""
        return PixelSet(self.embedding[::keep_every], self.membership[::keep_every])

    def weighted(self, factor: float | tuple[float, ...]) -> PixelSet:
        """Multiply the weight of pixels, or of each label, in a soft minimum; an exact one has no weights."""
        if not isinstance(factor, tuple):
            return PixelSet(self.embedding, self.membership * factor)
        columns = [self.membership[:, label] * each for label, each in enumerate(factor)]
        return PixelSet(self.embedding, namespace_of(self.membership).stack(columns, 1))


@holds_arrays
@dataclass(frozen=True, repr=False)
class ReferenceSet:
    """Reference pixels made ready for global matching: made once, matched with many frames.

    Attributes:
        embedding: [R, C], as given.
        membership: [R, N], as given.
        temperature: Of the soft minimum; None for the exact one.
        rows: [R', K], folded embeddings: sorted by object for the exact minimum (a pixel of two
            objects comes twice), those of any object for the soft one.
        runs: For the exact minimum, each object's first row and the one after its last.
        weights: [N, R'], for the soft minimum: the membership of the rows.
    """

    embedding: Array
    membership: Array
    temperature: float | None
    rows: Array
    runs: tuple[tuple[int, int], ...]
    weights: Array
