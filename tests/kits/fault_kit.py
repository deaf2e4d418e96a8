"""Segmenters and videos that break the rules of `tinct.inference.segmenter`, each in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinct.errors import MaskError, NumericalError, TinctError, VideoError
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter
from tinct.io.masks import ObjectMasks
from tinct.io.video import ArrayVideo, Video

H, W, FRAMES, AT = 9, 12, 6, 3
"""The fault is at frame `AT`, except that one frame too many can only come after the last."""


def prompt() -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[2:6, 2:6] = 1
    return labels


def broken(labels: np.ndarray, fault: str, index: int) -> ObjectMasks:
    probs = (labels[None] == 1).astype(np.float32)
    if index == AT and fault == "nan":
        probs[0, 4, 4] = np.nan
    if index == AT and fault == "infinity":
        probs[0, 4, 4] = np.inf
    return ObjectMasks((1,), probs[..., 1:] if index == AT and fault == "size" else probs)


class FaultyWhole(VideoSegmenter):
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def segment(self, video: Video, prompts: Mapping[int, np.ndarray]) -> Iterator[tuple[int, ObjectMasks]]:
        indices = {
            "too few": [0, 1, 2],
            "out of order": [0, 1, 2, 4, 3, 5],
            "twice": [0, 1, 2, 2, 3, 4, 5],
            "left out": [0, 1, 2, 4, 5],
            "too many": [0, 1, 2, 3, 4, 5, 6],
        }
        for index in indices.get(self.fault, range(FRAMES)):
            yield index, broken(prompts[min(prompts)], self.fault, index)


class FaultyStreaming(StreamingSegmenter[np.ndarray]):
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def start(self, frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return labels

    def step(
        self, state: np.ndarray, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[np.ndarray, ObjectMasks]:
        return state, broken(state, self.fault, int(frame[0, 0, 0]))


class FaultyVideo(ArrayVideo):
    """Frame t is t all over; it ends before frame `AT`, or goes on after its last one."""

    def __init__(self, fault: str = "") -> None:
        super().__init__([np.full((H, W, 3), t, np.uint8) for t in range(FRAMES)])
        self.fault = fault

    def _read(self, start: int, stop: int) -> Iterator[np.ndarray]:
        yield from super()._read(start, min(stop, AT) if self.fault == "too few" else stop)
        if self.fault == "too many" and stop == FRAMES:
            yield self._frames[0]


class Fault(NamedTuple):
    """Attributes: whose it is, what must be raised, what it must say, the frames before it."""

    make: Callable[[], tuple[StreamingSegmenter[Any] | VideoSegmenter, Video]]
    error: type[TinctError]
    says: str
    good: list[int]

    def found_in(self, results: Iterator[Any]) -> list[Any]:
        """What came before the error, which must be the right one."""
        found: list[Any] = []

        def collect() -> None:
            for result in results:
                found.append(result)

        with pytest.raises(self.error, match=self.says):
            collect()
        return found


def _both_ways(fault: str) -> Bidirectional:
    return Bidirectional(FaultyStreaming(fault))


def _faults() -> Iterator[Any]:
    wrong_size = rf"\({H}, {W - 1}\) for frame 3 of \({H}, {W}\)"
    numbers = [("nan", NumericalError, "frame 3"), ("infinity", NumericalError, "frame 3")]
    before, all_but_last = [0, 1, 2], [0, 1, 2, 3, 4]
    kinds = {"streaming": FaultyStreaming, "both ways": _both_ways, "whole": FaultyWhole}
    for fault, error, says in [*numbers, ("size", MaskError, wrong_size)]:
        for kind, make in kinds.items():
            yield _case(f"{kind}, {fault}", partial(make, fault), "", error, says, before)
    for fault, error, says, good in [
        ("too few", VideoError, "ended after 3 of 6 frames", before),
        ("too many", TinctError, "frame 6 .*after the last", all_but_last),
    ]:
        for kind in ("streaming", "both ways"):
            yield _case(f"{kind}, {fault}", partial(kinds[kind], ""), fault, error, says, good)
    for fault, says, good in [
        ("too few", "frame 3 .*nothing", before),
        ("out of order", "frame 4 .*frame 3", before),
        ("twice", "frame 2 .*frame 3", before),
        ("left out", "frame 4 .*frame 3", before),
        ("too many", "frame 6 .*after the last", all_but_last),
    ]:
        yield _case(f"whole, {fault}", partial(FaultyWhole, fault), "", TinctError, says, good)


def _case(
    name: str,
    segmenter: Callable[[], Any],
    of_video: str,
    error: type[TinctError],
    says: str,
    good: list[int],
) -> Any:
    return pytest.param(Fault(lambda: (segmenter(), FaultyVideo(of_video)), error, says, good), id=name)


FAULTS = list(_faults())
