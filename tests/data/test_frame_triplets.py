"""FEELVOS's training samples: real frames alone, and which of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.data.frame_triplets import FrameTriplets, TripletOptions
from tinct.data.sequences import Sequence, SequenceDataset
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID

H, W, FRAMES = 48, 64, 6
SMALL = {"size": (40, 40), "scale": (1.0, 1.0), "min_cells": 1}


def video(folder: Path, *, annotated: int = FRAMES, second: bool = True) -> SequenceDataset:
    """A column says with its red value which frame it is, with green its row, with blue its column."""
    folder.mkdir(exist_ok=True)
    rows, columns = np.mgrid[:H, :W]
    frames, maps = [], []
    for t in range(FRAMES):
        image = np.stack([np.full((H, W), 40 * t), 5 * rows, 3 * columns], -1).astype(np.uint8)
        labels = np.zeros((H, W), np.uint8)
        labels[8:40, 4:28] = 3
        if second and t < FRAMES - 1:
            labels[8:40, 36:60] = 7
        frames.append(folder / f"{t:05d}.png")
        maps.append(folder / f"label{t:05d}.png")
        PillowImage.fromarray(image).save(frames[-1])
        PillowImage.fromarray(labels).save(maps[-1])
    known = [m if t < annotated else None for t, m in enumerate(maps)]
    return SequenceDataset((Sequence("video", tuple(frames), tuple(known)),))


def frame_numbers(sample: dict[str, np.ndarray]) -> list[int]:
    return [int(frame[20, 20, 0]) // 40 for frame in sample["frames"]]


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> SequenceDataset:
    return video(tmp_path_factory.mktemp("triplets") / "video")


def samples(sequences: SequenceDataset, count: int, **changes: object) -> list[dict[str, np.ndarray]]:
    triplets = FrameTriplets(sequences, TripletOptions(**{**SMALL, **changes}))  # type: ignore[arg-type]
    return [{name: value.numpy() for name, value in triplets[i].items()} for i in range(count)]


def test_the_reference_comes_from_anywhere_and_the_two_others_are_consecutive(
    sequences: SequenceDataset,
) -> None:
    seen = [frame_numbers(sample) for sample in samples(sequences, 200)]
    assert all(after == before + 1 for _, before, after in seen)
    pairs = {(reference, before) for reference, before, _ in seen}
    # All of them: the reference is drawn apart from the others, and may be one of them.
    assert pairs == {(r, t) for r in range(FRAMES) for t in range(FRAMES - 1)}


def test_frames_are_as_they_are_with_one_crop_and_flip_for_the_two_consecutive_ones(
    sequences: SequenceDataset,
) -> None:
    flips = set()
    for sample in samples(sequences, 40):
        places = []
        for frame in sample["frames"]:
            rows, columns = frame[:, 0, 1].astype(int) // 5, frame[0, :, 2].astype(int) // 3
            assert (np.diff(rows) == 1).all()
            assert len(set(np.diff(columns))) == 1  # Nothing turns, bends, or is pasted.
            places.append((rows[0], columns[0], np.diff(columns)[0]))
        assert places[1] == places[2]
        flips.add((places[0][2], places[1][2]))
    assert flips == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_every_place_of_the_crop_is_as_likely_as_any_other(sequences: SequenceDataset) -> None:
    drawn = samples(sequences, 900)
    tops = Counter(int(sample["frames"][1, 0, 0, 1]) // 5 for sample in drawn)
    assert sorted(tops) == list(range(H - 40 + 1))  # From the upper rim to the lower one.
    assert max(tops.values()) < 1.6 * min(tops.values())
    lefts = Counter(int(sample["frames"][1, 0, :, 2].min()) // 3 for sample in drawn)
    assert sorted(lefts) == list(range(W - 40 + 1))


def test_scales_lie_between_the_two_and_labels_go_along(sequences: SequenceDataset) -> None:
    shares = set()
    for sample in samples(sequences, 30, scale=(1.0, 1.3), size=(48, 64)):
        frame, labels = sample["frames"][1], sample["labels"][1]
        step = np.abs(np.diff(frame[0, :, 2].astype(float))).mean() / 3
        assert 1 / 1.31 < step < 1.01
        shares.add(round(step, 1))
        columns = frame[..., 2].astype(float) / 3
        if sample["objects"] == 2:
            assert 3 < columns[labels == 1].min() <= columns[labels == 1].max() < 28.5
            rows = frame[..., 1].astype(float) / 5
            between = (labels == 0) & (rows > 10) & (rows < 38) & (columns > 15) & (columns < 44)
            assert columns[between].min() > 26.5
    assert len(shares) > 2


def test_all_objects_of_the_reference_and_no_other(tmp_path: Path) -> None:
    whole = samples(video(tmp_path / "a"), 60)
    both = [s for s in whole if frame_numbers(s)[0] < FRAMES - 1 and s["objects"] == 2]
    assert both
    for sample in whole:
        count = int(sample["objects"])
        in_reference = set(np.unique(sample["labels"][0][::4, ::4])) - {0}
        assert in_reference == set(range(1, count + 1))
        # What the reference does not show is background in the frames after it.
        assert set(np.unique(sample["labels"][1:])) <= set(range(count + 1))
        for number in range(count):
            mask = sample["labels"][1] == number + 1
            np.testing.assert_array_equal(sample["previous"][number], 255 * mask)
        assert not sample["previous"][count:].any()


def test_references_that_hardly_show_a_label_are_drawn_again(sequences: SequenceDataset) -> None:
    for sample in samples(sequences, 40, min_cells=30):
        cells = np.bincount(sample["labels"][0][::4, ::4].ravel())
        assert cells.min() >= 30
    with pytest.raises(DatasetError, match="fewer than 500 cells"):
        samples(sequences, 1, min_cells=500)


def test_a_frame_smaller_than_the_crop_has_a_rim_that_is_void(sequences: SequenceDataset) -> None:
    [sample] = samples(sequences, 1, size=(60, 80))
    for frame, labels in zip(sample["frames"], sample["labels"], strict=True):
        void = labels == VOID
        assert void.sum() == 60 * 80 - H * W
        assert (frame[void] == 128).all()


def test_annotated_frames_alone_count(tmp_path: Path) -> None:
    seen = [frame_numbers(sample) for sample in samples(video(tmp_path / "b", annotated=3), 40)]
    assert {number for numbers in seen for number in numbers} == {0, 1, 2}
    with pytest.raises(DatasetError, match="fewer than 3 annotated"):
        samples(video(tmp_path / "c", annotated=2), 1)


def test_a_sample_is_a_function_of_seed_and_index(sequences: SequenceDataset) -> None:
    one, again = samples(sequences, 5), samples(sequences, 5)
    for left, right in zip(one, again, strict=True):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])
    other = samples(sequences, 5, seed=1)
    assert any(not np.array_equal(a["frames"], b["frames"]) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("change", [{"seed": -1}, {"size": (0, 4)}, {"scale": (0.0, 1.0)}])
def test_options_out_of_range(change: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=next(iter(change))):
        TripletOptions(**change)  # type: ignore[arg-type]
