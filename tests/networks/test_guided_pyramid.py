"""The compact stream: sizes, what the guide does, what belongs to an object, taking weights over."""

from __future__ import annotations

import pytest
import torch

from tinct.networks.guided_pyramid import GuidedPyramid, take_over_pyramid
from tinct.networks.pyramid import FeaturePyramid


@pytest.fixture(scope="module")
def stream() -> GuidedPyramid:
    torch.manual_seed(0)
    return GuidedPyramid("mobilenetv2_100", guides=1).eval()


@pytest.mark.parametrize("size", [(48, 64), (47, 61), (33, 90)])
def test_logits_of_stride_4_of_any_size(stream: GuidedPyramid, size: tuple[int, int]) -> None:
    features = stream.features(torch.rand(2, 3, *size))
    output = stream(features, torch.rand(2, 1, *size), deep_supervision=True)
    expected = (2, -(-size[0] // 4), -(-size[1] // 4))
    assert output.fused.shape == expected
    assert [side.shape for side in output.sides] == [expected] * 4


def test_features_are_shared_by_objects(stream: GuidedPyramid) -> None:
    features = stream.features(torch.rand(1, 3, 48, 64))
    guides = torch.rand(3, 1, 48, 64)
    together = stream(features, guides).fused
    for guide, fused in zip(guides, together, strict=True):
        torch.testing.assert_close(stream(features, guide[None]).fused[0], fused, atol=1e-5, rtol=1e-4)


def test_the_guide_matters_and_its_gradient_reaches_it(stream: GuidedPyramid) -> None:
    features = stream.features(torch.rand(1, 3, 48, 64))
    guide = torch.rand(1, 1, 48, 64, requires_grad=True)
    fused = stream(features, guide).fused
    assert not torch.equal(fused, stream(features, torch.zeros(1, 1, 48, 64)).fused)
    fused.sum().backward()
    assert guide.grad is not None
    assert guide.grad.abs().sum() > 0


def test_without_guides() -> None:
    plain = GuidedPyramid("mobilenetv2_100", guides=0)
    assert plain.guides is None
    assert plain(plain.features(torch.rand(1, 3, 32, 32))).fused.shape == (1, 8, 8)


def test_an_objects_layers_are_all_but_the_backbone(stream: GuidedPyramid) -> None:
    own = stream.object_layers()
    backbone = {f"backbone.{name}" for name, _ in stream.backbone.named_parameters()}
    assert not own.keys() & backbone
    assert own.keys() | backbone == dict(stream.named_parameters()).keys()
    assert sum(p.numel() for p in own.values()) < 600_000


def test_a_feature_pyramid_is_taken_over(stream: GuidedPyramid) -> None:
    source = FeaturePyramid("mobilenetv2_100", 96, 24)
    tensors = {f"extractor.{name}": value for name, value in source.state_dict().items()}
    fresh = GuidedPyramid("mobilenetv2_100", guides=1)
    assert take_over_pyramid(fresh, tensors, "extractor.") == len(tensors)
    torch.testing.assert_close(fresh.smooth_8.weight, source.smooth_8.weight)
    assert take_over_pyramid(fresh, tensors, "other.") == 0
