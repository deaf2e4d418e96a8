"""What FEELVOS's step asks of a backend."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tinct.networks.feelvos_parts import FrameEncoding, ObjectMatches
from tinct.ops.pixel_sets import Array, PixelSet, ReferenceSet
from tinct.shapes import Bool, Float, Image, Int64


@runtime_checkable
class FeelvosBackend(Protocol):
    """The network and the operations of one backend; arrays are its own kind.

    Attributes:
        name: Of `tinct.backends.BACKENDS`.
        device: Where it runs.
    """

    name: str
    device: Any

    @property
    def array_type(self) -> type:
        """Of the arrays in its states."""

    def inference(self) -> AbstractContextManager[Any]:
        """The context in which a step runs."""

    def encode(self, frame: Image) -> FrameEncoding:
        """A frame of the working size, seen by the network."""

    def reference(self, pixels: PixelSet, temperature: float | None) -> ReferenceSet:
        """Reference pixels made ready for `match`."""

    def match(self, reference: ReferenceSet, embedding: Array) -> Array:
        """Global matching (eq. 2): [L, h, w] squared distances of an embedding [C, h, w]."""

    def match_window(
        self, embedding: Array, previous: Array, membership: Array, radius: int, temperature: float | None
    ) -> Array:
        """Local matching (eq. 5): [L, h, w] from two embeddings [C, h, w] and the membership [L, h, w]."""

    def logits(self, encoding: FrameEncoding, matches: ObjectMatches, temperature: float | None) -> Array:
        """The head (3.6): logits [L, h4, w4] of all labels, the background's first."""

    def probs(
        self, logits: Array, size: tuple[int, int], *, align_corners: bool
    ) -> Float[np.ndarray, "N H W"]:
        """The objects' probabilities at the frame's size."""

    def softmax(self, logits: Array) -> Array:
        """Over the labels."""

    def membership(
        self, labels: Array, objects: int, grid: tuple[int, int], *, soft: bool, align_corners: bool = False
    ) -> Array:
        """Which cell of a grid belongs to which label, [L, h, w] (`ops.membership.label_membership`)."""

    def resized(self, maps: Array, grid: tuple[int, int]) -> Array:
        """The mean of each cell of a grid."""

    def array(self, values: Int64[np.ndarray, "H W"]) -> Array:
        """Labels as the backend's array."""

    def numpy(self, array: Array) -> np.ndarray:
        """The backend's array as NumPy's."""

    def masked(self, logits: Array, where: Bool[np.ndarray, "L H W"], value: float) -> Array:
        """A copy with another value at some places."""
