"""The rules that end a propagation, one by one, and the ways of a walk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinct.methods.dyenet.propagation import box_reason, has_faded, yields_to_nearer
from tinct.methods.dyenet.tracklets import RoiMask, Stop, Tracklet

Square = Callable[..., RoiMask]
Make = Callable[..., Tracklet]


@pytest.mark.parametrize(
    ("box", "seen", "reason"),
    [
        ((0.0, 0.0, 40.0, 30.0), False, Stop.EMPTY),
        ((0.0, 0.0, 40.0, 30.0), True, None),
        ((10.0, 10.0, 17.0, 17.0), True, Stop.SMALL),
        ((10.0, 10.0, 12.0, 60.0), True, None),  # a pole is thin, not small
        ((10.0, 10.0, 18.0, 11.0), True, None),
    ],
)
def test_an_empty_or_too_small_warped_mask_ends_it(
    box: tuple[float, ...], seen: bool, reason: Stop | None
) -> None:
    assert box_reason(box, seen, 8.0) is reason


@pytest.mark.parametrize(
    ("area", "start", "annotated", "faded"),
    [
        (100.0, 1000.0, 1000.0, False),
        (99.0, 1000.0, 1000.0, True),
        (99.0, 500.0, 1000.0, False),  # it came back smaller: its own size counts
        (99.0, 4000.0, 1000.0, True),  # it came nearer: the painted size counts
        (0.0, 1000.0, 0.0, True),
    ],
)
def test_a_mask_that_is_a_tenth_of_what_it_was_ends_it(
    area: float, start: float, annotated: float, faded: bool
) -> None:
    assert has_faded(area, start, annotated, 0.1) is faded


def test_an_empty_mask_ends_it_whatever_the_share() -> None:
    assert has_faded(0.0, 10.0, 10.0, 0.0)


def test_a_nearer_and_no_less_similar_start_of_the_same_object_ends_it(
    tracklet: Make, square: Square
) -> None:
    def known(object_id: int, similarity: float, *, annotated: bool = False) -> Tracklet:
        masks = {t: square(10, 10, 20) for t in range(4, 11)}
        return tracklet(object_id, similarity, 10, masks, annotated=annotated)

    start = tracklet(1, 0.8, 0, {0: square(10, 10, 20)}).start
    assert yields_to_nearer(start, 6, [known(1, 0.8)])
    assert yields_to_nearer(start, 6, [known(1, 0.1, annotated=True)])
    assert not yields_to_nearer(start, 5, [known(1, 0.8)])  # equally near
    assert not yields_to_nearer(start, 6, [known(1, 0.79)])
    assert not yields_to_nearer(start, 6, [known(2, 0.9)])
    assert not yields_to_nearer(start, 11, [known(1, 0.9)])  # nearer, but it has no mask there
