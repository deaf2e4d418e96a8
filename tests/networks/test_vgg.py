"""VGG-16 and the streams made of it: the papers' layer tables, sizes, ImageNet weights, gradients."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torchvision.models import vgg16

from tinct.networks.backbones import IMAGENET_MEAN
from tinct.networks.guided_input import GUIDE_RANGE, guided_input, padded_to_grid, with_drawn_channels
from tinct.networks.vgg import CAFFE_SCALE, Vgg16, VggStream
from tinct.ops.bilinear import enlarged_by_stride

Thin = Callable[[], AbstractContextManager[None]]


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


def test_layers_are_those_of_torchvision_but_for_the_poolings_rounding() -> None:
    with torch.device("meta"):
        own = [str(layer).replace("ceil_mode=True", "ceil_mode=False") for layer in Vgg16().features]
        theirs = [str(layer).replace("ReLU(inplace=True)", "ReLU()") for layer in vgg16().features[:-1]]
    assert own == theirs


def test_deeplabs_changes() -> None:
    with torch.device("meta"):
        features = Vgg16(4, dilated=True).features
    poolings = [layer for layer in features if isinstance(layer, nn.MaxPool2d)]
    assert [(p.kernel_size, p.stride, p.padding) for p in poolings] == [(3, s, 1) for s in (2, 2, 2, 1, 1)]
    convolutions = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    assert [c.dilation[0] for c in convolutions] == [1] * 10 + [2] * 3
    assert convolutions[0].in_channels == 4
    assert isinstance(features[-1], nn.MaxPool2d)


@pytest.mark.parametrize("dilated", [False, True])
def test_imagenet_weights_and_the_fourth_channel(
    imagenet: tuple[Path, dict[str, torch.Tensor]], dilated: bool
) -> None:
    path, tensors = imagenet
    network = Vgg16(4, dilated=dilated)
    assert "26 tensors" in network.start_from_imagenet(str(path))
    state = network.state_dict()
    first = state["features.0.weight"]
    torch.testing.assert_close(first[:, :3], tensors["features.0.weight"])
    # 576 draws of a spread of 0.01: its error is 3 % of that.
    assert first[:, 3].std().item() == pytest.approx(0.01, rel=0.15)
    # DeepLab's last pooling and dilations move no layer: the others are found in order.
    theirs = [t for name, t in tensors.items() if name != "features.0.weight"]
    ours = [t for name, t in state.items() if name != "features.0.weight"]
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_guides_are_as_large_as_colours() -> None:
    frames, guides = torch.randn(1, 3, 4, 5), torch.rand(2, 1, 4, 5)
    guides[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    given = guided_input(frames, guides)
    assert given.shape == (2, 4, 4, 5)
    assert torch.equal(given[1, :3], frames[0])
    torch.testing.assert_close(given[0, 3, 0, :2], torch.tensor([-GUIDE_RANGE, GUIDE_RANGE]))
    assert pytest.approx(100 / 255 / 0.226) == GUIDE_RANGE
    assert guided_input(frames, None) is frames


def test_drawn_channels_and_the_grid() -> None:
    weight = torch.randn(5, 3, 3, 3)
    assert torch.equal(with_drawn_channels(weight, 3, 1.0), weight)
    assert with_drawn_channels(weight, 4, 0.0)[:, 3].abs().max() == 0
    maps = torch.rand(1, 1, 9, 10)
    padded = padded_to_grid(maps, 8, 0.5)
    assert padded.shape == (1, 1, 9, 17)
    assert torch.equal(padded[..., :10], maps)
    assert (padded[..., 10:] == 0.5).all()


@pytest.mark.parametrize("size", [(32, 48), (31, 45)])
def test_osvos_topology_against_the_papers_layer_table(thin_networks: Thin, size: tuple[int, int]) -> None:
    with thin_networks():
        stream = VggStream(0).eval()
    for parameter in stream.side_outputs.parameters():
        nn.init.normal_(parameter, std=0.1)
    frames = torch.rand(1, 3, *size)
    output = stream(stream.features(frames), deep_supervision=True)
    taps = stream.backbone(stream.normalise(frames))[1:]
    sides = stream.side_outputs
    raised, strides = [], (2, 4, 8, 16)
    for prep, score, tap, stride, side in zip(
        sides.preps, sides.scores, taps, strides, output.sides, strict=True
    ):
        assert prep.kernel_size == (3, 3)
        assert prep.out_channels == 16
        maps = prep(tap)
        torch.testing.assert_close(side, enlarged_by_stride(score(maps), stride, size)[:, 0])
        raised.append(enlarged_by_stride(maps, stride, size))
    weight = torch.cat([part.weight for part in sides.fusion], 1)
    assert weight.shape == (1, 64, 1, 1)
    fused = F.conv2d(torch.cat(raised, 1), weight, sides.fusion[0].bias)[:, 0]
    torch.testing.assert_close(output.fused, fused, atol=1e-5, rtol=1e-4)


def test_new_layers_start_small_and_enlargement_is_never_trained() -> None:
    stream = VggStream(0)
    new = dict(stream.side_outputs.named_parameters())
    weights = torch.cat([p.flatten() for name, p in new.items() if name.endswith("weight")])
    assert weights.std().item() == pytest.approx(1e-3, rel=0.02)
    assert all(p.abs().max() == 0 for name, p in new.items() if name.endswith("bias"))
    # Per tap: side prep, score, fusion, of which the first has a bias; no transposed convolution.
    assert len(new) == 4 * 2 + 4 * 2 + 4 + 1
    assert all(len(p.shape) in (1, 4) and p.shape[-1] in (1, 3) for p in new.values() if p.ndim == 4)


def test_osvos_has_the_parameters_of_its_layer_table() -> None:
    with torch.device("meta"):
        stream = VggStream(0)
    convolutions = 14_714_688  # VGG-16's thirteen
    preps = sum(c * 16 * 9 + 16 for c in (128, 256, 512, 512))
    assert sum(p.numel() for p in stream.parameters()) == convolutions + preps + 4 * 17 + 65


def test_maps_of_pixels_from_0_to_255_are_those_of_normalised_frames_but_larger(
    thin_networks: Thin, tmp_path: Path
) -> None:
    with thin_networks():
        plain, of_pixels = VggStream(0).eval(), VggStream(0, of_pixels=True).eval()
        for layer in plain.backbone.features:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.normal_(layer.bias)
        save_file(plain.backbone.state_dict(), imagenet := tmp_path / "imagenet.safetensors")
        for stream in (plain, of_pixels):
            stream.start_from_imagenet(str(imagenet))
    frames = torch.rand(1, 3, 32, 48)
    pixels = of_pixels.normalise(frames)
    torch.testing.assert_close(pixels, 255 * (frames - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)))
    expected = [CAFFE_SCALE * maps for maps in plain.backbone(plain.normalise(frames))]
    torch.testing.assert_close(of_pixels.backbone(pixels), expected, atol=1e-3, rtol=1e-4)
    assert pytest.approx(57.63) == CAFFE_SCALE
    # Weights of the one do not fit the other.
    assert set(of_pixels.state_dict()) - set(plain.state_dict()) == {"pixel_range"}


def test_a_stream_without_guides_does_not_look_at_them(thin_networks: Thin) -> None:
    with thin_networks():
        stream = VggStream(0)
    frames = torch.rand(1, 3, 16, 16)
    assert torch.equal(stream([frames], torch.rand(1, 1, 16, 16)).fused, stream([frames]).fused)


def test_guides_and_all_layers_matter(thin_networks: Thin) -> None:
    torch.manual_seed(0)
    with thin_networks():
        stream = VggStream(1)
    features = stream.features(torch.rand(1, 3, 32, 48))
    guides = torch.rand(2, 1, 32, 48, requires_grad=True)
    output, conv5 = stream.with_conv5(features, guides, deep_supervision=True)
    assert output.fused.shape == (2, 32, 48)
    assert conv5.shape == (2, 8, 2, 3)
    (output.fused.square().sum() + sum(side.square().sum() for side in output.sides)).backward()
    assert guides.grad is not None
    assert guides.grad.abs().sum() > 0
    layers = stream.object_layers()
    assert set(layers) == {name for name, _ in stream.named_parameters()}
    assert [name for name, p in layers.items() if p.grad is None or p.grad.abs().sum() == 0] == []
