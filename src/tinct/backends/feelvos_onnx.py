"""FEELVOS's compact network and matching in ONNX Runtime, and the rest of a step in NumPy and OpenCV.

The graphs are written from the weights file when the segmenter is built, which takes a tenth of a second.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from tinct.backends.sessions import Session
from tinct.errors import OptionError
from tinct.graphs import feelvos as graphs
from tinct.graphs.layers import Weights
from tinct.inference.devices import OnDevice
from tinct.networks.feelvos_parts import FeelvosConfig, FrameEncoding, ObjectMatches
from tinct.ops.pixel_sets import PixelSet, ReferenceSet
from tinct.shapes import Bool, Float, Float32, Image, Int64


class OnnxBackend(OnDevice):
    """The backend of the compact variant on a processor, with soft minima and aligned pixel centres.

    Args:
        weights: Name → array, as the weights file has them.
        config: What they are bound to.
    """

    name = "onnx"
    array_type = np.ndarray
    device = "cpu"

    def __init__(self, weights: Weights, config: FeelvosConfig) -> None:
        self.weights, self.config = weights, config
        self._encode = Session(graphs.encode_graph(weights))
        # Each is one number, but which one is known only when a frame is matched.
        self._head = lru_cache(2)(lambda t: Session(graphs.head_graph(weights, config, t)))
        channels = config.embedding_channels
        self._global = lru_cache(2)(lambda t: Session(graphs.global_graph(t, channels)))
        self._local = lru_cache(2)(lambda t, radius: Session(graphs.local_graph(t, channels, radius)))

    def to(self, device: Any) -> OnnxBackend:
        """Itself: there is no other device; OptionError for another."""
        if str(device) not in ("auto", "cpu"):
            raise OptionError(
                f'The backend onnx runs on the processor, not on {device}; take backend="torch" for that.'
            )
        return self

    def inference(self) -> AbstractContextManager[None]:
        """Nothing is needed."""
        return nullcontext()

    def encode(self, frame: Image) -> FrameEncoding:
        """A frame of the working size, seen by the network."""
        return FrameEncoding(*self._encode(frame=frame))

    def reference(self, pixels: PixelSet, temperature: float | None) -> ReferenceSet:
        """Reference pixels made ready for `match`: those of any label."""
        chosen = (pixels.membership > 0).any(1)
        rows, weights = np.ascontiguousarray(pixels.embedding), np.ascontiguousarray(pixels.membership)
        if chosen.all():
            return ReferenceSet(rows, weights, temperature, rows, (), weights)
        return ReferenceSet(rows, weights, temperature, rows[chosen], (), weights[chosen])

    def match(
        self, reference: ReferenceSet, embedding: Float32[np.ndarray, "C H W"]
    ) -> Float32[np.ndarray, "L H W"]:
        """Global matching (eq. 2)."""
        return self._global(reference.temperature)(
            embedding=embedding[None],
            reference_embedding=reference.rows,
            reference_membership=reference.weights,
        )[0]

    def match_window(
        self,
        embedding: Float32[np.ndarray, "C H W"],
        previous: Float32[np.ndarray, "C H W"],
        membership: Float32[np.ndarray, "L H W"],
        radius: int,
        temperature: float | None,
    ) -> Float32[np.ndarray, "L H W"]:
        """Local matching (eq. 5)."""
        radius = min(radius, max(embedding.shape[1:]))
        return self._local(temperature, radius)(
            embedding=embedding[None], previous_embedding=previous[None], previous_probs=membership
        )[0]

    def logits(
        self, encoding: FrameEncoding, matches: ObjectMatches, temperature: float | None
    ) -> Float32[np.ndarray, "L H4 W4"]:
        """The head (3.6)."""
        inputs = {"features": encoding.features, "skip": encoding.skip, **vars(matches)}
        return self._head(temperature)(**inputs)[0]

    def probs(
        self, logits: Float32[np.ndarray, "L h w"], size: tuple[int, int], *, align_corners: bool
    ) -> Float32[np.ndarray, "N H W"]:
        """The objects' probabilities at the frame's size."""
        assert not align_corners
        enlarged = np.empty((len(logits), *size), np.float32)
        for plane, own in zip(enlarged, logits, strict=True):
            cv2.resize(own, size[::-1], dst=plane, interpolation=cv2.INTER_LINEAR)
        if len(enlarged) == 2:
            return np.asarray(1 / (1 + np.exp(enlarged[:1] - enlarged[1:])), np.float32)
        return _softmax(enlarged)[1:]

    def softmax(self, logits: Float32[np.ndarray, "L h w"]) -> Float32[np.ndarray, "L h w"]:
        """Over the labels."""
        return _softmax(logits.copy())

    def membership(
        self,
        labels: Int64[np.ndarray, "H W"],
        objects: int,
        grid: tuple[int, int],
        *,
        soft: bool,
        align_corners: bool = False,
    ) -> Float32[np.ndarray, "L h w"]:
        """Each label's share of each cell of a grid."""
        assert soft
        return np.stack([self.resized((labels == i)[None], grid)[0] for i in range(objects + 1)])

    def resized(self, maps: np.ndarray, grid: tuple[int, int]) -> Float32[np.ndarray, "L h w"]:
        """The mean of each cell of a grid; cells overlap where sides are no multiples, as torch's do."""
        down, right = (_cells(side, cells) for side, cells in zip(maps.shape[1:], grid, strict=True))
        sums = down @ maps.astype(np.float32) @ right.T
        return np.asarray(sums / np.outer(down.sum(1), right.sum(1)), np.float32)

    def array(self, values: Int64[np.ndarray, "H W"]) -> Int64[np.ndarray, "H W"]:
        """Labels as they are."""
        return values

    def numpy(self, array: np.ndarray) -> np.ndarray:
        """Itself."""
        return array

    def masked(
        self, logits: Float[np.ndarray, "L H W"], where: Bool[np.ndarray, "L H W"], value: float
    ) -> Float[np.ndarray, "L H W"]:
        """A copy with another value at some places."""
        changed = logits.copy()
        changed[where] = value
        return changed


def _softmax(logits: Float32[np.ndarray, "L H W"]) -> Float32[np.ndarray, "L H W"]:
    """Over the labels, in place."""
    logits -= logits.max(0)
    np.exp(logits, out=logits)
    logits /= logits.sum(0)
    return logits


@lru_cache(8)
def _cells(side: int, cells: int) -> Float32[np.ndarray, "cells side"]:
    """Which pixels of a side belong to which of its cells: 1 or 0."""
    first = np.arange(cells)[:, None] * side // cells
    last = -(-(np.arange(cells)[:, None] + 1) * side // cells)
    pixels = np.arange(side)
    return ((pixels >= first) & (pixels < last)).astype(np.float32)
