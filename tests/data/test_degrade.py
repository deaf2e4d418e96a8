from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.data import degrade
from tinct.data.degrade import degrade_mask


def disc(height: int, width: int, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.asarray((rows - height / 2) ** 2 + (columns - width / 2) ** 2 < radius**2)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40), width=st.integers(1, 40), radius=st.floats(0, 20), seed=st.integers(0, 10_000)
)
def test_a_damaged_mask_is_a_soft_mask_of_the_same_size(
    height: int, width: int, radius: float, seed: int
) -> None:
    mask = disc(height, width, radius)
    before = mask.copy()
    damaged = degrade_mask(mask, np.random.default_rng(seed))
    assert damaged.shape == (height, width)
    assert damaged.dtype == np.uint8
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(damaged, degrade_mask(mask, np.random.default_rng(seed)))
    if not mask.any():
        assert not damaged.any()


def test_damage_is_done_but_the_object_stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degrade, "EMPTIED", 0.0)
    mask = disc(60, 80, 18)
    overlaps = []
    for seed in range(60):
        damaged = degrade_mask(mask, np.random.default_rng(seed)) > 127
        overlaps.append((damaged & mask).sum() / (damaged | mask).sum())
    assert max(overlaps) < 1
    assert np.median(overlaps) > 0.7
    assert min(overlaps) < np.median(overlaps) - 0.1


def test_one_in_thirty_is_lost() -> None:
    mask = disc(20, 20, 6)
    lost = sum(not degrade_mask(mask, np.random.default_rng(seed)).any() for seed in range(600))
    assert 8 <= lost <= 40
