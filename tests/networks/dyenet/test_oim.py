"""OIM: the loss and the table's rule by hand, a queue that wraps, batches without identities."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tinct.errors import OptionError
from tinct.networks.dyenet.oim import UNLABELLED, OnlineInstanceMatching


def unit(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_the_loss_by_hand() -> None:
    matching = OnlineInstanceMatching(2, 2, queue=1, temperature=0.1)
    matching.table.copy_(unit(0, 90))
    matching.queue.copy_(unit(180))
    logits = [10 * math.cos(math.radians(a)) for a in (30, 60, 150)]
    expected = math.log(sum(math.exp(x) for x in logits)) - logits[0]
    assert matching(unit(30), torch.tensor([0])).item() == pytest.approx(expected, rel=1e-5)
    # What has no identity adds nothing to the mean.
    both = matching(unit(30, 77), torch.tensor([0, UNLABELLED]))
    assert both.item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_leads_to_the_own_row_and_away_from_the_others() -> None:
    matching = OnlineInstanceMatching(2, 2, queue=0)
    matching.table.copy_(unit(0, 90))
    x = unit(45).requires_grad_()
    matching(x, torch.tensor([0])).backward()
    assert x.grad is not None
    assert x.grad[0, 0] < 0 < x.grad[0, 1]


def test_without_identities_there_is_no_loss_and_no_gradient() -> None:
    matching = OnlineInstanceMatching(3, 2)
    for count in (0, 4):
        x = unit(*range(count)).reshape(count, 2).requires_grad_()
        loss = matching(x, torch.full((count,), UNLABELLED))
        loss.backward()
        assert loss.item() == 0
        assert x.grad is not None
        assert not x.grad.any()


def test_the_tables_rule_by_hand() -> None:
    matching = OnlineInstanceMatching(3, 2, queue=0, momentum=0.5)
    matching.update(unit(0), torch.tensor([1]))
    torch.testing.assert_close(matching.table, torch.tensor([[0.0, 0], [1, 0], [0, 0]]))
    # Half of 0° and half of 60° point to 30°; then half of 30° and half of 90° to 60°.
    matching.update(unit(60, 90), torch.tensor([1, 1]))
    torch.testing.assert_close(matching.table[1:2], unit(60))
    assert not matching.table[[0, 2]].any()


def test_momentum_is_what_stays() -> None:
    matching = OnlineInstanceMatching(1, 2, momentum=0.8)
    matching.update(unit(0), torch.tensor([0]))
    matching.update(unit(90), torch.tensor([0]))
    torch.testing.assert_close(matching.table, F.normalize(torch.tensor([[0.8, 0.2]]), dim=1))


def test_rows_and_places_are_of_length_1() -> None:
    matching = OnlineInstanceMatching(4, 8, queue=6)
    matching.update(3 * torch.randn(20, 8), torch.arange(20) % 5 - 1)
    for rows in (matching.table, matching.queue[:4]):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(4))


def test_the_queue_wraps() -> None:
    matching = OnlineInstanceMatching(1, 2, queue=3)
    matching.update(unit(1, 2), torch.tensor([UNLABELLED, UNLABELLED]))
    torch.testing.assert_close(matching.queue[:2], unit(1, 2))
    assert not matching.queue[2].any()
    matching.update(unit(3, 50, 4), torch.tensor([UNLABELLED, 0, UNLABELLED]))
    torch.testing.assert_close(matching.queue, unit(4, 2, 3))
    assert matching.queue_next == 1


def test_of_more_than_the_queue_holds_the_latest_stay() -> None:
    matching = OnlineInstanceMatching(1, 2, queue=3)
    matching.update(unit(*range(8)), torch.full((8,), UNLABELLED))
    torch.testing.assert_close(matching.queue, unit(6, 7, 5))
    assert matching.queue_next == 8 % 3


def test_no_queue_and_no_boxes() -> None:
    matching = OnlineInstanceMatching(1, 2, queue=0)
    matching.update(unit(5), torch.tensor([UNLABELLED]))
    matching.update(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    assert matching.queue.shape == (0, 2)
    assert not matching.table.any()


def test_an_update_leaves_embeddings_and_their_graph_alone() -> None:
    matching = OnlineInstanceMatching(2, 2)
    x = unit(10, 20).requires_grad_()
    loss = matching(x, torch.tensor([0, 1]))
    before = x.detach().clone()
    matching.update(x, torch.tensor([0, 1]))
    assert not matching.table.requires_grad
    torch.testing.assert_close(x.detach(), before)
    loss.backward()


def test_it_is_kept_with_the_other_weights() -> None:
    matching = OnlineInstanceMatching(2, 2, queue=2)
    matching.update(unit(10, 20, 30), torch.tensor([0, UNLABELLED, UNLABELLED]))
    fresh = OnlineInstanceMatching(2, 2, queue=2)
    fresh.load_state_dict(matching.state_dict())
    torch.testing.assert_close(fresh.table, matching.table)
    assert fresh.queue_next == matching.queue_next


def test_a_table_of_nobody_is_refused() -> None:
    with pytest.raises(OptionError, match="0 identities"):
        OnlineInstanceMatching(0)


def test_rows_count_for_ever_or_as_long_as_the_memory_reaches() -> None:
    seen = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    e = math.e
    # e^1 against e^0.6, and against eleven more rows of e^0; then after the memory of 7 has faded.
    for memory, expected in ((None, e + e**0.6 + 11), (2, e + e**0.6), (1, e)):
        matching = OnlineInstanceMatching(10, channels=2, queue=3, temperature=1.0, memory=memory)
        matching.update(seen[1:], torch.tensor([7]))
        matching.update(seen[:1], torch.tensor([4]))
        loss = float(matching(seen[:1], torch.tensor([4])))
        assert loss == pytest.approx(math.log(expected) - 1, abs=1e-5)


def test_an_unseen_identity_of_its_own_is_never_skipped() -> None:
    matching = OnlineInstanceMatching(3, channels=2, queue=0, memory=5)
    assert torch.isfinite(matching(torch.tensor([[1.0, 0.0]]), torch.tensor([2])))
