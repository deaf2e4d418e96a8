"""DeepLabv2 in MaskTrack: layer tables of both backbones, where its cells lie, weights, gradients."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from tinct.errors import OptionError
from tinct.networks.deeplab_v2 import (
    RATES,
    DeepLabV2Stream,
    DilatedResNet101,
    LargeFieldOfView,
    SummedScores,
)

Thin = Callable[[], AbstractContextManager[None]]


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def test_the_head_on_vgg16() -> None:
    with torch.device("meta"):
        head = LargeFieldOfView(512)
    found = [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.dilation[0], c.padding[0])
        for branch, score in zip(head.branches, head.scores, strict=True)
        for c in (*convolutions(branch), *convolutions(score))
    ]
    assert found == [
        layer
        for rate in (6, 12, 18, 24)
        for layer in ((512, 1024, 3, rate, rate), (1024, 1024, 1, 1, 0), (1024, 2, 1, 1, 0))
    ]
    dropouts = [layer.p for layer in head.modules() if isinstance(layer, nn.Dropout)]
    assert dropouts == [0.5] * 8


def test_vgg16_has_the_parameters_of_its_layer_table() -> None:
    with torch.device("meta"):
        stream = DeepLabV2Stream("vgg16")
    branch = 512 * 1024 * 9 + 1024 + 1024 * 1024 + 1024 + 2 * 1024 + 2
    fourth = 64 * 9
    assert sum(p.numel() for p in stream.parameters()) == 14_714_688 + fourth + 4 * branch


def test_resnet101_is_dilated_and_its_scores_too() -> None:
    with torch.device("meta"):
        plain = timm.create_model("resnet101", features_only=True, pretrained=False, out_indices=(4,))
    stream = DeepLabV2Stream("resnet101")
    assert isinstance(stream.head, SummedScores)
    assert [(c.dilation[0], c.in_channels, c.out_channels) for c in convolutions(stream.head)] == [
        (rate, 2048, 2) for rate in RATES
    ]
    body = stream.backbone.body  # type: ignore[union-attr]
    for stage, dilation in (("layer1", 1), ("layer2", 1), ("layer3", 2), ("layer4", 4)):
        blocks = list(body[stage])
        assert {block.conv2.dilation for block in blocks} == {(dilation, dilation)}
        assert len(blocks) == {"layer1": 3, "layer2": 4, "layer3": 23, "layer4": 3}[stage]
    assert not [layer for layer in stream.modules() if isinstance(layer, nn.BatchNorm2d)]
    # Every batch norm became a bias, which is not trained.
    weights = sum(c.weight.numel() for c in convolutions(plain))
    trained = sum(p.numel() for p in stream.object_layers().values())
    assert trained == weights + 64 * 49 + sum(p.numel() for p in stream.head.parameters())


@pytest.mark.parametrize("backbone", ["vgg16", "resnet101"])
@pytest.mark.parametrize("size", [(33, 41), (40, 57)])
def test_logits_have_the_frames_size(thin_networks: Thin, backbone: str, size: tuple[int, int]) -> None:
    with thin_networks():
        stream = DeepLabV2Stream(backbone).eval()
    with torch.no_grad():
        output = stream(stream.features(torch.rand(1, 3, *size)), torch.rand(2, 1, *size))
    assert output.fused.shape == (2, *size)
    assert output.sides == ()


def test_cells_lie_on_every_eighth_pixel(thin_networks: Thin) -> None:
    """A sum of the maps that only averages around each cell: a step in the guide stays where it is."""
    with thin_networks():
        stream = DeepLabV2Stream("vgg16").eval()
    pooled = [layer for layer in stream.backbone.features if isinstance(layer, nn.MaxPool2d)]

    def spread(maps: torch.Tensor) -> torch.Tensor:
        for pooling in pooled:
            maps = pooling(maps)
        return maps

    impulse = torch.zeros(1, 1, 65, 81)
    impulse[..., 24, 40] = 1
    found = spread(impulse)
    assert found.shape == (1, 1, 9, 11)
    rows, columns = found[0, 0].nonzero().T
    assert rows.float().mean() * 8 == 24
    assert columns.float().mean() * 8 == 40


def test_scores_are_the_two_classes_difference(thin_networks: Thin) -> None:
    with thin_networks():
        stream = DeepLabV2Stream("vgg16").eval()
    frames, guides = torch.rand(1, 3, 17, 25), torch.rand(1, 1, 17, 25)
    before = stream([frames], guides).fused
    with torch.no_grad():
        for score in stream.head.scores:
            score.bias += torch.tensor([1.0, 1.5])
    # Four branches, each half more for the object than for the background.
    torch.testing.assert_close(stream([frames], guides).fused, before + 2)


@pytest.mark.parametrize("backbone", ["vgg16", "resnet101"])
def test_gradients_reach_guides_and_all_trained_layers(thin_networks: Thin, backbone: str) -> None:
    torch.manual_seed(0)
    with thin_networks():
        stream = DeepLabV2Stream(backbone).eval()
    for name, parameter in stream.backbone.named_parameters():
        if name.endswith("conv3.weight"):  # timm starts residual branches at 0
            nn.init.normal_(parameter, std=0.01)
    guides = torch.rand(1, 1, 33, 33, requires_grad=True)
    stream([torch.rand(1, 3, 33, 33)], guides).fused.square().sum().backward()
    assert guides.grad is not None
    assert guides.grad.abs().sum() > 0
    layers = stream.object_layers()
    assert [name for name, p in layers.items() if p.grad is None or p.grad.abs().sum() == 0] == []
    left = {name for name, p in stream.named_parameters() if p.grad is None}
    assert left == {name for name, _ in stream.named_parameters()} - set(layers)


@pytest.mark.slow
def test_resnet101_starts_from_imagenet_with_a_small_fourth_channel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = timm.create_model("resnet101", pretrained=False, num_classes=0)
    torch.save(checkpoint.state_dict(), tmp_path / "resnet101.pth")
    network = DilatedResNet101()
    assert "tensors" in network.start_from_imagenet(str(tmp_path / "resnet101.pth"))
    first = network.body.conv1.weight
    assert first[:, 3].std().item() == pytest.approx(1e-4, rel=0.1)
    # Fresh batch norm divides by the root of 1 + eps.
    torch.testing.assert_close(first[:, :3], checkpoint.conv1.weight, rtol=1e-4, atol=1e-6)


def test_what_cannot_be() -> None:
    with pytest.raises(OptionError, match=r"no backbone 'resnet10'.*resnet101"):
        DeepLabV2Stream("resnet10")
    with torch.device("meta"), pytest.raises(OptionError, match="needs a previous mask"):
        DeepLabV2Stream("vgg16")([torch.zeros(1, 3, 8, 8)])
