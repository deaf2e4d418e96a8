from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.inference.confidence import RIM, agreement, frame_confidence, most_helpful_frame
from tinct.io.masks import ObjectMasks

H, W = 40, 60


def masks(**shown: tuple[int, int, float]) -> ObjectMasks:
    """Objects 10 × 10 as `o3=(top, left, probability)`."""
    ids = sorted(int(name[1:]) for name in shown)
    probs = np.zeros((len(ids), H, W), np.float32)
    for position, object_id in enumerate(ids):
        top, left, probability = shown[f"o{object_id}"]
        probs[position, top : top + 10, left : left + 10] = probability
    return ObjectMasks(tuple(ids), probs)


def slow_confidence(found: ObjectMasks) -> float:
    """Pixel by pixel, of frames that are not thinned."""
    probs = [1 - found.probs.sum(0), *found.probs]
    reach = max(1, round(RIM * min(found.size)))
    least = 1.0
    for position, object_id in enumerate(found.object_ids, start=1):
        margins, behind = [], []
        for row in range(found.size[0]):
            for column in range(found.size[1]):
                here = sorted((float(p[row, column]) for p in probs), reverse=True)
                behind.append(here[0] - float(probs[position][row, column]))
                around = found.label_map[
                    max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
                ]
                if (around == object_id).any():
                    margins.append(here[0] - here[1])
        least = min(least, float(np.mean(margins)) if margins else min(behind))
    return least


def test_painted_masks_are_certain() -> None:
    assert frame_confidence(masks(o1=(5, 5, 1.0), o9=(20, 30, 1.0))) == 1.0


def test_a_frame_without_objects_is_certain() -> None:
    assert frame_confidence(ObjectMasks((), np.zeros((0, H, W), np.float32))) == 1.0


def test_a_frame_is_as_sure_as_its_least_sure_object() -> None:
    doubtful = frame_confidence(masks(o2=(5, 5, 0.6)))
    assert frame_confidence(masks(o1=(20, 30, 0.95), o2=(5, 5, 0.6))) == pytest.approx(doubtful)
    # The mask's margin is 0.2; the rim, one pixel wide, is certain.
    assert doubtful == pytest.approx((100 * 0.2 + 44 * 1) / 144, abs=1e-6)


def test_an_object_that_is_gone_for_certain_is_no_doubt_and_one_nearly_found_is() -> None:
    assert frame_confidence(masks(o1=(5, 5, 0.0))) == 1.0
    assert frame_confidence(masks(o1=(5, 5, 0.45))) == pytest.approx(0.1, abs=1e-6)


def test_two_objects_that_claim_the_same_pixels_are_a_doubt() -> None:
    assert frame_confidence(masks(o1=(5, 5, 0.5), o2=(5, 5, 0.49))) < 0.35


def test_large_frames_are_thinned_to_about_the_same() -> None:
    draws = np.random.default_rng(0)
    small = draws.random((2, H, W)).astype(np.float32) * 0.5
    large = small.repeat(20, 1).repeat(20, 2)
    reach = 0.1
    assert frame_confidence(ObjectMasks((1, 2), large)) == pytest.approx(
        frame_confidence(ObjectMasks((1, 2), small)), abs=reach
    )


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), objects=st.integers(1, 3))
def test_confidence_is_what_the_slow_way_gives(seed: int, objects: int) -> None:
    draws = np.random.default_rng(seed)
    coarse = draws.random((objects + 1, 3, 4)) ** 4
    probs = (coarse / coarse.sum(0))[1:].repeat(4, 1).repeat(4, 2).astype(np.float32)
    found = ObjectMasks(tuple(range(3, 3 + objects)), probs)
    assert frame_confidence(found) == pytest.approx(slow_confidence(found), abs=1e-5)


def test_agreement_is_the_mean_overlap_of_objects() -> None:
    one = masks(o1=(0, 0, 0.9), o2=(20, 20, 0.9))
    other = masks(o1=(0, 5, 0.8), o2=(20, 20, 0.6))
    assert agreement(one, other) == pytest.approx((50 / 150 + 1) / 2)
    assert agreement(one, one) == 1.0


def test_agreement_leaves_out_what_one_run_does_not_know() -> None:
    one, other = masks(o1=(0, 0, 0.9), o2=(20, 20, 0.9)), masks(o2=(20, 20, 0.9), o3=(0, 0, 0.9))
    assert agreement(one, other) == 1.0
    assert agreement(masks(o1=(0, 0, 0.9)), masks(o2=(0, 0, 0.9))) == 1.0


def test_two_runs_that_lost_an_object_agree_and_one_that_did_does_not() -> None:
    lost, there = masks(o1=(0, 0, 0.1)), masks(o1=(0, 0, 0.9))
    assert agreement(lost, lost) == 1.0
    assert agreement(lost, there) == 0.0


def test_the_middle_of_a_long_doubt_is_most_helpful() -> None:
    sure = dict.fromkeys(range(60), 1.0)
    doubts = sure | dict.fromkeys(range(20, 31), 0.5) | {50: 0.1}
    assert most_helpful_frame(doubts, [0]) in range(23, 28)


def test_doubt_beside_a_painted_frame_weighs_less() -> None:
    doubts = dict.fromkeys([*range(1, 6), *range(20, 25)], 0.5)
    assert most_helpful_frame(doubts, [0]) == 22
    assert most_helpful_frame(doubts, [22]) == 3


def test_painted_frames_are_never_proposed_and_certainty_proposes_none() -> None:
    assert most_helpful_frame({3: 0.2, 4: 0.3}, [3]) == 4
    assert most_helpful_frame({3: 0.2}, [3, 7]) is None
    assert most_helpful_frame({3: 1.0, 5: 0.999}, []) is None
    assert most_helpful_frame({}, [1]) is None


@given(
    doubts=st.dictionaries(st.integers(0, 30), st.floats(0, 1), max_size=20),
    prompts=st.sets(st.integers(0, 30), max_size=4),
)
def test_the_most_helpful_frame_is_the_one_with_the_largest_gain(
    doubts: dict[int, float], prompts: set[int]
) -> None:
    def gain(frame: int) -> float:
        total = 0.0
        for index, confidence in doubts.items():
            if index in prompts or 1 - confidence <= 0.005:
                continue
            away = min((abs(index - p) for p in prompts), default=float("inf"))
            total += (1 - confidence) * max(0.0, 1 - abs(index - frame) / away)
        return total

    found = most_helpful_frame(doubts, prompts)
    possible = [i for i in doubts if i not in prompts and 1 - doubts[i] > 0.005]
    if found is None:
        assert not possible
    else:
        assert found in possible
        assert gain(found) >= max(gain(i) for i in possible) - 1e-9
