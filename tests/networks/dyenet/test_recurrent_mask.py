"""Propagation over cells: attention's sum and scale, what is handed through at first, guides of any grid."""

from __future__ import annotations

import pytest
import torch

from tinct.networks.dyenet.recurrent_mask import RecurrentFunction, RecurrentMask, mask_attention
from tinct.networks.small_stage import SmallStage

M, C, D, FINE = 6, 5, 7, 3


def made(*, attention: bool = True, guides: int = 1, fine: int = FINE, stage: int = D) -> RecurrentMask:
    torch.manual_seed(0)
    function = RecurrentFunction(SmallStage(C, stage, strided=False), C, D, guides)
    return RecurrentMask(function, D, 8, fine, attention=attention, guides=guides)


def even(count: int = 2) -> torch.Tensor:
    return torch.full((count, M, M), 1 / M**2)


def test_attention_sums_to_1_and_starts_nearly_even() -> None:
    recurrent = made()
    attention = recurrent.region_attention(torch.rand(2, D, M, M))
    torch.testing.assert_close(attention.sum((1, 2)), torch.ones(2))
    assert attention.min() > 0
    torch.testing.assert_close(attention * M**2, torch.ones(2, M, M), atol=0.05, rtol=0)
    # With weights it is where the hidden state says.
    assert recurrent.attention is not None
    torch.nn.init.constant_(recurrent.attention.weight, 1.0)
    hidden = torch.zeros(1, D, M, M)
    hidden[..., 2, 4] = 1
    focused = recurrent.region_attention(hidden)[0]
    assert focused[1:4, 3:6].sum() > 0.9


def test_switched_off_it_is_even() -> None:
    recurrent = made(attention=False)
    assert recurrent.attention is None
    torch.testing.assert_close(recurrent.region_attention(torch.rand(2, D, M, M)), even())


def test_even_attention_leaves_the_hidden_state_as_it_is() -> None:
    recurrent = made(guides=0)
    warped, cells, guides = torch.rand(2, D, M, M), torch.rand(2, C, M, M), torch.rand(2, 0, M, M)
    plain = recurrent.function(warped, cells, cells[:, :0])
    torch.testing.assert_close(recurrent.hidden(warped, cells, guides, even()), plain)
    uneven = torch.rand(2, M, M).flatten(1).softmax(1).view(2, M, M)
    found = recurrent.hidden(warped, cells, guides, uneven)
    torch.testing.assert_close(found, plain * M**2 * uneven[:, None])


def test_without_a_past_the_last_stage_sees_the_cells_alone() -> None:
    recurrent = made(guides=0)
    cells = torch.randn(2, C, M, M)
    found = recurrent.function(torch.zeros(2, D, M, M), cells, cells[:, :0])
    torch.testing.assert_close(found, recurrent.function.stage(cells))


def test_a_wider_stage_is_narrowed() -> None:
    recurrent = made(stage=9)
    guides = torch.rand(2, 1, M, M)
    assert recurrent.hidden(torch.rand(2, D, M, M), torch.rand(2, C, M, M), guides, even()).shape[1] == D


@pytest.mark.parametrize("grid", [M, 2 * M, 3, 5])
def test_guides_of_any_grid(grid: int) -> None:
    recurrent = made()
    cells, fine, hidden = torch.rand(2, C, M, M), torch.rand(2, FINE, 2 * M, 2 * M), torch.rand(2, D, M, M)
    guides = torch.full((2, 1, grid, grid), 0.5)
    found = recurrent.hidden(hidden, cells, guides, even())
    torch.testing.assert_close(
        found, recurrent.hidden(hidden, cells, torch.full((2, 1, M, M), 0.5), even()), atol=1e-5, rtol=1e-4
    )
    assert recurrent.mask_logits(hidden, fine, guides).shape == (2, 2 * M, 2 * M)


def test_masks_have_the_cells_grid_without_fine_features() -> None:
    recurrent = made(fine=0)
    assert recurrent.mask_logits(torch.rand(2, D, M, M), None, torch.rand(2, 1, M, M)).shape == (2, M, M)


def test_a_mask_as_attention() -> None:
    masks = torch.zeros(3, 2 * M, 2 * M)
    masks[0, :4, :2] = 1  # two of its cells
    masks[1] = torch.rand(2 * M, 2 * M)
    attention = mask_attention(masks, M)
    torch.testing.assert_close(attention.sum((1, 2)), torch.ones(3))
    assert attention[0].nonzero().tolist() == [[0, 0], [1, 0]]
    torch.testing.assert_close(attention[2], even(1)[0])  # an empty mask says nothing


def test_gradients_go_back_through_time() -> None:
    recurrent = made()
    first = torch.rand(2, D, M, M, requires_grad=True)
    hidden, guides = first, torch.rand(2, 1, M, M)
    for _ in range(3):
        cells, fine = torch.rand(2, C, M, M), torch.rand(2, FINE, 2 * M, 2 * M)
        logits, hidden, _ = recurrent(hidden, cells, fine, guides)
    logits.square().sum().backward()
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in recurrent.parameters())
