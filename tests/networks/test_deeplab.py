from __future__ import annotations

import math

import pytest
import timm
import torch

from tinct.errors import OptionError
from tinct.networks import deeplab
from tinct.networks.batch_norm import freeze_batch_norm
from tinct.networks.deeplab import DeepLabV3Plus

SMALL = "mobilenetv2_035"


@pytest.fixture(scope="module")
def xception() -> DeepLabV3Plus:
    torch.manual_seed(0)
    return DeepLabV3Plus().eval()


@pytest.fixture(scope="module")
def small() -> DeepLabV3Plus:
    torch.manual_seed(0)
    return DeepLabV3Plus(SMALL, channels=8).eval()


@torch.no_grad()
def test_the_papers_network_gives_256_channels_at_stride_4(xception: DeepLabV3Plus) -> None:
    features = xception(torch.randn(1, 3, 65, 49))
    assert features.shape == (1, 256, 17, 13)
    assert torch.isfinite(features).all()


def test_the_papers_network_has_the_papers_parts(xception: DeepLabV3Plus) -> None:
    state = xception.state_dict()
    assert state["project_low_level.0.weight"].shape == (48, 256, 1, 1)
    assert state["aspp.project.0.weight"].shape == (256, 5 * 256, 1, 1)
    assert state["decoder.0.0.0.weight"].shape == (304, 1, 3, 3)
    assert (xception.mean, xception.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@torch.no_grad()
def test_low_level_features_come_from_before_the_relu_as_in_the_released_code(
    xception: DeepLabV3Plus,
) -> None:
    frames = torch.randn(1, 3, 33, 33)
    low_level, deep = xception.backbone(frames)
    assert low_level.shape == (1, 256, 9, 9)
    assert (low_level < 0).any()
    # Everything else is timm's network.
    twin = timm.create_model("xception65", features_only=True, output_stride=16, out_indices=(1, 4)).eval()
    twin.load_state_dict(xception.backbone.state_dict())
    behind, deepest = twin(frames)
    torch.testing.assert_close(low_level.relu(), behind)
    torch.testing.assert_close(deep, deepest)


def test_xception_state_dicts_fit_either_output_stride(xception: DeepLabV3Plus) -> None:
    with torch.device("meta"):
        at_8 = DeepLabV3Plus(output_stride=8)
    assert {k: v.shape for k, v in at_8.state_dict().items()} == {
        k: v.shape for k, v in xception.state_dict().items()
    }


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (65, 65), (33, 47), (17, 5), (4, 90)])
@pytest.mark.parametrize("output_stride", [16, 8])
def test_any_size_gives_its_quarter_rounded_up(
    small: DeepLabV3Plus, output_stride: int, size: tuple[int, int]
) -> None:
    network = DeepLabV3Plus(SMALL, output_stride, 8).eval()
    network.load_state_dict(small.state_dict())
    height, width = size
    assert network(torch.randn(2, 3, *size)).shape == (2, 8, math.ceil(height / 4), math.ceil(width / 4))


def test_the_output_stride_sets_the_strides_and_the_rates() -> None:
    for output_stride, rates in deeplab.ATROUS_RATES.items():
        network = DeepLabV3Plus(SMALL, output_stride, 8).eval()
        assert network.backbone(torch.randn(1, 3, 64, 64))[1].shape[-1] == 64 // output_stride
        assert [branch[0][0].dilation for branch in network.aspp.atrous] == [(r, r) for r in rates]


@torch.no_grad()
def test_the_backbone_at_stride_8_computes_that_at_stride_16_and_more(xception: DeepLabV3Plus) -> None:
    """Atrous convolution fills in pixels between those of the coarser grid, and changes none of them."""
    at_8 = DeepLabV3Plus(output_stride=8).eval()
    at_8.load_state_dict(xception.state_dict())
    frames = torch.randn(1, 3, 49, 65)
    coarse, dense = xception.backbone(frames)[1], at_8.backbone(frames)[1]
    scale = coarse.std()  # small, because the weights are random
    torch.testing.assert_close(dense[..., ::2, ::2] / scale, coarse / scale, rtol=1e-3, atol=1e-3)


def test_gradients_reach_backbone_and_decoder_with_batch_norm_frozen() -> None:
    torch.manual_seed(0)
    network = freeze_batch_norm(DeepLabV3Plus(SMALL, channels=8)).train()
    network(torch.randn(1, 3, 32, 32)).square().mean().backward()
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    stem = network.backbone.conv_stem.weight.grad
    assert stem is not None
    assert stem.abs().max() > 0


def test_new_layers_keep_the_scale_of_the_signal_with_batch_norm_frozen() -> None:
    torch.manual_seed(0)
    network = freeze_batch_norm(DeepLabV3Plus(SMALL, channels=64)).eval()
    deep = torch.rand(1, 112, 16, 16)
    assert 0.1 < network.aspp(deep).std() / deep.std() < 10


@pytest.mark.parametrize("name", ["xception66", "vgg16"])
def test_a_backbone_that_will_not_do_is_named(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        DeepLabV3Plus(name)


def test_a_backbone_with_other_strides_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deeplab, "LOW_LEVEL_INDEX", 2)
    with pytest.raises(OptionError, match=r"strides \(8, 16\), needed are 4 and 16"):
        DeepLabV3Plus(SMALL)


def test_another_output_stride_is_refused() -> None:
    with pytest.raises(OptionError, match="output stride 32"):
        DeepLabV3Plus(output_stride=32)


def test_imagenet_weights_are_the_papers(monkeypatch: pytest.MonkeyPatch, xception: DeepLabV3Plus) -> None:
    asked: list[tuple[object, str, str]] = []

    def load(model: object, name: str, source: str) -> str:
        asked.append((model, name, source))
        return "somewhere"

    monkeypatch.setattr(deeplab, "load_imagenet", load)
    assert xception.start_from_imagenet("hub") == "somewhere"
    assert asked == [(xception.backbone, "xception65.tf_in1k", "hub")]
    assert timm.get_pretrained_cfg("xception65.tf_in1k").tag == "tf_in1k"
