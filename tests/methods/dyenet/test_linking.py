"""Linking: order, contradictions of both kinds, what is kept where tracklets agree; on hand-made masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.methods.dyenet.linking import (
    Clash,
    LinkingRules,
    contradiction_at_start,
    is_covered,
    linked,
)
from tinct.methods.dyenet.tracklets import RoiMask, Tracklet

Square = Callable[..., RoiMask]
Make = Callable[..., Tracklet]

RULES = LinkingRules()


def frames(square: Square, first: int, last: int, left: float, side: float = 20) -> dict[int, RoiMask]:
    return {t: square(left, 10, side) for t in range(first, last + 1)}


def test_the_most_similar_comes_first_painted_before_all_and_ties_by_frame_then_id(
    tracklet: Make, square: Square
) -> None:
    made = [
        tracklet(2, 0.8, 5, frames(square, 5, 5, 0)),
        tracklet(1, 1.0, 9, frames(square, 9, 9, 200)),
        tracklet(2, 1.0, 9, frames(square, 9, 9, 300)),
        tracklet(2, 1.0, 3, frames(square, 3, 3, 0)),
        tracklet(1, 1.0, 9, frames(square, 9, 9, 400), annotated=True),
    ]
    _, links = linked(made, RULES)
    assert [link.tracklet for link in links] == [4, 3, 1, 2, 0]


def test_a_tracklet_that_agrees_fills_what_is_missing(tracklet: Make, square: Square) -> None:
    sure = tracklet(1, 1.0, 0, frames(square, 0, 4, 10), annotated=True)
    found = tracklet(1, 0.8, 7, frames(square, 3, 9, 12))
    tubes, links = linked([found, sure], RULES)
    assert [held.tracklet for _, held in sorted(tubes[1].items())] == [1] * 5 + [0] * 5
    assert all(link.contradiction is None for link in links)


def test_the_mask_that_looks_more_like_the_object_may_be_preferred(tracklet: Make, square: Square) -> None:
    sure = tracklet(1, 1.0, 0, frames(square, 0, 9, 10), annotated=True)
    sure = replace(sure, similarities={t: 1 - 0.05 * t for t in range(1, 10)})
    found = tracklet(1, 0.8, 9, frames(square, 0, 9, 12))
    found = replace(found, similarities=dict.fromkeys(range(10), 0.8))

    def givers(rules: LinkingRules) -> list[int]:
        tubes, links = linked([sure, found], rules)
        assert all(link.contradiction is None for link in links)
        return [held.tracklet for _, held in sorted(tubes[1].items())]

    assert givers(LinkingRules()) == [0] * 10
    assert givers(LinkingRules(prefer="similar")) == [0] * 5 + [1] * 5
    assert givers(LinkingRules(prefer="similar", overrule_margin=0.12)) == [0] * 7 + [1] * 3


def test_of_two_painted_frames_the_nearer_gives_the_mask(tracklet: Make, square: Square) -> None:
    first = tracklet(1, 1.0, 0, frames(square, 0, 9, 10), annotated=True)
    second = tracklet(1, 1.0, 10, frames(square, 1, 10, 12), annotated=True)
    tubes, _ = linked([first, second], RULES)
    assert [held.tracklet for _, held in sorted(tubes[1].items())] == [0] * 6 + [1] * 5


def test_elsewhere_than_the_own_tube_is_a_contradiction(tracklet: Make, square: Square) -> None:
    sure = tracklet(1, 0.9, 0, frames(square, 0, 5, 10))
    wrong = tracklet(1, 0.8, 8, frames(square, 4, 8, 25))
    tubes, links = linked([sure, wrong], RULES)
    assert sorted(tubes[1]) == list(range(6))
    contradiction = links[1].contradiction
    assert links[1].frames == ()
    assert contradiction is not None
    assert (contradiction.kind, contradiction.frame, contradiction.with_id) == (Clash.OWN, 5, 1)
    assert contradiction.amount == pytest.approx(5 / 35, abs=0.02)


def test_the_overlap_with_the_own_tube_counts_on_the_mean(tracklet: Make, square: Square) -> None:
    sure = tracklet(1, 0.9, 0, frames(square, 0, 5, 10))
    mostly = tracklet(1, 0.8, 3, {2: square(10, 10, 20), 3: square(10, 10, 20), 4: square(60, 10, 20)})
    assert linked([sure, mostly], RULES)[1][1].contradiction is None
    hardly = tracklet(1, 0.8, 3, {2: square(60, 10, 20), 3: square(10, 10, 20), 4: square(60, 10, 20)})
    assert linked([sure, hardly], RULES)[1][1].contradiction is not None


def test_on_another_objects_mask_is_a_contradiction(tracklet: Make, square: Square) -> None:
    other = tracklet(2, 0.9, 0, frames(square, 0, 5, 50))
    thief = tracklet(1, 0.8, 9, {**frames(square, 4, 9, 10), 5: square(45, 8, 40)})
    tubes, links = linked([other, thief], RULES)
    contradiction = links[1].contradiction
    assert not tubes[1]
    assert contradiction is not None
    assert (contradiction.kind, contradiction.frame, contradiction.with_id) == (Clash.OTHER, 5, 2)
    assert contradiction.amount > 0.9


def test_touching_another_object_is_none(tracklet: Make, square: Square) -> None:
    other = tracklet(2, 0.9, 0, frames(square, 0, 5, 50))
    beside = tracklet(1, 0.8, 3, frames(square, 0, 5, 32))
    tubes, _ = linked([other, beside], RULES)
    assert len(tubes[1]) == 6


def test_a_lower_ranked_tracklet_does_not_refuse_a_higher_one(tracklet: Make, square: Square) -> None:
    weak = tracklet(2, 0.75, 0, frames(square, 0, 5, 50))
    strong = tracklet(1, 0.8, 3, frames(square, 0, 5, 50))
    tubes, _ = linked([weak, strong], RULES)
    assert len(tubes[1]) == 6
    assert not tubes[2]


def test_a_painted_tracklet_is_never_refused(tracklet: Make, square: Square) -> None:
    first = tracklet(1, 1.0, 0, frames(square, 0, 5, 50), annotated=True)
    second = tracklet(2, 1.0, 0, frames(square, 0, 5, 50), annotated=True)
    tubes, links = linked([first, second], RULES)
    assert len(tubes[1]) == len(tubes[2]) == 6
    assert all(link.contradiction is None for link in links)


def test_trimming_keeps_what_lies_around_the_starting_point(tracklet: Make, square: Square) -> None:
    other = tracklet(2, 0.9, 0, frames(square, 0, 3, 50))
    own = tracklet(1, 0.9, 20, frames(square, 12, 20, 100))
    found = tracklet(1, 0.8, 8, {**frames(square, 0, 11, 50), 12: square(10, 10, 20)})
    tubes, links = linked([other, own, found], LinkingRules(trim=True))
    link = next(link for link in links if link.tracklet == 2)
    assert link.frames == tuple(range(4, 12))
    assert link.contradiction is not None
    assert link.contradiction.frame == 12  # four frames away; the other one lies five away
    assert sorted(tubes[1]) == list(range(4, 21))
    at_start = tracklet(1, 0.8, 3, frames(square, 0, 11, 50))
    assert linked([other, at_start], LinkingRules(trim=True))[1][1].frames == ()


def test_a_starting_point_is_covered_by_its_own_tube_only(tracklet: Make, square: Square) -> None:
    tubes, _ = linked([tracklet(1, 0.9, 0, frames(square, 0, 5, 50))], RULES)
    same = tracklet(1, 0.8, 3, {3: square(52, 10, 20)}).start
    assert is_covered(same, tubes, 0.5)
    assert not is_covered(same, tubes, 0.95)
    assert not is_covered(tracklet(2, 0.8, 3, {3: square(52, 10, 20)}).start, tubes, 0.5)
    assert not is_covered(tracklet(1, 0.8, 6, {6: square(52, 10, 20)}).start, tubes, 0.5)


def test_what_a_starting_point_contradicts_is_known_before_propagation(
    tracklet: Make, square: Square
) -> None:
    tubes, _ = linked([tracklet(1, 0.9, 0, frames(square, 0, 5, 50))], RULES)

    def kind(object_id: int, similarity: float, left: float) -> Clash | None:
        start = tracklet(object_id, similarity, 3, {3: square(left, 10, 20)}).start
        found = contradiction_at_start(start, tubes, RULES)
        return None if found is None else found.kind

    assert kind(2, 0.8, 50) is Clash.OTHER
    assert kind(1, 0.8, 90) is Clash.OWN
    assert kind(2, 0.8, 90) is None
    assert kind(2, 0.95, 50) is None  # it ranks higher, and will be linked first


@pytest.mark.parametrize(
    ("changes", "message"), [({"prefer": "similiar"}, "similar"), ({"least_iou": 1.5}, "shares")]
)
def test_rules_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LinkingRules(**changes)  # type: ignore[arg-type]


def test_empty_masks_overlap_nothing() -> None:
    from tinct.methods.dyenet.tracklets import overlaps

    empty = RoiMask((0.0, 0.0, 10.0, 10.0), np.zeros((8, 8), np.float16))
    full = RoiMask((0.0, 0.0, 10.0, 10.0), np.ones((8, 8), np.float16))
    (overlap,) = overlaps([empty], [full])
    assert (overlap.iou, overlap.share_of_second) == (0.0, 0.0)
    (overlap,) = overlaps([full], [empty])
    assert (overlap.iou, overlap.share_of_second) == (0.0, 0.0)
    assert overlaps([], []) == []


def test_a_tube_that_drifted_is_overruled_where_it_looks_less_like_the_object(
    tracklet: Make, square: Square
) -> None:
    sure = tracklet(1, 1.0, 0, frames(square, 0, 9, 10), annotated=True)
    drifted = replace(sure, similarities={t: 0.9 if t < 4 else 0.3 for t in range(10)})
    again = tracklet(1, 0.8, 8, frames(square, 2, 9, 60))
    again = replace(again, similarities=dict.fromkeys(range(2, 10), 0.8))
    looking = LinkingRules(trim=True, overrule_margin=0.2)
    tubes, links = linked([drifted, again], looking)
    assert [held.tracklet for _, held in sorted(tubes[1].items())] == [0] * 4 + [1] * 6
    assert links[1].frames == tuple(range(4, 10))
    assert contradiction_at_start(again.start, linked([drifted], looking)[0], looking) is None
    for rules in (LinkingRules(trim=True), LinkingRules(trim=True, overrule_margin=0.6)):
        assert linked([drifted, again], rules)[1][1].frames == ()
        assert contradiction_at_start(again.start, linked([drifted], rules)[0], rules) is not None
