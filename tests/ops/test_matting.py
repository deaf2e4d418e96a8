"""Mattes: the matting Laplacian like its loops, alphas that solve it, edges that are found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.ops import matting
from tinct.ops.matting import closed_form_alpha, edge_band, guided_alpha, matting_laplacian


def slow_laplacian(frame: np.ndarray) -> np.ndarray:
    """Levin et al., eq. 12, pair by pair."""
    H, W = frame.shape[:2]
    colours = frame.reshape(-1, 3) / 255
    whole = np.zeros((H * W, H * W))
    for y in range(1, H - 1):
        for x in range(1, W - 1):
            window = [(y + dy) * W + x + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            mean = colours[window].mean(axis=0)
            spread = np.cov(colours[window].T, bias=True) + matting.CLOSED_FORM_EPSILON / 9 * np.eye(3)
            for i in window:
                for j in window:
                    near = (colours[i] - mean) @ np.linalg.inv(spread) @ (colours[j] - mean)
                    whole[i, j] += (i == j) - (1 + near) / 9
    return whole


def furry(seed: int = 0, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A warm object with a soft, ragged right edge on a cool ground, and its true alpha."""
    random = np.random.default_rng(seed)
    ends = size / 2 + random.normal(0, 2, (size, 1))
    alpha = np.clip((ends - np.arange(size)) / 4 + 0.5, 0, 1)
    colours = alpha[..., None] * [200, 120, 40] + (1 - alpha[..., None]) * [30, 60, 120]
    return np.rint(colours).astype(np.uint8), alpha.astype(np.float32)


def test_the_laplacian_is_like_its_slow_twin() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (6, 7, 3), np.uint8)
    rows = np.random.default_rng(2).random((6, 7)) < 0.6
    slow = slow_laplacian(frame)
    fast = matting_laplacian(frame, rows)
    expected = np.zeros_like(fast)
    for number, (y, x) in enumerate(np.argwhere(rows)):
        for place in range(25):
            other_y, other_x = y + place // 5 - 2, x + place % 5 - 2
            if 0 <= other_y < 6 and 0 <= other_x < 7:
                expected[place, number] = slow[y * 7 + x, other_y * 7 + other_x]
    np.testing.assert_allclose(fast, expected, atol=1e-8)


def test_closed_form_alpha_solves_its_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matting, "TOLERANCE", 1e-10)
    frame = np.random.default_rng(1).integers(0, 256, (8, 9, 3), np.uint8)
    start = np.zeros((8, 9), np.float32)
    start[:, :4] = 1
    band = edge_band(start > 0.5, 2)
    found = matting.closed_form_alpha(frame, start, band).reshape(-1)
    slow, unknown = slow_laplacian(frame), band.reshape(-1)
    known = np.where(unknown, 0, start.reshape(-1))
    prior = matting.PRIOR * np.eye(int(unknown.sum()))
    wanted = matting.PRIOR * start.reshape(-1)[unknown] - (slow @ known)[unknown]
    exact = np.linalg.solve(slow[unknown][:, unknown] + prior, wanted).clip(0, 1)
    np.testing.assert_allclose(found[unknown], exact, atol=1e-4)
    np.testing.assert_array_equal(found[~unknown], known[~unknown])


@pytest.mark.parametrize("matte", ["guided", "closed-form"])
def test_a_soft_edge_is_found_from_a_hard_mask_that_is_a_little_off(matte: str) -> None:
    frame, truth = furry()
    hard = np.zeros_like(truth)
    hard[:, :23] = 1  # straight, and three pixels too far
    band = edge_band(hard > 0.5, 8)
    alpha = guided_alpha(frame, hard, band, 8)
    if matte == "closed-form":
        alpha = closed_form_alpha(frame, alpha, band)
    assert np.abs(alpha - truth).mean() < np.abs(hard - truth).mean() / (1.1 if matte == "guided" else 1.5)
    np.testing.assert_array_equal(alpha[~band], hard[~band])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_alphas_lie_between_0_and_1_on_any_frame(seed: int, radius_px: int, H: int, W: int) -> None:
    random = np.random.default_rng(seed)
    frame = random.integers(0, 256, (H, W, 3), np.uint8)
    mask = random.random((H, W)) < 0.5
    band = edge_band(mask, radius_px)
    for alpha in (
        guided_alpha(frame, mask.astype(np.float32), band, radius_px),
        closed_form_alpha(frame, mask.astype(np.float32), band),
    ):
        assert np.isfinite(alpha).all()
        assert alpha.min() >= 0
        assert alpha.max() <= 1
        np.testing.assert_array_equal(alpha[~band], mask[~band])


def test_without_an_edge_there_is_no_band() -> None:
    frame = np.zeros((5, 6, 3), np.uint8)
    for mask in (np.zeros((5, 6), bool), np.ones((5, 6), bool)):
        band = edge_band(mask, 3)
        assert not band.any()
        np.testing.assert_array_equal(guided_alpha(frame, mask.astype(np.float32), band, 3), mask)
        np.testing.assert_array_equal(closed_form_alpha(frame, mask.astype(np.float32), band), mask)
