"""Samples from annotated frames: the object stays together with its mask, wherever it goes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tinct.data.online_samples import (
    AnnotatedFrame,
    OnlineAugmentation,
    OnlineSamples,
    disguised,
    without_object,
)
from tinct.data.synthetic import BLANK
from tinct.errors import MaskError, OptionError
from tinct.methods.osvos import PAPER_MOTION
from tinct.shapes import VOID


def annotated(size: tuple[int, int] = (48, 64)) -> AnnotatedFrame:
    """A bright square on a dark, slightly noisy ground."""
    image = np.random.default_rng(0).integers(10, 30, (*size, 3)).astype(np.uint8)
    labels = np.zeros(size, np.uint8)
    labels[12:36, 20:40] = 1
    image[labels == 1] = 200
    return AnnotatedFrame(image, labels)


@pytest.mark.parametrize("lucid", [0.0, 1.0])
def test_mask_and_object_move_together(lucid: float) -> None:
    samples = OnlineSamples([annotated()], OnlineAugmentation(lucid=lucid, colour=0.0))
    sizes = set()
    for index in range(20):
        sample = samples.sample(index)
        bright = sample.image[..., 0] > 115
        found = (bright & (sample.labels == 1)).sum() / (bright | (sample.labels == 1)).sum()
        assert found > 0.85
        sizes.add(int((sample.labels == 1).sum()))
    assert len(sizes) > 10


def test_a_sample_is_a_function_of_seed_and_index() -> None:
    first, again = (OnlineSamples([annotated()], OnlineAugmentation(), seed=2).sample(7) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.previous, again.previous)
    other = OnlineSamples([annotated()], OnlineAugmentation(), seed=3).sample(7)
    assert not np.array_equal(first.image, other.image)


def test_several_frames_take_turns_and_one_may_lack_the_object() -> None:
    empty = AnnotatedFrame(np.full((48, 64, 3), 99, np.uint8), np.zeros((48, 64), np.uint8))
    samples = OnlineSamples([annotated(), empty], OnlineAugmentation(colour=0.0))
    shown = [bool((samples.sample(i).labels == 1).any()) for i in range(30)]
    assert any(shown)
    assert not all(shown)


def test_void_stays_void() -> None:
    frame = annotated()
    frame.labels[:10] = VOID
    for lucid in (0.0, 1.0):
        samples = OnlineSamples([frame], OnlineAugmentation(lucid=lucid))
        assert any((samples.sample(i).labels == VOID).any() for i in range(10))


def test_lost_previous_masks() -> None:
    samples = OnlineSamples([annotated()], OnlineAugmentation(lost=1.0))
    assert not any(samples.sample(i).previous.any() for i in range(5))


def test_an_object_at_the_border_is_brought_into_view() -> None:
    labels = np.zeros((48, 64), np.uint8)
    labels[40:, 58:] = 1
    frame = AnnotatedFrame(annotated().image, labels)

    def shown(in_view: float) -> list[bool]:
        samples = OnlineSamples([frame], OnlineAugmentation(lucid=0.0, in_view=in_view))
        return [bool((samples.sample(i).labels == 1).any()) for i in range(20)]

    assert not all(shown(0.0))
    assert all(shown(1.0))


def test_a_disguise_changes_the_object_alone() -> None:
    frame = annotated()
    mask = frame.labels == 1
    far = ~np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)), bool)
    colours = set()
    for seed in range(8):
        image = disguised(frame.image, mask, np.random.default_rng(seed))
        np.testing.assert_array_equal(image[far], frame.image[far])
        colours.add(tuple(image[24, 30].tolist()))
    assert len(colours) == 8


def test_a_disguised_object_has_its_previous_mask() -> None:
    samples = OnlineSamples([annotated()], OnlineAugmentation(in_view=1.0, lost=1.0, disguised=1.0))
    assert all(samples.sample(i).previous.any() for i in range(10))


def test_the_inpainted_frame_lacks_the_object() -> None:
    frame = annotated()
    filled = without_object(frame.image, frame.labels == 1)
    assert filled.max() < 80
    np.testing.assert_array_equal(filled[:, :8], frame.image[:, :8])
    np.testing.assert_array_equal(without_object(frame.image, np.zeros((48, 64), bool)), frame.image)


@pytest.mark.parametrize("case", ["pixel", "whole", "border"])
def test_extreme_objects(case: str) -> None:
    labels = np.zeros((48, 64), np.uint8)
    window = {"pixel": np.s_[5:6, 5:6], "whole": np.s_[:, :], "border": np.s_[:, -3:]}[case]
    labels[window] = 1
    samples = OnlineSamples([AnnotatedFrame(annotated().image, labels)], OnlineAugmentation())
    for index in range(6):
        assert samples.sample(index).image.shape == (48, 64, 3)


def test_frames_without_the_object() -> None:
    frame = AnnotatedFrame(annotated().image, np.zeros((48, 64), np.uint8))
    with pytest.raises(MaskError, match="None of the 1 annotated frames"):
        OnlineSamples([frame], OnlineAugmentation())


def test_shares_lie_between_0_and_1() -> None:
    with pytest.raises(OptionError, match=r"lucid = 2\.0"):
        OnlineAugmentation(lucid=2.0)


def test_a_picture_made_smaller_is_shown_once() -> None:
    """What lies beyond its border is no mirror image: it is blank, and void."""
    image, labels = np.full((60, 90, 3), 50, np.uint8), np.zeros((60, 90), np.uint8)
    image[30:58, 4:20], labels[30:58, 4:20] = 220, 1
    motion = replace(PAPER_MOTION, scale=(0.5, 0.5))
    augmentation = OnlineAugmentation(motion, lucid=0.0, damaged=0.0, lost=1.0, colour=0.0)
    samples = OnlineSamples([AnnotatedFrame(image, labels)], augmentation)
    for index in range(4):
        sample = samples.sample(index)
        inside = np.zeros((60, 90), bool)
        inside[15:45, 23:68] = True
        beyond = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
        assert cv2.connectedComponents((sample.labels == 1).astype(np.uint8))[0] == 2
        assert (sample.labels == 1).sum() == pytest.approx(28 * 16 / 4, rel=0.15)
        assert (sample.labels[beyond] == 255).all()
        assert (sample.image[beyond] == BLANK).all()
        assert (sample.labels[16:44, 24:67] != 255).all()
