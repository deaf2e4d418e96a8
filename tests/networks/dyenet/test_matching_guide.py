"""What cells recall of annotated frames and of the frame before: plain loops, order, thinning, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tinct.networks.dyenet import matching_guide
from tinct.networks.dyenet.matching_guide import (
    AnnotatedCells,
    BoxCells,
    annotated_cells,
    box_cells,
    guide_maps,
    recalled_by_boxes,
    recalled_by_frame,
)

E, H, W, M = 6, 4, 7, 5


def likeness(squared_distance: float) -> float:
    """1 - d(p, q) of FEELVOS's eq. 1, of distances that are divided by 4."""
    return 2 / (1 + math.exp(squared_distance / 4))


def by_loop(looking: Tensor, keys: Tensor, shares: Tensor) -> tuple[Tensor, float]:
    """Of one cell: the share of each object, and the likeness of the nearest; keys [K, E], shares [K, N]."""
    distances = [float((looking - key).square().sum()) for key in keys]
    weights = [math.exp(-d) for d in distances]
    share = sum(w * s for w, s in zip(weights, shares, strict=True)) / sum(weights)
    return torch.as_tensor(share), likeness(min(distances))


@torch.no_grad()
def test_boxes_recall_as_a_plain_loop_does() -> None:
    torch.manual_seed(0)
    cells, seen, masks = torch.randn(2, E, M, M), torch.randn(2, E, M, M), torch.rand(2, M, M)
    found = recalled_by_boxes(cells, box_cells(seen, masks))
    for n in range(2):
        for y in range(M):
            for x in range(M):
                share, like = by_loop(cells[n, :, y, x], seen[n].flatten(1).T, masks[n].view(-1, 1))
                torch.testing.assert_close(found[n, :, y, x], torch.tensor([share.item(), like]))


@torch.no_grad()
def test_frames_recall_as_a_plain_loop_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching_guide, "BACKGROUND_STEP", 1)
    monkeypatch.setattr(matching_guide, "CELLS_AT_ONCE", 10)
    torch.manual_seed(0)
    seen, shares = torch.randn(E, H, W), torch.rand(2, H, W) / 2
    frame = torch.randn(E, H, W)
    found = recalled_by_frame(frame, annotated_cells(seen, shares))
    assert found.shape == (3, H, W)
    for y in range(H):
        for x in range(W):
            share, like = by_loop(frame[:, y, x], seen.flatten(1).T, shares.flatten(1).T)
            torch.testing.assert_close(found[:, y, x], torch.tensor([*share.tolist(), like]))
    maps = guide_maps(found)
    torch.testing.assert_close(maps[:, 0], found[:2])
    assert torch.equal(maps[0, 1], maps[1, 1])


@torch.no_grad()
def test_what_is_seen_again_recalls_its_own_mask() -> None:
    torch.manual_seed(0)
    cells, masks = 6 * torch.randn(1, E, M, M), (torch.rand(1, M, M) > 0.5).float()
    share, like = recalled_by_boxes(cells, box_cells(cells, masks))[0]
    torch.testing.assert_close(share, masks[0], atol=0.01, rtol=0)
    torch.testing.assert_close(like, torch.ones(M, M), atol=1e-3, rtol=0)


@torch.no_grad()
def test_finer_masks_are_shares_of_cells() -> None:
    masks = torch.zeros(1, 2 * M, 2 * M)
    masks[:, 0, 0] = 1
    shares = box_cells(torch.randn(1, E, M, M), masks).shares
    assert shares[0, 0] == 0.25
    assert not shares[0, 1:].any()


@torch.no_grad()
def test_every_second_cell_of_background_stands_for_all_of_it() -> None:
    shares = torch.zeros(1, 8, 12)
    shares[0, 1, 1:3] = 1
    cells = annotated_cells(torch.zeros(E, 8, 12), shares)
    assert cells.keys.shape == (4 * 6 + 2, E)
    assert cells.counts.sum() == 4 * 24 + 2
    assert cells.shares.sum() == 2
    # All look the same: the object's share is that of its cells.
    found = recalled_by_frame(torch.zeros(E, 8, 12), cells)
    torch.testing.assert_close(found[0], torch.full((8, 12), 2 / 98))


@torch.no_grad()
def test_background_is_remembered_where_it_is_known_alone() -> None:
    shares, known = torch.zeros(1, 8, 12), torch.zeros(8, 12, dtype=torch.bool)
    shares[0, 7, 7], known[:2, :2] = 1, True
    assert annotated_cells(torch.zeros(E, 8, 12), shares, known).counts.tolist() == [4, 1]


@torch.no_grad()
def test_cells_of_many_frames_have_no_order() -> None:
    torch.manual_seed(0)
    first, second = (annotated_cells(torch.randn(E, H, W), torch.rand(2, H, W)) for _ in range(2))
    frame = torch.randn(E, H, W)
    one, other = (
        recalled_by_frame(frame, AnnotatedCells.joined(order)) for order in ([first, second], [second, first])
    )
    torch.testing.assert_close(one, other)


def test_both_sides_learn() -> None:
    cells, seen, frame = (torch.randn(1, E, M, M, requires_grad=True) for _ in range(3))
    recalled_by_boxes(cells, box_cells(seen, torch.rand(1, M, M))).square().sum().backward()
    annotated = annotated_cells(seen[0], torch.rand(1, M, M))
    recalled_by_frame(frame[0], annotated).square().sum().backward()
    for x in (cells, seen, frame):
        assert x.grad is not None
        assert x.grad.any()


@torch.no_grad()
def test_some_of_the_objects() -> None:
    cells, seen = torch.randn(3, E, M, M), box_cells(torch.randn(3, E, M, M), torch.rand(3, M, M))
    rows = torch.tensor([True, False, True])
    torch.testing.assert_close(
        recalled_by_boxes(cells[rows], seen.select(rows)), recalled_by_boxes(cells, seen)[rows]
    )


@torch.no_grad()
def test_distances_are_not_rounded_under_autocast() -> None:
    torch.manual_seed(0)
    cells, seen, masks = 4 * torch.randn(1, E, M, M), 4 * torch.randn(1, E, M, M), torch.rand(1, M, M)
    exact = recalled_by_boxes(cells, box_cells(seen, masks))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(recalled_by_boxes(cells, box_cells(seen, masks)), exact)


@torch.no_grad()
def test_boxes_of_two_frames_are_matched_as_one_of_all_their_cells() -> None:
    torch.manual_seed(0)
    cells, seen, shares = torch.randn(2, E, M, M), torch.randn(2, E, M, 2 * M), torch.rand(2, M, 2 * M)
    halves = [
        box_cells(seen[..., part].contiguous(), shares[..., part]) for part in (slice(M), slice(M, None))
    ]
    whole = BoxCells(seen.flatten(2).transpose(1, 2), shares.flatten(1))
    found = recalled_by_boxes(cells, halves[0].joined(halves[1]))
    torch.testing.assert_close(found, recalled_by_boxes(cells, whole))
