"""Proposals: odd sizes, pictures without objects, scores and order, what the losses teach."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from tinct.networks.dyenet.region_proposals import OVERLAP, RegionProposals


@pytest.fixture
def rpn() -> RegionProposals:
    torch.manual_seed(0)
    return RegionProposals(6)


def features_of(size: tuple[int, int], count: int = 2) -> torch.Tensor:
    return torch.randn(count, 6, -(-size[0] // 8), -(-size[1] // 8))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [(64, 96), (61, 75), (8, 8), (5, 130)])
def test_boxes_lie_in_pictures_of_any_size_the_likeliest_first(
    rpn: RegionProposals, size: tuple[int, int], training: bool
) -> None:
    found = rpn.train(training)(features_of(size), size, 7)
    assert len(found) == 2
    for boxes, scores in found:
        assert 0 < len(boxes) == len(scores) <= 7
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0
        assert (boxes[:, [0, 2]] <= size[1]).all()
        assert (boxes[:, [1, 3]] <= size[0]).all()
        assert torch.equal(scores, scores.sort(descending=True).values)
        assert (box_iou(boxes, boxes) - torch.eye(len(boxes))).max() <= OVERLAP
        assert not boxes.requires_grad


def test_pictures_are_looked_at_one_by_one(rpn: RegionProposals) -> None:
    features = features_of((40, 56), 3)
    together = rpn(features, (40, 56), 5)
    for one, found in zip(features, together, strict=True):
        torch.testing.assert_close(rpn(one[None], (40, 56), 5)[0].boxes, found.boxes)


def test_no_pictures(rpn: RegionProposals) -> None:
    assert rpn(features_of((16, 16), 0), (16, 16), 5) == []


def test_anchors_lie_on_the_cells_whatever_the_size(rpn: RegionProposals) -> None:
    """torchvision takes the stride from the picture's size, which 61 rows of 8 cells would make 7."""
    for parameter in rpn.parameters():
        torch.nn.init.zeros_(parameter)
    _, _, anchors, per_picture = rpn._seen(features_of((61, 75)))
    assert per_picture == 8 * 10 * 15
    centres = (anchors[0][:, :2] + anchors[0][:, 2:]) / 2
    assert centres.view(8, 10, 15, 2)[3, 5].unique(dim=0).tolist() == [[40, 24]]


def test_a_picture_without_objects_teaches_scores_alone(rpn: RegionProposals) -> None:
    losses = rpn.losses(features_of((64, 64)), [torch.zeros(0, 4), torch.zeros(0, 4)])
    assert losses.keys() == {"objectness", "box"}
    assert losses["objectness"] > 0
    assert losses["box"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in rpn.parameters() if p.grad is not None)


def test_boxes_too_narrow_to_teach_are_left_out(rpn: RegionProposals) -> None:
    features = features_of((64, 64), 1)
    line = torch.tensor([[3.0, 3.0, 3.0, 40.0]])
    losses = rpn.losses(features, [line])
    assert torch.isfinite(torch.stack(list(losses.values()))).all()
    assert losses["box"] == 0


def test_gradients_reach_the_features(rpn: RegionProposals) -> None:
    features = features_of((64, 64)).requires_grad_()
    boxes = torch.tensor([[4.0, 4.0, 40.0, 60.0]])
    torch.stack(list(rpn.losses(features, [boxes, boxes[:0]]).values())).sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0


def test_it_learns_to_find_a_box() -> None:
    """One picture whose cells all look different: after a few steps the best proposal is the object's box."""
    rpn, features = RegionProposals(24), torch.randn(1, 24, 12, 12)
    target = torch.tensor([[16.0, 32.0, 64.0, 64.0]])
    optimiser = torch.optim.Adam(rpn.parameters(), 0.01)
    for _ in range(40):
        optimiser.zero_grad()
        torch.stack(list(rpn.losses(features, [target]).values())).sum().backward()
        optimiser.step()
    assert box_iou(rpn(features, (96, 96), 1)[0].boxes, target).item() > 0.8
