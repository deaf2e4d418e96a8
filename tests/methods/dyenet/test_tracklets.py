from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.methods.dyenet.tracklets import RoiMask, StartingPoint, Tracklet, overlaps, reboxed, tight_boxes
from tinct.ops.rois import pasted

Square = Callable[..., RoiMask]
whole = st.integers(0, 40).map(float)
sides = st.integers(6, 40).map(float)


def full(left: float, top: float, side: float) -> RoiMask:
    box = (float(left), float(top), float(left + side), float(top + side))
    return RoiMask(box, np.ones((8, 8), np.float16))


@settings(max_examples=40)
@given(whole, whole, sides, whole, whole, sides)
def test_overlaps_of_full_boxes_are_those_of_rectangles(
    x: float, y: float, side: float, x2: float, y2: float, side2: float
) -> None:
    (overlap,) = overlaps([full(x, y, side)], [full(x2, y2, side2)])
    across = max(0.0, min(x + side, x2 + side2) - max(x, x2))
    down = max(0.0, min(y + side, y2 + side2) - max(y, y2))
    both = across * down
    assert overlap.both == pytest.approx(both, abs=1e-3 + 0.01 * both)
    assert overlap.iou == pytest.approx(both / (side**2 + side2**2 - both), abs=0.01)
    assert overlap.share_of_second == pytest.approx(both / side2**2, abs=0.01)


def test_overlaps_look_at_the_masks_and_not_at_their_boxes() -> None:
    left, right = np.zeros((8, 8), np.float16), np.zeros((8, 8), np.float16)
    left[:, :4], right[:, 4:] = 1, 1
    box = (3.0, 5.0, 43.0, 45.0)
    found = overlaps([RoiMask(box, left)] * 2, [RoiMask(box, right), RoiMask(box, left)])
    assert found[0].iou < 0.05
    assert found[1].iou > 0.95
    assert found[1].first == pytest.approx(800)


def test_a_small_object_beside_a_large_one_counts_exactly() -> None:
    (overlap,) = overlaps([full(0, 0, 800)], [full(300, 200, 4)])
    assert overlap.share_of_second == pytest.approx(1, abs=0.01)
    assert overlap.iou == pytest.approx(16 / 640000, rel=0.01)


def test_tight_boxes_hold_what_is_more_probable_than_not() -> None:
    probs = torch.zeros(2, 8, 8)
    probs[0, 2:4, 4:7] = 0.9
    boxes = torch.tensor([[10.0, 20, 26, 36], [0, 0, 5, 5]])
    torch.testing.assert_close(tight_boxes(boxes, probs), torch.tensor([[18.0, 24, 24, 28], [0, 0, 5, 5]]))


def test_a_mask_in_another_box_is_the_same_mask() -> None:
    probs = torch.zeros(1, 28, 28)
    probs[0, 4:20, 6:25] = 1
    boxes = torch.tensor([[10.0, 5, 66, 61]])
    wider, again = reboxed(boxes, probs, 0.15)
    before, after = pasted(probs, boxes, (80, 80)) > 0.5, pasted(again, wider, (80, 80)) > 0.5
    assert (before & after).sum() / (before | after).sum() > 0.93
    tight = tight_boxes(boxes, probs)
    torch.testing.assert_close(wider, tight + 0.15 * torch.tensor([[-38.0, -32, 38, 32]]))


def test_doubt_needs_another_object() -> None:
    mask, embedding = full(0, 0, 8), np.ones(2, np.float32)
    assert not StartingPoint(0, 1, mask, embedding, 0.8).is_doubtful(0.05)
    assert StartingPoint(0, 1, mask, embedding, 0.8, 0.78, 2).is_doubtful(0.05)
    assert not StartingPoint(0, 1, mask, embedding, 0.8, 0.7, 2).is_doubtful(0.05)


def test_a_mask_is_small(tracklet: Callable[..., Tracklet]) -> None:
    mask = RoiMask.of(torch.tensor([0.0, 0, 10, 10]), torch.rand(56, 56))
    assert mask.probs.dtype == np.float16
    assert mask.probs.nbytes == 2 * 56 * 56
    assert tracklet(1, 0.9, 4, {3: mask, 4: mask, 5: mask}).span == (3, 5)
