"""Boundary refinement: edges are found, flat places kept, votes counted."""

from __future__ import annotations

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.ops.refine import guided_filter, superpixel_vote


def halves() -> tuple[np.ndarray, np.ndarray]:
    """A frame that is bright on the right, and its true mask."""
    frame = np.full((40, 60, 3), 30, np.uint8)
    frame[:, 30:] = 220
    return frame, frame[..., 0] > 100


def slow_guided_filter(probs: np.ndarray, guide: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Window by window, with numpy's own statistics; windows that leave the picture are left out."""
    H, W = probs.shape
    slopes, offsets = np.full((H, W), np.nan), np.full((H, W), np.nan)
    for y in range(radius, H - radius):
        for x in range(radius, W - radius):
            window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
            i, p = guide[window].ravel().astype(float), probs[window].ravel().astype(float)
            slopes[y, x] = np.cov(i, p, bias=True)[0, 1] / (i.var() + epsilon)
            offsets[y, x] = p.mean() - slopes[y, x] * i.mean()
    out = np.full((H, W), np.nan)
    for y in range(2 * radius, H - 2 * radius):
        for x in range(2 * radius, W - 2 * radius):
            window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
            out[y, x] = slopes[window].mean() * guide[y, x] + offsets[window].mean()
    return np.clip(out, 0, 1)


def test_like_its_slow_twin_away_from_the_border() -> None:
    random = np.random.default_rng(0)
    frame = np.repeat(random.integers(0, 256, (20, 24, 1), np.uint8), 3, axis=2)
    probs = random.random((20, 24)).astype(np.float32)
    slow = slow_guided_filter(probs, frame[..., 0].astype(np.float32) / 255, 2, 0.01)
    inner = np.isfinite(slow)
    np.testing.assert_allclose(
        guided_filter(probs, frame, radius_px=2, epsilon=0.01)[inner], slow[inner], atol=2e-3
    )


def test_a_coarse_mask_is_drawn_to_the_edge() -> None:
    frame, truth = halves()
    coarse = np.zeros(truth.shape, np.float32)
    coarse[:, 27:] = 1
    refined = guided_filter(coarse, frame, radius_px=8, epsilon=1e-3) > 0.5
    assert (refined != truth).sum() < 0.2 * ((coarse > 0.5) != truth).sum()


def test_on_a_flat_frame_probabilities_are_only_smoothed() -> None:
    frame = np.full((30, 30, 3), 128, np.uint8)
    flat = np.full((30, 30), 0.3, np.float32)
    np.testing.assert_allclose(guided_filter(flat, frame), flat, atol=1e-3)


def test_votes() -> None:
    superpixels = np.repeat(np.arange(4), 4).reshape(4, 4)
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    np.testing.assert_array_equal(superpixel_vote(mask, superpixels).any(1), [True, False, False, True])
    np.testing.assert_array_equal(superpixel_vote(mask, superpixels, 0.4).all(1), [True, True, False, True])


def test_what_makes_no_sense() -> None:
    frame, truth = halves()
    with pytest.raises(OptionError, match="both are above 0"):
        guided_filter(truth.astype(np.float32), frame, radius_px=0)
    with pytest.raises(OptionError, match="numbers start at 0"):
        superpixel_vote(truth, np.full(truth.shape, -1))
