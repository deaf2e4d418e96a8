from __future__ import annotations

import pytest
import torch

from tinct.networks.aspp import AtrousSpatialPyramidPooling, SeparableConvNormRelu


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (20, 3)])
def test_keeps_the_size_also_where_rates_exceed_it(size: tuple[int, int]) -> None:
    pooling = AtrousSpatialPyramidPooling(6, 4, rates=(6, 12, 18)).eval()
    assert pooling(torch.randn(2, 6, *size)).shape == (2, 4, *size)


def test_a_separable_convolution_reaches_as_far_as_its_rate() -> None:
    layer = SeparableConvNormRelu(1, 1, dilation=3).eval()
    torch.nn.init.ones_(layer[0][0].weight)
    torch.nn.init.ones_(layer[1][0].weight)
    frame = torch.zeros(1, 1, 9, 9)
    frame[0, 0, 4, 4] = 1
    touched = layer(frame)[0, 0].nonzero().tolist()
    assert touched == [[y, x] for y in (1, 4, 7) for x in (1, 4, 7)]


def test_image_pooling_tells_every_pixel_about_the_whole_image() -> None:
    torch.manual_seed(0)
    pooling = AtrousSpatialPyramidPooling(3, 4, rates=(1,)).eval()
    features = torch.rand(1, 3, 9, 9, requires_grad=True)
    pooling(features)[0, :, 0, 0].sum().backward()
    assert features.grad is not None
    assert (features.grad[0].abs().sum(0) > 0).all()


def test_dropout_works_in_training_only() -> None:
    torch.manual_seed(0)
    pooling = AtrousSpatialPyramidPooling(3, 64, rates=(1,)).eval()
    features = torch.rand(2, 3, 4, 4)
    assert torch.equal(pooling(features), pooling(features))
    pooling.dropout.train()
    assert not torch.equal(pooling(features), pooling(features))
