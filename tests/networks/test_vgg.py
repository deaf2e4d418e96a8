"""VGG-16 and the papers' streams: the papers' layer tables, sizes, ImageNet weights, gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import vgg16

from tinct.networks.vgg import DeepLabV2Stream, Vgg16, VggStream


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint as torchvision's, of chance weights, without the large layers."""
    torch.manual_seed(0)
    with torch.device("meta"):
        names = {name: t.shape for name, t in vgg16().state_dict().items() if name.startswith("features.")}
    tensors = {name: torch.randn(shape) * 0.02 for name, shape in names.items()}
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(tensors, path)
    return path, tensors


def test_taps_are_the_last_maps_of_the_stages() -> None:
    maps = Vgg16()(torch.rand(1, 3, 33, 50))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 33, 50),
        (128, 17, 25),
        (256, 9, 13),
        (512, 5, 7),
        (512, 3, 4),
    ]
    assert all(m.min() >= 0 for m in maps)


def test_deeplabs_change_gives_stride_8() -> None:
    assert Vgg16(4, dilated=True)(torch.rand(1, 4, 32, 48))[-1].shape == (1, 512, 4, 6)


@pytest.mark.parametrize("dilated", [False, True])
def test_imagenet_weights_and_the_fourth_channel(
    imagenet: tuple[Path, dict[str, torch.Tensor]], dilated: bool
) -> None:
    path, tensors = imagenet
    network = Vgg16(4, dilated=dilated)
    assert "26 tensors" in network.start_from_imagenet(str(path))
    first = network.state_dict()["features.0.weight"]
    torch.testing.assert_close(first[:, :3], tensors["features.0.weight"])
    assert 0 < first[:, 3].std() < 0.02
    torch.testing.assert_close(network.state_dict()["features.28.bias"], tensors["features.28.bias"])


@pytest.mark.parametrize(("make", "stride"), [(lambda: VggStream(1), 1), (lambda: DeepLabV2Stream(32), 8)])
def test_streams_give_logits_that_the_guide_and_all_layers_decide(make: object, stride: int) -> None:
    torch.manual_seed(0)
    stream = make().eval()  # type: ignore[operator]
    features = stream.features(torch.rand(1, 3, 32, 48))
    guides = torch.rand(2, 1, 32, 48, requires_grad=True)
    output = stream(features, guides, deep_supervision=True)
    assert output.fused.shape == (2, 32 // stride, 48 // stride)
    (output.fused.square().sum() + sum(side.square().sum() for side in output.sides)).backward()
    assert guides.grad is not None
    assert guides.grad.abs().sum() > 0
    assert all(p.grad is not None for p in stream.object_layers().values())


def test_osvos_has_four_side_outputs_and_no_guide() -> None:
    stream = VggStream(0)
    output = stream(stream.features(torch.rand(1, 3, 20, 30)), deep_supervision=True)
    assert [side.shape for side in output.sides] == [(1, 20, 30)] * 4
    assert sum(p.numel() for p in stream.parameters()) == pytest.approx(14.9e6, rel=0.01)


def test_masktracks_size_is_deeplabv2s() -> None:
    with torch.device("meta"):
        stream = DeepLabV2Stream()
    assert sum(p.numel() for p in stream.parameters()) == pytest.approx(37.8e6, rel=0.01)
