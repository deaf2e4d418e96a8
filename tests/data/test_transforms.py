from __future__ import annotations

import numpy as np

from tinct.data.transforms import jitter_colours


def clip(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, 8, 9, 3)).astype(np.uint8)


def test_the_same_random_state_gives_the_same_colours() -> None:
    images = clip()
    before = images.copy()
    first = jitter_colours(images, np.random.default_rng(1))
    np.testing.assert_array_equal(first, jitter_colours(images, np.random.default_rng(1)))
    assert (first != jitter_colours(images, np.random.default_rng(2))).any()
    np.testing.assert_array_equal(images, before)
    assert first.shape == images.shape
    assert first.dtype == np.uint8


def test_no_strength_changes_nothing() -> None:
    images = clip()
    np.testing.assert_allclose(jitter_colours(images, np.random.default_rng(1), strength=0.0), images, atol=1)


def test_frames_of_a_clip_change_alike() -> None:
    """The same picture in all frames: the clip's change is larger than the difference between frames."""
    images = np.repeat(clip()[:1], 3, axis=0)
    within, between = [], []
    for seed in range(30):
        changed = jitter_colours(images, np.random.default_rng(seed)).astype(float)
        within.append(np.abs(changed[1:] - changed[:-1]).mean())
        between.append(np.abs(changed - images).mean())
    assert np.mean(within) < 0.5 * np.mean(between)
