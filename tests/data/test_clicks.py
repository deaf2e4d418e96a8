"""Simulated clicks against slow twins, and the samples that begin with a prompt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.data.click_samples import ClickOptions, ClickSamples, first_prompt
from tinct.data.clicks import draw_clicks, random_error_click, worst_error_click
from tinct.data.masked_frames import Pictures
from tinct.errors import DatasetError
from tinct.shapes import VOID, Image, LabelMap

seeds = st.integers(0, 10_000)


def blobs(draws: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A few rectangles."""
    mask = np.zeros((height, width), np.bool_)
    for _ in range(3):
        y, x = draws.integers(height), draws.integers(width)
        mask[y : y + draws.integers(1, 8), x : x + draws.integers(1, 8)] = True
    return mask


def reaches(region: np.ndarray) -> np.ndarray:
    """How far each pixel of a region is from the next one that is not of it; the border is no part of it."""
    around = np.pad(region, 1)
    outside = np.argwhere(~around)
    found = np.zeros(region.shape)
    for y, x in np.argwhere(region):
        found[y, x] = np.hypot(*(outside - (y + 1, x + 1)).T).min()
    return found


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_the_worst_click_is_farthest_from_all_that_is_right(seed: int) -> None:
    draws = np.random.default_rng(seed)
    truth, found, decided = blobs(draws, 17, 23), blobs(draws, 17, 23), ~blobs(draws, 17, 23)
    missed, excess = reaches(truth & ~found & decided), reaches(found & ~truth & decided)
    click = worst_error_click(truth, found, decided)
    if max(missed.max(), excess.max()) == 0:
        assert click is None
        return
    assert click is not None
    x, y, inside = click
    of_its_side = missed if inside else excess
    # OpenCV's distances are approximate: a twentieth.
    assert of_its_side[int(y), int(x)] >= 0.95 * max(missed.max(), excess.max())
    assert (x % 1, y % 1) == (0.5, 0.5)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_random_clicks_reach_every_wrong_pixel_and_no_other(seed: int) -> None:
    draws = np.random.default_rng(seed)
    truth, found, decided = blobs(draws, 4, 5), blobs(draws, 4, 5), draws.random((4, 5)) < 0.8
    wrong = (truth != found) & decided
    reached = np.zeros_like(wrong)
    for _ in range(300):
        click = random_error_click(truth, found, draws, decided)
        if click is not None:
            x, y, inside = click
            assert inside == truth[int(y), int(x)]
            reached[int(y), int(x)] = True
    np.testing.assert_array_equal(reached, wrong)


def test_a_click_is_a_disk_around_it() -> None:
    canvas = np.zeros((20, 30), np.float32)
    draw_clicks(canvas, [(10.5, 8.5), (29.5, 19.5)], 4.0)
    ys, xs = np.mgrid[:20, :30] + 0.5
    apart = np.minimum(np.hypot(xs - 10.5, ys - 8.5), np.hypot(xs - 29.5, ys - 19.5))
    assert (canvas[apart <= 3.5] == 1).all()
    assert (canvas[apart > 4.6] == 0).all()


class Squares(Pictures):
    """Two objects and a line of void."""

    def __len__(self) -> int:
        return 4

    def read(self, index: int) -> tuple[Image, LabelMap]:
        image, labels = np.zeros((60, 90, 3), np.uint8), np.zeros((60, 90), np.uint8)
        labels[8:42, 5:35], labels[18:52, 50:85] = 3, 7
        image[labels == 3], image[labels == 7] = 90, 220
        labels[25] = VOID
        return image, labels


class Nothing(Squares):
    def read(self, index: int) -> tuple[Image, LabelMap]:
        return np.zeros((60, 90, 3), np.uint8), np.zeros((60, 90), np.uint8)


def test_a_sample_is_a_function_of_its_index_and_shows_one_object() -> None:
    samples = ClickSamples([(Squares(), 1.0)], ClickOptions(side=64, colour=0.0))
    shown = set()
    for index in range(12):
        sample, again = samples[index], samples[index]
        assert all(torch.equal(sample[name], again[name]) for name in ("frames", "labels", "prompt"))
        assert [tuple(sample[name].shape) for name in ("frames", "labels", "prompt")] == [
            (64, 64, 3), (64, 64), (4, 64, 64),
        ]  # fmt: skip
        assert set(sample["labels"].unique().tolist()) <= {0, 1, VOID}
        of_object = sample["frames"][sample["labels"] == 1].float().mean()
        shown.add(90 if abs(of_object - 90) < abs(of_object - 220) else 220)
    assert shown == {90, 220}
    with pytest.raises(DatasetError, match="showed no object"):
        ClickSamples([(Nothing(), 1.0)], ClickOptions(side=64))[0]


@pytest.mark.parametrize("kind", ["box", "scribble", "previous", "none"])
def test_what_a_sample_begins_with(kind: str) -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[20:44, 10:50] = True
    plain = ClickOptions(box=0.0, scribble=0.0, previous=0.0)
    options = plain if kind == "none" else replace(plain, **{kind: 1.0})
    for seed in range(10):
        prompt = first_prompt(mask, np.random.default_rng(seed), options)
        drawn = [bool(drawn.any()) for drawn in prompt]
        assert drawn == [kind == "scribble", False, kind == "box", kind == "previous"]
        if kind == "scribble":
            assert not prompt[0][~mask].any()
        if kind == "box":
            slack = 0.06 * 40 + 1
            rows, columns = np.flatnonzero(prompt[2].any(1)), np.flatnonzero(prompt[2].any(0))
            edges = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1])
            assert np.abs(edges - [20, 44, 10, 50]).max() <= slack
        if kind == "previous":
            assert ((prompt[3] > 0.5) & mask).sum() > 0.5 * mask.sum()
