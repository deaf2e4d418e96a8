from __future__ import annotations

import copy
import pickle

import timm
import torch
from torch import nn

from tinct.networks.batch_norm import freeze_batch_norm


def small_network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def test_training_leaves_frozen_layers_as_they_were() -> None:
    network = freeze_batch_norm(small_network())
    norm = network[1]
    before = copy.deepcopy(norm.state_dict())
    optimiser = torch.optim.SGD((p for p in network.parameters() if p.requires_grad), lr=0.1)
    network.train()
    network(torch.randn(2, 3, 5, 5)).square().sum().backward()
    optimiser.step()
    assert all(torch.equal(norm.state_dict()[name], value) for name, value in before.items())


def test_scale_and_shift_may_go_on_learning_where_statistics_are_frozen() -> None:
    network = freeze_batch_norm(freeze_batch_norm(small_network()), affine=False)
    norm = network[1]
    network.train()(torch.randn(2, 3, 5, 5)).square().sum().backward()
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert norm.weight.grad is not None
    assert norm.weight.grad.abs().sum() > 0
    assert norm.bias.grad is not None


def test_the_rest_still_trains() -> None:
    network = freeze_batch_norm(small_network())
    network(torch.randn(2, 3, 5, 5)).square().sum().backward()
    assert network[0].weight.grad is not None
    assert network[0].weight.grad.abs().sum() > 0


def test_train_mode_computes_what_evaluation_mode_computes() -> None:
    network = freeze_batch_norm(small_network())
    frames = torch.randn(2, 3, 5, 5)
    assert torch.equal(network.train()(frames), network.eval()(frames))


def test_a_copy_or_an_unpickled_network_stays_frozen() -> None:
    network = freeze_batch_norm(small_network())
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        twin.train()(torch.randn(2, 3, 5, 5))
        assert torch.equal(twin[1].running_mean, network[1].running_mean)


def test_freezing_twice_is_the_same_as_once() -> None:
    network = freeze_batch_norm(freeze_batch_norm(small_network()))
    assert len(network[1]._forward_pre_hooks) == 1


def test_timm_norm_layers_are_frozen_too() -> None:
    network = freeze_batch_norm(timm.create_model("mobilenetv2_035", features_only=True, out_indices=(0,)))
    before = network.bn1.running_mean.clone()
    network.train()(torch.randn(1, 3, 16, 16))
    assert torch.equal(network.bn1.running_mean, before)
