from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from tinct.interchange.exports import LabelledVideo
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video

H, W, FRAMES = 13, 17, 6
IDS = (1, 5, 7)
RATE = Fraction(30000, 1001)


def labels_at(index: int) -> np.ndarray:
    """Object 1 moves, 5 is in two pieces and absent from frame 2, 7 reaches the corner, void is about."""
    labels = np.zeros((H, W), np.uint8)
    labels[2:6, 1 + index : 4 + index] = 1
    if index != 2:
        labels[7:9, 3:5] = 5
        labels[9:12, 8:9] = 5
    labels[10:, 14:] = 7
    labels[0, 0] = 255
    return labels


def probs_at(index: int) -> np.ndarray:
    draws = np.random.default_rng(index)
    return draws.random((len(IDS), H, W), np.float32) / len(IDS)


@pytest.fixture
def video() -> Video:
    rows, columns = np.mgrid[:H, :W]
    # Smooth, as pictures are: codecs are held to their tolerance on it, not on noise.
    frames = [
        np.stack([rows * 9 + t, columns * 11, rows * 5 + columns * 4], 2).astype(np.uint8)
        for t in range(FRAMES)
    ]
    return Video.from_arrays(frames, [f"shot.{1001 + t}" for t in range(FRAMES)], RATE)


@pytest.fixture
def labelled(video: Video) -> LabelledVideo:
    return LabelledVideo(
        video.names, video.size, IDS, labels_at, video, RATE, {1: "dog", 7: "dög / 2"}, title="walk"
    )


@pytest.fixture
def soft(labelled: LabelledVideo) -> LabelledVideo:
    from dataclasses import replace

    read: Callable[[int], ObjectMasks] = lambda index: ObjectMasks(IDS, probs_at(index))  # noqa: E731
    return replace(labelled, soft=read)
