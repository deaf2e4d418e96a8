from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tinct.data.mixture import Mixture, fingerprint
from tinct.errors import OptionError


def test_sets_are_drawn_by_weight_and_entries_alike() -> None:
    mixture = Mixture((1, 3), (3.0, 1.0))
    random = np.random.default_rng(0)
    drawn = Counter(mixture.draw(random) for _ in range(12_000))
    assert [drawn[i] / 12_000 for i in range(4)] == pytest.approx([0.75, 1 / 12, 1 / 12, 1 / 12], abs=0.015)


def test_one_set_is_drawn_as_without_a_mixture() -> None:
    mixture, one, other = Mixture.of_one(7), np.random.default_rng(3), np.random.default_rng(3)
    assert [mixture.draw(one) for _ in range(9)] == [int(other.integers(7)) for _ in range(9)]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_are_above_0(weight: float) -> None:
    with pytest.raises(OptionError, match="weights are above"):
        Mixture((1, 1), (1.0, weight))


def test_a_fingerprint_is_of_names_and_order() -> None:
    assert fingerprint(["a", "b"]) == fingerprint(iter(["a", "b"]))
    assert len({fingerprint(names) for names in (["a", "b"], ["b", "a"], ["ab"], [])}) == 4


def test_fewer_are_chosen_evenly_from_each_set() -> None:
    mixture = Mixture((5, 10), (1.0, 1.0))
    assert mixture.evenly(6) == [[0, 4], [5, 8, 11, 14]]
    assert mixture.evenly(99) == [list(range(5)), list(range(5, 15))]
    assert mixture.evenly(1) == [[0], [5]]
