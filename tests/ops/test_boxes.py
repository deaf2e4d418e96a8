"""Boxes: known values, round trips, empty masks, pixels inside."""

from __future__ import annotations

import pytest
import torch

from tinct.ops.boxes import (
    apply_deltas,
    box_deltas,
    enlarged_boxes,
    hull_boxes,
    inside_boxes,
    mask_boxes,
)


def test_tight_boxes() -> None:
    masks = torch.zeros(4, 8, 10, dtype=torch.bool)
    masks[0, 2, 3] = masks[0, 6, 8] = True
    masks[1, 5, 3] = True
    masks[2] = True
    assert mask_boxes(masks).tolist() == [[3, 2, 9, 7], [3, 5, 4, 6], [0, 0, 10, 8], [0, 0, 10, 8]]


def test_pixels_of_a_tight_box_are_those_of_the_mask() -> None:
    masks = torch.zeros(1, 8, 10, dtype=torch.bool)
    masks[0, 2:5, 3:9] = True
    assert torch.equal(inside_boxes(mask_boxes(masks), (8, 10)), masks)


def test_deltas_lead_to_the_target() -> None:
    torch.manual_seed(0)
    corners, sides = 50 * torch.rand(6, 2), 5 + 10 * torch.rand(6, 2)
    boxes = torch.cat([corners, corners + sides], 1)
    proposals, targets = boxes[:3], boxes[3:]
    torch.testing.assert_close(apply_deltas(proposals, box_deltas(proposals, targets)), targets)
    torch.testing.assert_close(apply_deltas(boxes, torch.zeros(6, 4)), boxes)


def test_known_deltas() -> None:
    deltas = box_deltas(torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 0, 25, 20]]))
    torch.testing.assert_close(deltas, torch.tensor([[1.0, 0, 0.6931472, 0]]))


@pytest.mark.parametrize("factor", [1.0, 1.25, 2.0])
def test_enlargement_keeps_the_centre(factor: float) -> None:
    enlarged = enlarged_boxes(torch.tensor([[4.0, 8, 8, 16]]), factor)[0]
    assert (enlarged[:2] + enlarged[2:]).tolist() == [12, 24]
    assert (enlarged[2:] - enlarged[:2]).tolist() == [4 * factor, 8 * factor]


def test_wild_deltas_stay_finite() -> None:
    boxes = apply_deltas(torch.tensor([[0.0, 0, 10, 10]]), torch.full((1, 4), 1e3))
    assert torch.isfinite(boxes).all()


def test_the_hull_holds_both() -> None:
    hull = hull_boxes(torch.tensor([[0.0, 5, 4, 9]]), torch.tensor([[2.0, 1, 8, 6]]))
    assert hull.tolist() == [[0, 1, 8, 9]]
