"""Side outputs: the papers' transposed convolutions as a twin, deep supervision, gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tinct.networks.side_outputs import SideOutputs


def bilinear_kernel(stride: int) -> torch.Tensor:
    """The papers' fixed kernel of size 2s: weight (1 - |i - c| / f)(1 - |j - c| / f), c = s - 0.5."""
    places = 1 - (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    return places[:, None] * places[None]


def slow_fusion(outputs: SideOutputs, taps: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """The papers' way: every prep through a fixed transposed convolution, cropped, side by side, 1×1."""
    raised = []
    for prep, tap in zip(outputs.preps, taps, strict=True):
        maps = prep(tap)
        stride = size[0] // maps.shape[-2]
        if stride > 1:
            kernel = bilinear_kernel(stride).expand(maps.shape[1], 1, -1, -1)
            maps = F.conv_transpose2d(maps, kernel, stride=stride, groups=maps.shape[1])
            cut = stride // 2
            maps = maps[..., cut : cut + size[0], cut : cut + size[1]]
        raised.append(maps)
    weight = torch.cat([part.weight for part in outputs.fusion], 1)
    return F.conv2d(torch.cat(raised, 1), weight, outputs.fusion[0].bias)[:, 0]


@pytest.fixture
def outputs() -> SideOutputs:
    return SideOutputs((4, 6, 8), width=5)


TAPS = [(4, 32, 48), (6, 16, 24), (8, 8, 12)]


def taps(batch: int = 2) -> list[torch.Tensor]:
    return [torch.randn(batch, *shape) for shape in TAPS]


def test_like_the_papers_transposed_convolutions_away_from_the_border(outputs: SideOutputs) -> None:
    maps = taps()
    fused = outputs(maps, (32, 48)).fused
    slow = slow_fusion(outputs, maps, (32, 48))
    torch.testing.assert_close(fused[:, 4:-4, 4:-4], slow[:, 4:-4, 4:-4], atol=1e-5, rtol=1e-4)


def test_sides_come_when_they_are_asked_for(outputs: SideOutputs) -> None:
    maps = taps()
    assert outputs(maps, (32, 48)).sides == ()
    sides = outputs(maps, (32, 48), deep_supervision=True).sides
    assert [tuple(side.shape) for side in sides] == [(2, 32, 48)] * 3


def test_any_size_comes_out(outputs: SideOutputs) -> None:
    assert outputs(taps(), (33, 47)).fused.shape == (2, 33, 47)


def test_every_layer_is_taught(outputs: SideOutputs) -> None:
    result = outputs(taps(), (32, 48), deep_supervision=True)
    (result.fused.square().mean() + sum(side.square().mean() for side in result.sides)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in outputs.parameters())


def test_the_fusion_has_one_bias(outputs: SideOutputs) -> None:
    assert [part.bias is not None for part in outputs.fusion if isinstance(part, nn.Conv2d)] == [
        True,
        False,
        False,
    ]
