from __future__ import annotations

import random
import re
from itertools import permutations

import pytest

from tinct.io.natural_order import natural_key, natural_order


@pytest.mark.parametrize(
    "ordered",
    [
        ["frame2", "frame10"],
        ["1", "2", "10", "a"],
        ["01", "1", "02"],
        ["a", "a1", "a1-b", "a1b"],
        ["9", "²", "٣"],
        ["0", "0.04", "0.08", "0.2", "0.44", "1"],
        ["t=0", "t=0.04", "t=0.2"],
        ["frame_0.0", "frame_0.04", "frame_0.1", "frame_1.0"],
        ["-5", "-1", "0", "6", "10"],
        ["-0.4", "-0.16", "0", "0.2"],
        ["x_-2", "x_-1", "x_3"],
        ["shot-1", "shot-5", "shot-10"],
        ["2024-01-02", "2024-1-3"],
        ["shot.0001", "shot.0002", "shot.10"],
        ["v1.2.9", "v1.2.10"],
    ],
)
def test_numbers_compare_as_numbers_and_names_settle_ties(ordered: list[str]) -> None:
    for order in permutations(ordered):
        assert natural_order(order) == ordered


@pytest.mark.parametrize("prefix", ["", "scene_"])
def test_counted_parts_behind_a_point_are_no_decimals(prefix: str) -> None:
    ordered = [f"{prefix}1.{part}" for part in range(1, 31)]
    assert natural_order(reversed(ordered)) == ordered


def test_decimals_of_one_length_may_end_in_zeros() -> None:
    ordered = [f"{index * 0.04:.2f}" for index in range(300)]
    assert natural_order(reversed(ordered)) == ordered


def key_before_decimals(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """The order of names until decimals and signs were known."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if p.isdigit() and p.isascii() else (1, 0, p) for p in parts if p], name


def test_names_without_points_and_signs_have_their_old_keys() -> None:
    draw = random.Random(0)
    for _ in range(3000):
        name = "".join(draw.choices("0123456789012ab_ =+²٣é", k=draw.randrange(12)))
        assert natural_key(name) == natural_key(name, decimals=False) == key_before_decimals(name)


def test_things_are_ordered_by_their_names() -> None:
    assert natural_order([(10, "a"), (9, "b")], lambda pair: str(pair[0])) == [(9, "b"), (10, "a")]
