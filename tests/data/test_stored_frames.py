"""Frames cached in memory: small, bounded, and true to their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.data.sequences import Sequence
from tinct.data.stored_frames import StoredFrames
from tinct.errors import DatasetError


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Sequence:
    """Four frames of 80×48."""
    folder = tmp_path_factory.mktemp("frames")
    for t in range(4):
        PillowImage.fromarray(np.full((48, 80, 3), 20 * t, np.uint8)).save(folder / f"{t}.jpg")
        PillowImage.fromarray(np.full((48, 80), t, np.uint8)).save(folder / f"{t}.png")
    return Sequence(
        "four",
        tuple(folder / f"{t}.jpg" for t in range(4)),
        tuple(folder / f"{t}.png" for t in range(4)),
    )


def test_they_are_small_and_bounded(sequence: Sequence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoredFrames, "MAX_FRAMES", 2)
    stored = StoredFrames(30)
    pairs = [stored.read(sequence, i) for i in range(4)]
    assert [image.shape for image, _ in pairs] == [(30, 50, 3)] * 4
    assert [np.unique(labels).tolist() for _, labels in pairs] == [[0], [1], [2], [3]]
    assert len(stored) == 2
    assert stored.read(sequence, 0)[0] is pairs[0][0]
    assert stored.read(sequence, 3)[0] is not pairs[3][0]


def test_smaller_frames_are_not_enlarged(sequence: Sequence) -> None:
    assert StoredFrames(400).read(sequence, 1)[0].shape == (48, 80, 3)


def test_a_mask_of_another_size_is_named(tmp_path: Path, sequence: Sequence) -> None:
    odd = tmp_path / "odd.png"
    PillowImage.new("L", (7, 5)).save(odd)
    with pytest.raises(DatasetError, match=r"odd\.png is 7×5, but its frame is 80×48"):
        StoredFrames(30).read(Sequence("odd", sequence.frames[:1], (odd,)), 0)
