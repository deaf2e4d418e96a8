"""The compact backbone and its pyramid."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from tinct.networks.backbones import ImageNormalisation, PyramidBackbone, fold_batch_norm
from tinct.networks.pyramid import FeaturePyramid


def test_folding_batch_norm_changes_nothing_but_the_number_of_layers() -> None:
    network = timm.create_model("mobilenetv2_100", features_only=True, pretrained=False).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_()
    frames = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        before = network(frames)
        fold_batch_norm(network)
        after = network.train()(frames)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    for x, y in zip(before, after, strict=True):
        torch.testing.assert_close(x, y, atol=1e-4 * float(x.abs().max()), rtol=1e-3)


def test_the_compact_backbone_is_timms_mobilenetv2() -> None:
    theirs = timm.create_model(
        "mobilenetv2_100", features_only=True, pretrained=False, out_indices=(1, 2, 3, 4)
    )
    fold_batch_norm(theirs)
    torch.nn.init.normal_(theirs.conv_stem.bias)
    backbone = PyramidBackbone("mobilenetv2_100")
    backbone.body.load_state_dict(theirs.state_dict())
    frames = torch.rand(1, 3, 45, 70)
    with torch.no_grad():
        pairs = zip(backbone(frames), theirs(backbone.normalise(frames)), strict=True)
    for ours, reference in pairs:
        assert torch.equal(ours, reference)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (61, 47), (33, 8)])
def test_pyramid_sizes_round_up(height: int, width: int) -> None:
    pyramid = FeaturePyramid("mobilenetv2_100", channels=16, skip_channels=4)
    with torch.no_grad():
        seen = pyramid(torch.rand(2, 3, height, width))
    grid = (-(-height // 8), -(-width // 8))
    assert seen.features.shape == (2, 16, *grid)
    assert seen.stacked.shape == (2, pyramid.stacked_channels, *grid)
    assert seen.skip.shape == (2, 4, -(-height // 4), -(-width // 4))


def test_frozen_layers_are_those_up_to_stride_4() -> None:
    backbone = PyramidBackbone("mobilenetv2_100")
    backbone.freeze_to_stride_4()
    weights = {name: p.requires_grad for name, p in backbone.named_parameters() if name.endswith("weight")}
    early = ("body.conv_stem", "body.blocks.0.", "body.blocks.1.")
    assert weights
    assert all(trained != name.startswith(early) for name, trained in weights.items())
    assert not any(p.requires_grad for name, p in backbone.named_parameters() if name.endswith("bias"))


def test_image_normalisation_undoes_its_mean_and_spread() -> None:
    normalise = ImageNormalisation((0.5, 0.4, 0.3), (0.1, 0.2, 0.5))
    frames = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1) + torch.tensor([0.1, 0.2, 0.5]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(frames), torch.ones(1, 3, 1, 1))
