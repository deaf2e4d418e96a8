"""The papers' backbones in two parts: strides and dilations, ImageNet's names and values, what is frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import timm
import torch
from torch import nn

from tinct.networks import staged_backbones
from tinct.networks.staged_backbones import STAGED, FirstStages, LastStage, imagenet_tensors

NAMES = ("resnet101", "xception65")
Published = tuple[FirstStages, LastStage, LastStage]


@pytest.fixture
def thin(thin_networks: Any) -> Iterator[None]:
    with thin_networks():
        yield


def drawn_norms(module: nn.Module) -> None:
    """Batch norms as after training, so that folding them must do something."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.1)


@pytest.fixture(scope="module", params=NAMES)
def published(request: Any) -> Published:
    """The published sizes, without their numbers: the first stages, the last one with and without strides."""
    name = request.param
    with torch.device("meta"):
        return FirstStages(name), LastStage(name, strided=True), LastStage(name, strided=False)


def test_the_published_sizes(published: Published) -> None:
    first, strided, dense = published
    fine, coarse, last = (256, 1024, 2048) if "layer3" in first.body else (128, 728, 2048)
    assert (first.fine_channels, first.channels, dense.channels, strided.channels) == (
        fine,
        coarse,
        last,
        last,
    )
    maps = first(torch.empty(1, 3, 96, 130, device="meta"))
    assert [tuple(m.shape) for m in maps] == [(1, fine, 24, 33), (1, coarse, 12, 17)]
    cells = torch.empty(2, coarse, 28, 28, device="meta")
    assert dense(cells).shape == (2, last, 28, 28)
    assert strided(cells).shape == (2, last, 14, 14)


def test_what_is_not_strided_is_dilated_by_2(published: Published) -> None:
    first, strided, dense = published
    if "layer3" in first.body:
        layers = [b.conv2 for b in (*first.body["layer3"], *dense.body["layer4"])]
        assert len(layers) == 23 + 3
        assert [b.conv2.stride for b in strided.body["layer4"]] == [(2, 2), (1, 1), (1, 1)]
    else:
        middle = first.body["blocks"][3:]
        layers = [layer.conv_dw for block in middle for layer in block.stack if hasattr(layer, "conv_dw")]
        assert len(layers) == 3 * 16
        assert strided.body["blocks"]["19"].stack.conv3.conv_dw.stride == (2, 2)
    assert {(x.dilation, x.padding, x.stride) for x in layers} == {((2, 2), (2, 2), (1, 1))}


def test_the_frozen_part_is_the_papers(published: Published) -> None:
    stages = published[0]
    stages.freeze_for_training()
    name, stage = ("resnet101", "layer3") if "layer3" in stages.body else ("xception65", "blocks")
    trained = {tuple(n.split(".")[1:3]) for n, p in stages.named_parameters() if p.requires_grad}
    first = STAGED[name].frozen
    assert trained == {(stage, str(first + k)) for k in range(3)}
    assert len(stages.body[stage]) == first + 3


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_both_parts_together_are_the_whole_with_its_own_strides(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dilation only fills in cells: of those that the strided backbone has, none changes.

    But for conv4_x's first block, which DeepLab dilates too.
    """
    torch.manual_seed(0)
    whole = timm.create_model(name, **STAGED[name].sizes).eval()
    drawn_norms(whole)
    tensors, first, last = whole.state_dict(), FirstStages(name), LastStage(name, strided=True)

    def load(model: nn.Module, tag: str, source: str) -> str:
        assert tag == STAGED[name].imagenet
        model.load_state_dict(tensors)
        return f"from {source}"

    monkeypatch.setattr(staged_backbones, "load_imagenet", load)
    folded, origin = imagenet_tensors(name, "here")
    assert origin == "from here"
    first.load_imagenet(folded)
    if name == "resnet101":
        first.body["layer3"][0].conv2.dilation = first.body["layer3"][0].conv2.padding = (1, 1)
    last.load_imagenet(folded)
    pictures = torch.rand(1, 3, 65, 65)
    expected = whole.forward_features(pictures)
    found = last(first(pictures)[1][..., ::2, ::2])
    torch.testing.assert_close(found, expected, atol=1e-4 * expected.abs().max().item(), rtol=1e-3)


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("name", NAMES)
def test_the_flow_stream_takes_the_mean_of_the_colours(name: str) -> None:
    """A grey picture looks to two channels as it does to three."""
    torch.manual_seed(0)
    colours, flow = FirstStages(name), FirstStages(name, inputs=2)
    flow.load_imagenet(colours.body.state_dict())
    grey = torch.rand(1, 1, 33, 41)
    torch.testing.assert_close(
        flow(grey.expand(-1, 2, -1, -1)), colours(grey.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-3
    )


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("name", NAMES)
def test_no_boxes(name: str) -> None:
    stage = LastStage(name, strided=False)
    channels = FirstStages(name).channels
    assert stage(torch.zeros(0, channels, 4, 4)).shape == (0, stage.channels, 4, 4)
