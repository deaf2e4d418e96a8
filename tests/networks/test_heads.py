"""Shared parts of heads: computing the frame's part once must change nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tinct.networks.heads import Refinement, SharedInputConv, UnitEmbedding, convolution


@pytest.mark.parametrize("separable", [False, True])
def test_shared_input_convolution_equals_one_over_both_inputs(separable: bool) -> None:
    layer = SharedInputConv(5, 2, 4, 3, separable=separable)
    for name, parameter in layer.named_parameters():
        if name.endswith(".bias"):
            nn.init.normal_(parameter)
    features, maps = torch.randn(2, 5, 6, 7), torch.randn(3, 2, 6, 7)
    owners = torch.tensor([0, 0, 1])
    together = torch.cat([features[owners], maps], 1)
    if separable:
        shared, own = layer.on_features, layer.on_maps
        assert isinstance(shared, nn.Sequential)
        assert isinstance(own, nn.Sequential)
        depthwise_weight = torch.cat([shared[0].weight, own[0].weight])
        depthwise_bias = torch.cat([shared[0].bias, own[0].bias])
        hidden = F.relu(F.conv2d(together, depthwise_weight, depthwise_bias, padding=1, groups=7))
        expected = F.conv2d(hidden, torch.cat([shared[2].weight, own[2].weight], 1), shared[2].bias)
    else:
        weight = torch.cat([layer.on_features.weight, layer.on_maps.weight], 1)
        expected = F.conv2d(together, weight, layer.on_features.bias, padding=1)
    torch.testing.assert_close(layer(features, owners, maps), F.relu(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("separable", [False, True])
def test_convolution_keeps_the_size(separable: bool) -> None:
    assert convolution(3, 8, 7, separable=separable, bias=True)(torch.rand(1, 3, 5, 9)).shape == (1, 8, 5, 9)


def test_separable_convolutions_start_without_biases() -> None:
    layer = convolution(3, 8, 7, separable=True, bias=True)
    assert all(not p.any() for name, p in layer.named_parameters() if name.endswith("bias"))


def test_refinement_starts_as_plain_enlargement() -> None:
    refinement = Refinement(6, 4)
    coarse = torch.randn(2, 1, 3, 4)
    fine = refinement(
        torch.rand(1, 4, 6, 8), torch.zeros(2, dtype=torch.long), torch.rand(2, 6, 3, 4), coarse
    )
    expected = F.interpolate(coarse, size=(6, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(fine, expected)


def test_unit_embedding_has_one_length_and_starts_as_the_projection() -> None:
    embedding = UnitEmbedding(20, 6, 8)
    stacked = torch.randn(2, 20, 3, 3)
    one, other = embedding(stacked, torch.randn(2, 6, 3, 3)), embedding(stacked, torch.randn(2, 6, 3, 3))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one.square().sum(1), torch.full((2, 3, 3), 10.0), atol=1e-4, rtol=1e-4)


def test_no_map_is_lost_at_the_start() -> None:
    """A non-negative map would be, behind the ReLU of a separable convolution whose kernel sums below 0."""
    for seed in range(5):
        torch.manual_seed(seed)
        layer = SharedInputConv(4, 3, 8, 7, separable=True)
        assert isinstance(layer.on_maps, torch.nn.Sequential)
        assert (layer.on_maps[:2](torch.ones(1, 3, 16, 16))[0, :, 8, 8] > 0).all()
