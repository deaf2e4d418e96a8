"""The click network: objects are answered one by one, from their pictures, clicks and masks so far."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinct.networks.click import ClickConfig, ClickNetwork, _likeness

TINY = ClickConfig(widths=(8, 8, 16), blocks=1, heads=2, embedding=8)


@pytest.fixture(scope="module")
def network() -> ClickNetwork:
    torch.manual_seed(0)
    network = ClickNetwork(TINY).eval()
    torch.nn.init.normal_(network.score.weight)  # an untrained one says hardly anything
    return network


def some_maps(number: int, height: int, width: int) -> torch.Tensor:
    maps = torch.zeros(number, 4, height, width)
    for i in range(number):
        maps[i, 0, 8 + 4 * i : 16 + 4 * i, 8:20] = 1
        maps[i, 1, -12:-4, -16 - 4 * i : -4] = 1
    return maps


@torch.no_grad()
def test_each_object_is_answered_from_its_own_picture_and_prompt(network: ClickNetwork) -> None:
    frames, maps, owners = torch.rand(2, 3, 64, 96), some_maps(3, 64, 96), torch.tensor([1, 0, 1])
    features = network.encode(frames)
    assert features.fine.shape == (2, 8, 16, 24)
    assert features.coarse.shape == (2, 16, 4, 6)
    together = network(features, owners, maps)
    assert together.shape == (3, 64, 96)
    for number, owner in enumerate(owners.tolist()):
        alone = network(network.encode(frames[owner, None]), torch.tensor([0]), maps[number, None])
        torch.testing.assert_close(together[number], alone[0], rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("which", range(4))
def test_every_map_of_a_prompt_changes_the_answer(network: ClickNetwork, which: int) -> None:
    features, owners = network.encode(torch.rand(1, 3, 64, 64)), torch.tensor([0])
    maps = some_maps(1, 64, 64)
    changed = maps.clone()
    changed[:, which, 24:48, 24:48] = 1 - changed[:, which, 24:48, 24:48]
    assert (network(features, owners, maps) - network(features, owners, changed)).abs().max() > 1e-3


def test_likeness_is_the_largest_cosine_to_a_marked_cell() -> None:
    draws = np.random.default_rng(0)
    embedding = draws.normal(size=(5, 3, 4))
    embedding /= np.linalg.norm(embedding, axis=0)
    cells = np.zeros((4, 12, 16))
    cells[0, 1, 2], cells[0, 9, 15], cells[0, 4, 4] = 1, 0.5, 0.2  # the last is too faint
    cells[3] = draws.random((12, 16))
    found = _likeness(*(torch.tensor(array, dtype=torch.float32)[None] for array in (embedding, cells)))[0]
    marked = [embedding[:, 0, 0], embedding[:, 2, 3]]
    mean = sum(embedding[:, y, x] * cells[3, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean()
               for y in range(3) for x in range(4))  # fmt: skip
    for y in range(3):
        for x in range(4):
            vector = embedding[:, y, x]
            wanted = [max(vector @ other for other in marked), -1, vector @ mean / np.linalg.norm(mean)]
            np.testing.assert_allclose(found[:, y, x].numpy(), wanted, rtol=1e-4, atol=1e-5)
