"""Edits of masks: what each promises, on random masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.ops.mask_edits import (
    feather,
    fill_holes,
    grow,
    keep_apart,
    remove_specks,
    signed_distance_px,
    smooth,
    steady,
)

SEEDS = st.integers(0, 2**32 - 1)
many = settings(max_examples=40, deadline=None)


def blobs(seed: int, shape: tuple[int, ...] = (18, 23)) -> np.ndarray:
    """A random mask of blobs, holes and specks."""
    random = np.random.default_rng(seed)
    return random.random(shape) < random.choice([0.2, 0.5, 0.8])


def bar(x: int) -> np.ndarray:
    mask = np.zeros((30, 80), bool)
    mask[:, x : x + 15] = True
    return mask


@many
@given(SEEDS, st.integers(0, 30))
def test_filling_and_despeckling_twice_is_as_once(seed: int, px: int) -> None:
    mask = blobs(seed)
    for edit in (fill_holes, remove_specks):
        once = edit(mask, px)
        np.testing.assert_array_equal(edit(once, px), once)
    assert not (mask & ~fill_holes(mask, px)).any()
    assert not (remove_specks(mask, px) & ~mask).any()
    assert remove_specks(mask, px).any() == mask.any()


def test_holes_and_specks_by_their_area() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:12, 2:14] = True
    mask[4:6, 4:6] = False  # a hole of 4
    mask[7:10, 7:10] = False  # and one of 9
    mask[2:8, 13] = False  # a bay is no hole
    mask[15, 20:23] = True  # a speck of 3
    mask[18, 25] = True
    filled = fill_holes(mask, 4)
    assert filled[4:6, 4:6].all()
    assert not filled[7:10, 7:10].any()
    assert not filled[2:8, 13].any()
    assert remove_specks(mask, 2)[15, 20:23].all()
    assert not remove_specks(mask, 3)[15:].any()
    lonely = np.zeros((5, 5), bool)
    lonely[1, 1] = True
    assert remove_specks(lonely, 100).any()


@many
@given(SEEDS, st.integers(0, 4), st.integers(0, 4))
def test_growing_is_monotone_and_shrinking_its_mirror(seed: int, less: int, more: int) -> None:
    less, more = sorted((less, more))
    alpha = np.random.default_rng(seed).random((14, 19)).astype(np.float32) * blobs(seed, (14, 19))
    assert (grow(alpha, less) <= grow(alpha, more)).all()
    assert (grow(alpha, -less) >= grow(alpha, -more)).all()
    assert (grow(alpha, -more) <= alpha).all()
    assert (alpha <= grow(alpha, more)).all()
    np.testing.assert_allclose(grow(1 - alpha, more), 1 - grow(alpha, -more), atol=1e-6)


def test_growing_moves_the_edge_by_so_much_and_the_border_is_no_edge() -> None:
    half = np.zeros((9, 30), np.float32)
    half[:, :10] = 1
    for by_px in (-3, 0, 4):
        np.testing.assert_array_equal(grow(half, by_px).sum(axis=1), 10 + by_px)


@many
@given(SEEDS, st.floats(0.5, 9))
def test_a_feather_leaves_the_half_where_it_is(seed: int, radius_px: float) -> None:
    random = np.random.default_rng(seed)
    for alpha in (blobs(seed).astype(np.float32), random.random((18, 23), np.float32)):
        soft = feather(alpha, radius_px)
        assert soft.min() >= 0
        assert soft.max() <= 1
        np.testing.assert_array_equal(soft > 0.5, alpha > 0.5)


def test_a_feather_is_a_ramp() -> None:
    half = np.zeros((20, 20), np.float32)
    half[:, :10] = 1
    expected = np.clip(0.5 + (9.5 - np.arange(20)) / 8, 0, 1)
    np.testing.assert_allclose(feather(half, 4), np.tile(expected, (20, 1)), atol=1e-6)
    for whole in (np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)):
        np.testing.assert_array_equal(feather(whole, 4), whole)


@many
@given(SEEDS, st.integers(0, 4))
def test_a_mask_that_stands_still_stays_exactly(seed: int, reach: int) -> None:
    mask = blobs(seed)
    np.testing.assert_array_equal(steady([mask] * (2 * reach + 1)), mask)


def test_chatter_goes_and_even_motion_stays() -> None:
    edges = np.random.default_rng(0).integers(-2, 3, (5, 30, 1))
    jitter = [bar(12) & (np.arange(80) < 25 + edge) for edge in edges]
    still = bar(12) & (np.arange(80) < 25)
    assert (steady(jitter) != still).sum() < 0.8 * (jitter[2] != still).sum()
    for speed in (1, 3, 9):
        moving = [bar(30 + speed * t) for t in (-2, -1, 0, 1, 2)]
        np.testing.assert_array_equal(steady(moving), bar(30))
    flash = bar(5)
    flash[:5, 40:50] = True
    np.testing.assert_array_equal(steady([bar(5), flash, bar(5)]), bar(5))
    empty = np.zeros((30, 80), bool)
    np.testing.assert_array_equal(steady([empty, bar(12), bar(18)]), bar(12))
    assert not steady([bar(12), empty, bar(12)]).any()


def test_smoothing_rounds_corners_and_leaves_straight_edges_and_the_border() -> None:
    np.testing.assert_array_equal(smooth(bar(12), 3), bar(12))
    bumpy = bar(12).copy()
    bumpy[20, 27:29] = True
    np.testing.assert_array_equal(smooth(bumpy, 2), bar(12))
    assert smooth(np.ones((5, 5), bool), 3).all()


@many
@given(SEEDS)
def test_distances_have_the_sign_of_the_mask(seed: int) -> None:
    mask = blobs(seed)
    np.testing.assert_array_equal(signed_distance_px(mask) > 0, mask)
    np.testing.assert_allclose(signed_distance_px(~mask), -signed_distance_px(mask))


@many
@given(SEEDS)
def test_objects_are_kept_apart(seed: int) -> None:
    random = np.random.default_rng(seed)
    alphas = random.random((3, 6, 7), np.float32)
    labels = random.integers(0, 4, (6, 7))
    owners = labels[None] == np.arange(1, 4).reshape(-1, 1, 1)
    apart = keep_apart(alphas, owners)
    assert apart.sum(axis=0).max() <= 1 + 1e-6
    assert (apart <= alphas + 1e-6).all()
    np.testing.assert_array_equal(apart[owners], alphas[owners])
    nobody = labels == 0
    np.testing.assert_allclose(apart.sum(axis=0)[nobody], alphas.max(axis=0)[nobody], atol=1e-6)


def test_nothing_is_edited_by_zero() -> None:
    mask = blobs(3)
    alpha = mask.astype(np.float32)
    assert fill_holes(mask, 0) is remove_specks(mask, 0) is smooth(mask, 0) is mask
    assert grow(alpha, 0) is feather(alpha, 0) is alpha
    with pytest.raises(IndexError):
        steady([])
