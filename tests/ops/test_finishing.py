"""Finishing: its checks, its rules, and what it does to the objects of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.io.masks import ObjectMasks
from tinct.ops.finishing import Finishing, FinishingRule, FrameSource, finish, finishing_of, rule_of

H, W = 24, 32


def two_objects(index: int = 0) -> np.ndarray:
    """Object 3 has a hole, object 7 lies beside it and has a speck."""
    labels = np.zeros((H, W), np.uint8)
    labels[6:18, 4:16] = 3
    labels[10:12, 8:10] = 0
    labels[6:18, 16:26] = 7
    labels[21, 29] = 7
    return labels


def frame(index: int = 0) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (H, W, 3), np.uint8)


SOURCE = FrameSource(5, two_objects, frame=frame)


def finished(*rules: FinishingRule, source: FrameSource = SOURCE, index: int = 2) -> ObjectMasks:
    return finish(source, rules, (3, 7), index)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"feather_px": -1}, "from 0 to 200"),
        ({"grow_px": -201}, "from -200 to 200"),
        ({"steady_frames": 11}, "from 0 to 10"),
        ({"matte_px": 0}, "from 1 to 200"),
        ({"fill_holes_px": -1}, "from 0 up"),
        ({"smooth_px": float("nan")}, "smooth_px nan"),
    ],
)
def test_what_is_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Finishing(**values)
    with pytest.raises(OptionError, match=message):
        rule_of(values)


def test_rules_go_through_json() -> None:
    rule = FinishingRule(Finishing(grow_px=-2, matte="guided"), (3,), 1, 4)
    assert rule_of(rule.document()) == rule
    assert rule_of({}) == FinishingRule(Finishing())
    for wrong, message in (
        ({"matte": "guidd"}, "Did you mean 'guided'"),
        ({"fether_px": 1}, "Did you mean 'feather_px'"),
        ({"grow_px": 1.5}, "a whole number"),
        ({"grow_px": True}, "a whole number"),
        ({"feather_px": "2"}, "a number"),
        ({"first": "0"}, "frames '0'"),
        ({"objects": ["3"]}, "objects"),
        ({"objects": 3}, "a list of ids"),
        ({"first": 4, "last": 2}, "these are none"),
    ):
        with pytest.raises(OptionError, match=message):
            rule_of(wrong)


def test_the_last_rule_that_covers_an_object_and_frame_is_taken() -> None:
    rules = [
        FinishingRule(Finishing(feather_px=1)),
        FinishingRule(Finishing(feather_px=2), (7,)),
        FinishingRule(Finishing(), None, 3, 3),
    ]
    feathers = [[finishing_of(rules, i, t).feather_px for t in (2, 3, 4)] for i in (3, 7)]
    assert feathers == [[1, 0, 1], [2, 0, 2]]


def test_without_a_rule_masks_stay_bit_for_bit() -> None:
    np.testing.assert_array_equal(finished().label_map, two_objects())
    probs = np.random.default_rng(0).random((2, H, W), np.float32) / 2
    soft = FrameSource(5, two_objects, lambda _: ObjectMasks((3, 7), probs))
    np.testing.assert_array_equal(finished(source=soft).probs, probs)


def test_objects_are_finished_apart_and_never_overlap() -> None:
    everything = Finishing(1, 10, 5, 1, "guided", 3, 2, 2)
    masks = finished(FinishingRule(everything, (3,)))
    np.testing.assert_array_equal(masks[7][two_objects() == 7], 1)
    assert masks.probs.sum(axis=0).max() <= 1 + 1e-6
    both = finished(FinishingRule(everything))
    assert both.probs.sum(axis=0).max() <= 1 + 1e-6
    assert set(np.unique(both.label_map)) == {0, 3, 7}


def test_a_grown_object_takes_background_and_no_neighbour() -> None:
    labels = finished(FinishingRule(Finishing(grow_px=3, fill_holes_px=4, remove_specks_px=1))).label_map
    before = two_objects()
    np.testing.assert_array_equal(labels[6:18, 4:16], 3)
    np.testing.assert_array_equal(labels[6:18, 16:26], 7)
    assert (labels[10, 1:4] == 3).all()
    assert (labels[10, 26:29] == 7).all()
    assert labels[21, 29] == 0
    assert before[10, 8] == 0  # the masks themselves are as they were


def test_a_feather_leaves_the_label_map() -> None:
    masks = finished(FinishingRule(Finishing(feather_px=3)))
    np.testing.assert_array_equal(masks.label_map, two_objects())
    assert 0 < masks[3][10, 3] < 0.5 < masks[3][10, 4] < 1
    np.testing.assert_allclose(masks.probs.sum(axis=0)[12, 13:20], 1, atol=1e-6)  # no gap between neighbours


def test_probabilities_stay_where_the_mask_stays() -> None:
    probs = np.stack([(two_objects() == i) * np.float32(0.8) for i in (3, 7)])
    soft = FrameSource(5, two_objects, lambda _: ObjectMasks((3, 7), probs))
    masks = finished(FinishingRule(Finishing(fill_holes_px=4)), source=soft)
    assert masks[3][7, 5] == np.float32(0.8)
    assert masks[3][10, 8] == 1


def test_chatter_is_smoothed_within_the_video_alone() -> None:
    def labels(index: int) -> np.ndarray:
        assert 0 <= index < 5
        moved = np.zeros((H, W), np.uint8)
        moved[6:18, 4 : 16 + (index == 2)] = 3
        return moved

    source = FrameSource(5, labels)
    rule = FinishingRule(Finishing(steady_frames=2))
    for index in range(5):
        masks = finish(source, [rule], (3,), index)
        np.testing.assert_array_equal(masks.label_map, labels(0))


def test_a_matte_without_pictures_is_explained() -> None:
    with pytest.raises(OptionError, match="without a matte"):
        finished(FinishingRule(Finishing(matte="guided")), source=FrameSource(5, two_objects))
