"""What cells recall of templates: exact recall, order, many frames, padding, gradients."""

from __future__ import annotations

import pytest
import torch

from tinct.networks.dyenet.template_guide import TemplateCells, TemplateGuide

C, M = 6, 5


@pytest.fixture
def guide() -> TemplateGuide:
    torch.manual_seed(0)
    return TemplateGuide(C, channels=C)


def by_loop(
    guide: TemplateGuide, cells: torch.Tensor, seen: torch.Tensor, shares: torch.Tensor
) -> torch.Tensor:
    """One cell after another, of one box."""
    maps = torch.zeros(2, M, M)
    weight = guide.project.weight[:, :, 0, 0]
    keys = [torch.nn.functional.normalize(weight @ seen[:, y, x], dim=0) for y in range(M) for x in range(M)]
    for y in range(M):
        for x in range(M):
            look = torch.nn.functional.normalize(weight @ cells[:, y, x], dim=0)
            cosines = torch.stack([look @ key for key in keys])
            weights = (cosines * guide.log_sharpness.exp()).softmax(0)
            maps[:, y, x] = torch.stack([(weights * shares.flatten()).sum(), cosines.max()])
    return maps


@torch.no_grad()
def test_the_maps_are_those_of_a_plain_loop(guide: TemplateGuide) -> None:
    cells, seen, shares = torch.randn(2, C, M, M), torch.randn(2, C, M, M), torch.rand(2, M, M)
    found = guide(cells, guide.remember(seen, shares))
    expected = torch.stack([by_loop(guide, *one) for one in zip(cells, seen, shares, strict=True)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_template_recalls_its_own_mask(guide: TemplateGuide) -> None:
    guide.log_sharpness.fill_(6.0)
    cells, masks = torch.randn(1, C, M, M), (torch.rand(1, M, M) > 0.5).float()
    recalled, known = guide(cells, guide.remember(cells, masks))[0]
    torch.testing.assert_close(recalled, masks[0], atol=0.05, rtol=0)
    torch.testing.assert_close(known, torch.ones(M, M))


@torch.no_grad()
def test_finer_masks_are_shares_of_cells(guide: TemplateGuide) -> None:
    masks = torch.zeros(1, 2 * M, 2 * M)
    masks[:, 0, 0] = 1
    shares = guide.remember(torch.randn(1, C, M, M), masks).shares
    assert shares[0, 0] == 0.25
    assert not shares[0, 1:].any()


@torch.no_grad()
def test_what_fills_up_is_never_recalled(guide: TemplateGuide) -> None:
    cells, seen, masks = torch.randn(3, C, M, M), torch.randn(3, C, M, M), torch.rand(3, M, M)
    one = guide.remember(seen[:1], masks[:1])
    both = TemplateCells.joined([guide.remember(seen[1:2], masks[1:2]), guide.remember(seen[2:], masks[2:])])
    stacked = TemplateCells.stacked([one, both])
    assert stacked.keys.shape == (2, C, 2 * M * M)
    found = guide(cells[:2], stacked)
    torch.testing.assert_close(found[:1], guide(cells[:1], one))
    torch.testing.assert_close(found[1:], guide(cells[1:2], both))


@torch.no_grad()
def test_cells_of_many_frames_have_no_order(guide: TemplateGuide) -> None:
    cells, seen, masks = torch.randn(1, C, M, M), torch.randn(2, C, M, M), torch.rand(2, M, M)
    first, second = guide.remember(seen[:1], masks[:1]), guide.remember(seen[1:], masks[1:])
    found = [guide(cells, TemplateCells.joined(order)) for order in ([first, second], [second, first])]
    torch.testing.assert_close(*found)


def test_both_sides_learn(guide: TemplateGuide) -> None:
    cells, seen = (torch.randn(1, C, M, M, requires_grad=True) for _ in range(2))
    guide(cells, guide.remember(seen, torch.rand(1, M, M))).square().sum().backward()
    assert cells.grad is not None
    assert seen.grad is not None
    assert cells.grad.any()
    assert seen.grad.any()
    assert all(p.grad is not None for p in guide.parameters())


@torch.no_grad()
def test_some_of_the_objects(guide: TemplateGuide) -> None:
    cells, seen = torch.randn(3, C, M, M), guide.remember(torch.randn(3, C, M, M), torch.rand(3, M, M))
    rows = torch.tensor([True, False, True])
    torch.testing.assert_close(guide(cells[rows], seen.select(rows)), guide(cells, seen)[rows])
