from __future__ import annotations

from itertools import permutations

import pytest

from tinct.io.natural_order import natural_key


@pytest.mark.parametrize(
    "ordered",
    [
        ["frame2", "frame10"],
        ["1", "2", "10", "a"],
        ["01", "1", "02"],
        ["a", "a1", "a1-b", "a1b"],
        ["9", "²", "٣"],
    ],
)
def test_numbers_compare_as_numbers_and_names_settle_ties(ordered: list[str]) -> None:
    for order in permutations(ordered):
        assert sorted(order, key=natural_key) == ordered
