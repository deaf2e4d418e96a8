"""DyeNet's network in all its makes: shapes, empty lists of boxes, what shares what, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tinct.errors import OptionError
from tinct.methods.feelvos import COMPACT_CONFIG
from tinct.networks.dyenet.network import COMPACT, PAPER, DyeNetConfig, DyeNetNetwork, FrameFeatures
from tinct.networks.feelvos import FeelvosNetwork
from tinct.networks.guided_pyramid import take_over_pyramid
from tinct.networks.pyramid import FeaturePyramid
from tinct.ops.rois import pooled
from tinct.ops.views import full_view

SIZE = (61, 83)
BOXES = torch.tensor([[8.0, 8.0, 40.0, 48.0], [-9.0, 20.0, 30.0, 75.0], [50.0, 10.0, 50.4, 60.0]])
INDEX = torch.tensor([0, 1, 1])

MAKES = {
    "compact": replace(COMPACT, roi_grid=8, hidden=12),
    "compact, plain": DyeNetConfig("mobilenetv2", roi_grid=7, hidden=12, attention=False),
    "compact, two streams": replace(COMPACT, roi_grid=8, hidden=12, two_streams=True),
    "resnet101": replace(PAPER, roi_grid=8, hidden=20),
    "resnet101, advanced": replace(PAPER, roi_grid=8, hidden=6, pyramid=True, two_streams=True),
    "xception65": replace(PAPER, backbone="xception65", roi_grid=8, hidden=16),
    "xception65, advanced": DyeNetConfig("xception65", 8, 6, pyramid=True, two_streams=True, mask_guide=True),
}


@pytest.fixture(scope="module", params=MAKES)
def network(request: Any, thin_networks: Any) -> Iterator[DyeNetNetwork]:
    torch.manual_seed(0)
    with thin_networks():
        yield DyeNetNetwork(MAKES[request.param]).eval()


@pytest.fixture(scope="module")
def compact(thin_networks: Any) -> DyeNetNetwork:
    torch.manual_seed(0)
    return DyeNetNetwork(MAKES["compact"]).eval()


def features_of(network: DyeNetNetwork, count: int = 2) -> FrameFeatures:
    flows = torch.randn(count, 2, *SIZE) if network.config.two_streams else None
    return network.features(torch.rand(count, 3, *SIZE), flows)


def answers(network: DyeNetNetwork, features: FrameFeatures, boxes: Tensor, index: Tensor) -> list[Tensor]:
    """Everything that the network says of boxes."""
    m, d, M, N = network.config.roi_grid, network.config.hidden, network.mask_grid, len(boxes)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.rand(3, d, m, m, generator=generator)[:N]
    masks = torch.rand(3, M, M, generator=generator)[:N]
    before = network.remember(features, boxes, index, masks)
    recalled = torch.rand(3, 2, M, M, generator=generator)[:N]
    return [
        network.embeddings(features, boxes, index),
        network.mask_logits(features, boxes, index),
        network.begin(features, boxes, index, masks, recalled),
        *network(features, boxes, index, hidden, masks, recalled, before),
    ]


@torch.no_grad()
def test_shapes_in_every_make(network: DyeNetNetwork) -> None:
    config, features = network.config, features_of(network)
    m, d, M = config.roi_grid, config.hidden, network.mask_grid
    assert (2 * m == M) == config.pyramid
    assert features.coarse.shape[-2:] == (8, 11)
    assert (features.fine is not None) == config.pyramid
    assert features.fine is None or features.fine.shape[-2:] == (16, 21)
    assert (features.motion is not None) == config.two_streams
    assert features.motion is None or features.motion.shape == features.coarse.shape
    found = answers(network, features, BOXES, INDEX)
    assert [tuple(x.shape) for x in found] == [
        (3, 256), (3, M, M), (3, d, m, m), (3, M, M), (3, d, m, m), (3, m, m)
    ]  # fmt: skip
    assert all(torch.isfinite(x).all() for x in found)
    torch.testing.assert_close(found[0].norm(dim=1), torch.ones(3))
    torch.testing.assert_close(found[-1].sum((1, 2)), torch.ones(3))


@torch.no_grad()
def test_no_boxes_give_nothing(network: DyeNetNetwork) -> None:
    found = answers(network, features_of(network), BOXES[:0], INDEX[:0])
    full = answers(network, features_of(network), BOXES, INDEX)
    assert [x.shape[1:] for x in found] == [x.shape[1:] for x in full]
    assert {len(x) for x in found} == {0}


@torch.no_grad()
def test_proposals_in_every_make(network: DyeNetNetwork) -> None:
    found = network.proposals(features_of(network), full_view(SIZE), count=5)
    assert [len(p.boxes) for p in found] == [len(p.scores) for p in found]
    assert all(0 < len(p.boxes) <= 5 and p.boxes[:, [0, 2]].max() <= SIZE[1] for p in found)


@torch.no_grad()
def test_boxes_do_not_see_each_other(network: DyeNetNetwork) -> None:
    features = features_of(network)
    together = answers(network, features, BOXES, INDEX)
    alone = answers(network, features.select(slice(0, 1)), BOXES[:1], INDEX[:1])
    for one, all_of_them in zip(alone, together, strict=True):
        torch.testing.assert_close(one, all_of_them[:1], atol=1e-4, rtol=1e-3)


def test_every_layer_learns(network: DyeNetNetwork) -> None:
    """All that is not frozen has a gradient from proposals, embeddings, masks and two steps of recurrence."""
    network = deepcopy(network)
    features = features_of(network)
    embeddings, logits, hidden = answers(network, features, BOXES, INDEX)[:3]
    before = network.remember(features, BOXES, INDEX, torch.rand(3, 4, 4))
    recalled = torch.rand(3, 2, 4, 4)
    seen = network(features, BOXES, INDEX, hidden, torch.rand(3, 4, 4), recalled, before)
    again = network(features, BOXES, INDEX, seen.hidden, torch.rand(3, 4, 4), recalled, before)
    losses = network.proposal_losses(features, [BOXES[:1], BOXES[:0]])
    parts = [embeddings @ torch.rand(256), logits, again.mask_logits, *losses.values()]
    torch.stack([p.square().sum() for p in parts]).sum().backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


@torch.no_grad()
def test_features_may_be_stored_in_half_precision(compact: DyeNetNetwork) -> None:
    features = features_of(compact)
    stored = FrameFeatures(*(None if maps is None else maps.half() for maps in features))  # type: ignore[arg-type]
    for half, full in zip(
        answers(compact, stored, BOXES, INDEX), answers(compact, features, BOXES, INDEX), strict=True
    ):
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, full, atol=0.02 * full.abs().max().item(), rtol=0.02)
    assert compact.proposals(stored, full_view(SIZE))[0].boxes.dtype == torch.float32


@torch.no_grad()
def test_a_second_stream_adds_nothing_before_it_is_trained(thin_networks: Any) -> None:
    with thin_networks():
        two = DyeNetNetwork(MAKES["resnet101, advanced"])
    features = features_of(two)
    assert features.motion is not None
    assert not features.motion.any()
    with pytest.raises(OptionError, match="give the flow"):
        two.features(torch.rand(1, 3, *SIZE))


@torch.no_grad()
def test_motion_joins_masks_but_not_identities(compact: DyeNetNetwork) -> None:
    features = features_of(compact)
    moving = features._replace(motion=torch.randn_like(features.coarse))
    still, moved = (answers(compact, f, BOXES, INDEX) for f in (features, moving))
    torch.testing.assert_close(still[0], moved[0])
    for before, after in zip(still[1:4], moved[1:4], strict=True):
        assert not torch.allclose(before, after)


@torch.no_grad()
def test_before_any_training_embeddings_compare_as_imagenets_features_do(compact: DyeNetNetwork) -> None:
    features = features_of(compact)
    embeddings = compact.embeddings(features, BOXES, INDEX)
    assert features.identity is not None
    cells = pooled(features.identity, BOXES, INDEX, compact.reid_grid // 2, 8).mean((2, 3))
    expected = F.normalize(cells, dim=1)
    torch.testing.assert_close(embeddings @ embeddings.T, expected @ expected.T)


@torch.no_grad()
def test_the_given_mask_is_where_the_hidden_state_starts(compact: DyeNetNetwork) -> None:
    features, m = features_of(compact), compact.config.roi_grid
    masks = torch.zeros(3, compact.mask_grid, compact.mask_grid)
    masks[:, : compact.mask_grid // 2] = 1
    hidden = compact.begin(features, BOXES, INDEX, masks, torch.zeros(3, 2, *masks.shape[1:]))
    assert hidden[:, :, : m // 2].any()
    assert not hidden[:, :, m // 2 :].any()


def test_a_network_with_a_matching_guide_asks_for_what_is_recalled(compact: DyeNetNetwork) -> None:
    features, masks, recalled = features_of(compact), torch.rand(3, 8, 8), torch.rand(3, 2, 8, 8)
    with pytest.raises(OptionError, match="annotated frames"):
        compact.begin(features, BOXES, INDEX, masks)
    hidden = compact.begin(features, BOXES, INDEX, masks, recalled)
    with pytest.raises(OptionError, match="the frame before"):
        compact(features, BOXES, INDEX, hidden, masks, recalled)


def test_the_papers_backbones_have_no_matching_guide() -> None:
    with pytest.raises(OptionError, match="'resnet101', which has no embedding"):
        DyeNetConfig(matching_guide=True)


@torch.no_grad()
def test_painted_frames_and_the_frame_before_are_told_apart(compact: DyeNetNetwork) -> None:
    """What each recalls joins where its own weights are."""
    features, masks = features_of(compact), torch.rand(3, 8, 8)
    full, empty = (compact.remember(features, BOXES, INDEX, m) for m in (0 * masks + 1, 0 * masks))
    all_of_it, nothing = torch.ones(3, 2, 8, 8), torch.zeros(3, 2, 8, 8)
    hidden = compact.begin(features, BOXES, INDEX, masks, all_of_it)
    given = [(all_of_it, full), (nothing, full), (all_of_it, empty)]
    found = [compact(features, BOXES, INDEX, hidden, masks, *pair).mask_logits for pair in given]
    assert all(not torch.allclose(one, other) for one, other in combinations(found, 2))


def test_feelvoss_embedding_is_taken_over(compact: DyeNetNetwork) -> None:
    source = FeelvosNetwork(COMPACT_CONFIG).eval()
    fresh = DyeNetNetwork(compact.config).eval()
    take_over_pyramid(fresh.extractor, dict(source.state_dict()), "")
    frames = torch.rand(1, 3, *SIZE)
    torch.testing.assert_close(fresh.features(frames).embedding, source.encode(frames).embedding)


def test_a_compact_pyramid_is_taken_over(compact: DyeNetNetwork) -> None:
    source = FeaturePyramid("mobilenetv2_100", 96, 24)
    tensors = {f"extractor.{name}": value for name, value in source.state_dict().items()}
    fresh = DyeNetNetwork(compact.config)
    assert take_over_pyramid(fresh.extractor.extractor, tensors, "extractor.") == len(tensors)
    frames = torch.rand(1, 3, *SIZE)
    torch.testing.assert_close(fresh.features(frames).coarse, source(frames).features)


def test_imagenet_reaches_every_copy_of_the_backbone(
    thin_networks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinct.networks import staged_backbones

    def load(model: torch.nn.Module, name: str, source: str) -> str:
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, 0.5)
        return f"{name} from {source}"

    monkeypatch.setattr(staged_backbones, "load_imagenet", load)
    with thin_networks():
        network = DyeNetNetwork(MAKES["resnet101, advanced"])
        assert network.start_from_imagenet("here") == "resnet101.tv_in1k from here"
    for copy in (network.mask_network.stage, network.reid.stage, network.recurrent.function.stage):
        assert copy.state_dict()["body.layer4.0.conv1.weight"].std() < 1e-6
    # Three colours' worth on two channels of flow.
    assert network.motion is not None
    of_flow = network.motion.state_dict()["stages.body.conv1.weight"]
    of_colour = network.extractor.state_dict()["stages.body.conv1.weight"]
    torch.testing.assert_close(of_flow, 1.5 * of_colour[:, :2])


def test_training_freezes_the_first_layers(network: DyeNetNetwork) -> None:
    network = deepcopy(network)
    network.freeze_for_training()
    frozen = {n.split(".")[0] for n, p in network.named_parameters() if not p.requires_grad and p.ndim > 1}
    assert frozen == {"extractor"}
    assert any(p.requires_grad for p in network.extractor.parameters())
    assert network.rpn.rpn.head.cls_logits.weight.requires_grad


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "resnet100"}, "Did you mean 'resnet101'"),
        ({"roi_grid": 1}, "at least 2 cells"),
        ({"hidden": 0}, "0 hidden channels"),
    ],
)
def test_a_make_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DyeNetConfig(**fields)


def test_the_compact_network_is_small() -> None:
    with torch.device("meta"):
        network = DyeNetNetwork(COMPACT)
    assert 2 * sum(p.numel() for p in network.state_dict().values()) < 8e6
