"""What DyeNet learns: every part, through time; the hidden teach an empty mask, the lost nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from tinct.networks.dyenet.matching_guide import AnnotatedCells, annotated_cells
from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork
from tinct.networks.dyenet.oim import OnlineInstanceMatching
from tinct.networks.dyenet.patches import WholeFrames
from tinct.networks.dyenet.recurrent_mask import at_grid
from tinct.networks.dyenet.roll_out import begin_to_follow, follow
from tinct.networks.dyenet.training_network import (
    DyeNetLearning,
    DyeNetLossOptions,
    boxes_beside,
    matching_loss,
    moved_boxes,
    regions_of,
)
from tinct.shapes import VOID

H, W = 64, 96
MAKE = replace(COMPACT, roi_grid=6, hidden=8)


def clips(frames: int = 4, step_px: int = 3) -> dict[str, Tensor]:
    """Two clips of two squares that move to the right."""
    images = torch.full((2, frames, H, W, 3), 40, dtype=torch.uint8)
    labels = torch.zeros(2, frames, H, W, dtype=torch.uint8)
    for t in range(frames):
        x = step_px * max(0, t - 1)
        labels[:, t, 6:26, 8 + x : 30 + x] = 1
        labels[1, t, 36:60, 10 + x : 36 + x] = 2
    images[labels == 1], images[labels == 2] = 200, 120
    backward = torch.zeros(2, frames, H, W, 2, dtype=torch.float16)
    backward[..., 0] = -step_px
    previous = torch.stack([255 * (labels[:, min(1, frames - 1)] == k).to(torch.uint8) for k in (1, 2, 3)], 1)
    identities = torch.tensor([[0, -1, -1], [1, 2, -1]])
    return {
        "frames": images, "labels": labels, "previous": previous, "identities": identities,
        "flow_backward": backward, "objects": torch.tensor([1, 2]),
    }  # fmt: skip


@pytest.fixture
def learning() -> DyeNetLearning:
    torch.manual_seed(0)
    network = DyeNetNetwork(MAKE).train()
    return DyeNetLearning(network, OnlineInstanceMatching(4, queue=16), DyeNetLossOptions(min_pixels=20))


@pytest.mark.parametrize(
    ("frames", "parts"),
    [
        (1, {"proposals"}),
        (2, {"proposals", "masks", "identities", "recognised"}),
        (4, {"proposals", "masks", "identities", "recognised", "propagation", "iou", "matching"}),
    ],
)
def test_longer_clips_teach_more(learning: DyeNetLearning, frames: int, parts: set[str]) -> None:
    learning.options = replace(learning.options, matching=1.0)
    found = learning.parts(clips(frames))
    assert set(found) == parts
    assert all(torch.isfinite(value) and value >= 0 for value in found.values())


def test_parts_without_weight_are_left_out(learning: DyeNetLearning) -> None:
    learning.options = replace(learning.options, proposals=0.0, identities=0.0, propagation=0.0)
    assert set(learning.parts(clips())) == {"masks"}


def test_the_weighted_sum() -> None:
    options = DyeNetLossOptions(proposals=0.5, identities=2.0, masks=3.0, propagation=4.0)
    parts = {"masks": torch.tensor(1.0), "identities": torch.tensor(10.0), "iou": torch.tensor(0.3)}
    assert options.weighted(parts) == 23


def test_a_step_teaches_every_layer(learning: DyeNetLearning) -> None:
    parts = learning.parts(clips())
    learning.options.weighted(parts).backward()
    # What starts at 0 keeps what lies before it from learning, until the second step.
    waiting = ("reid.stage.", "reid.weigh.")
    for name, parameter in learning.network.named_parameters():
        if parameter.requires_grad and not name.startswith(waiting) and ".bn" not in name:
            assert parameter.grad is not None, name
    grown = {name.split(".")[0] for name, p in learning.network.named_parameters() if p.grad is not None}
    assert grown == {"extractor", "rpn", "mask_network", "reid", "recurrent"}


def test_matching_is_judged_by_every_cell_that_is_decided(learning: DyeNetLearning) -> None:
    """What a cell recalls rightly costs nothing, else the logarithm of what it denies; void costs nothing."""
    labels = torch.zeros(1, 4, 16, 16, dtype=torch.long)
    labels[0, 2:, :8, :8], labels[0, 2:, 8:, 8:] = 1, VOID
    clip, k = torch.tensor([0]), torch.tensor([0])
    right = torch.zeros(2, 1, 2, 2, 2)
    right[:, :, 0, 0, 0] = 1
    assert float(matching_loss(right, labels, clip, k)) == pytest.approx(1e-4, rel=0.01)
    wrong = right.clone()
    wrong[0, 0, 0, 0, 0] = math.exp(-3)
    assert float(matching_loss(wrong, labels, clip, k)) == pytest.approx(3 / 6, rel=0.01)


def test_objects_on_the_start_frame_alone_are_annotated_there(
    learning: DyeNetLearning, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[bool] = []

    def recorded(embedding: Tensor, shares: Tensor) -> AnnotatedCells:
        shown.append(bool(shares.any()))
        return annotated_cells(embedding, shares)

    monkeypatch.setattr("tinct.networks.dyenet.training_network.annotated_cells", recorded)
    batch = clips(4)
    batch["labels"][:, 0] = 0
    for seed in range(5):
        shown.clear()
        torch.manual_seed(seed)
        learning.parts(batch)
        assert sum(shown) == 2  # the start frame of both clips, whatever was drawn


def test_the_gradient_flows_through_time(learning: DyeNetLearning) -> None:
    batch = clips(5)
    batch["labels"][:, 2:4] = VOID
    previous = batch["previous"].float().requires_grad_()
    learning.options = DyeNetLossOptions(proposals=0.0, identities=0.0, masks=0.0)
    learning.parts({**batch, "previous": previous})["propagation"].backward()
    assert previous.grad is not None
    assert previous.grad[:, 0].abs().sum() > 0


@pytest.mark.parametrize("references_first", [False, True])
def test_the_table_changes_after_the_loss(learning: DyeNetLearning, references_first: bool) -> None:
    """But for the compact recipe's references, which are templates."""
    learning.options = replace(learning.options, references_first=references_first)
    at_loss: list[Tensor] = []
    learning.matching.register_forward_pre_hook(lambda matching, _: at_loss.append(matching.table.clone()))
    learning.parts(clips(2))
    known = torch.tensor([1.0, 1, 1, 0])
    before = known if references_first else torch.zeros(4)
    torch.testing.assert_close(at_loss[0].norm(dim=1), before)
    torch.testing.assert_close(learning.matching.table.norm(dim=1), known)
    assert learning.matching.queue.any()


def test_the_table_sees_what_other_processes_saw(learning: DyeNetLearning) -> None:
    def gather(embeddings: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([embeddings, embeddings[:1]]), torch.cat([identities, torch.tensor([3])])

    learning.gather = gather
    learning.parts(clips(2))
    torch.testing.assert_close(learning.matching.table.norm(dim=1), torch.ones(4))


def test_a_void_frame_teaches_no_mask(learning: DyeNetLearning) -> None:
    batch = clips()
    batch["labels"][:, 2:] = VOID
    assert learning.parts(batch)["propagation"] == 0


def test_who_is_hidden_teaches_an_empty_mask(learning: DyeNetLearning) -> None:
    learning.options = DyeNetLossOptions(proposals=0.0, identities=0.0, masks=0.0)
    hidden = clips(3)
    hidden["labels"][:, 2] = 0
    score = learning.network.recurrent.output.score
    losses = []
    for bias in (-6.0, 6.0):
        torch.nn.init.zeros_(score.weight)
        torch.nn.init.constant_(score.bias, bias)
        losses.append(float(learning.parts(hidden)["propagation"].detach()))
    assert losses[0] < 0.01
    assert losses[1] > 5


def test_who_is_lost_teaches_nothing_more(learning: DyeNetLearning) -> None:
    learning.options = DyeNetLossOptions(proposals=0.0, identities=0.0, masks=0.0, enlargement=(1.3, 1.3))
    torch.nn.init.zeros_(learning.network.recurrent.output.score.weight)
    torch.nn.init.constant_(learning.network.recurrent.output.score.bias, -6.0)
    short, long = clips(3), clips(5)
    one, three = (float(learning.parts(c)["propagation"].detach()) for c in (short, long))
    assert three == pytest.approx(one / 3)


def test_nobody_to_follow_is_no_error(learning: DyeNetLearning) -> None:
    batch = clips()
    batch["previous"][:], batch["labels"][:] = 0, 0
    parts = learning.parts(batch)
    assert {parts[name].item() for name in ("masks", "identities", "propagation")} == {0.0}
    learning.options.weighted(parts).backward()


@pytest.mark.parametrize("two_streams", [False, True])
def test_masks_and_their_recurrence_learn_on_patches(
    two_streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = DyeNetNetwork(replace(MAKE, two_streams=two_streams)).train()
    options = DyeNetLossOptions(min_pixels=20, patch_side=48, most_objects=2, most_masks=3, proposals=0.0)
    learning = DyeNetLearning(network, OnlineInstanceMatching(4, queue=16), options)
    sizes: list[tuple[int, ...]] = []
    inner = network.features
    monkeypatch.setattr(network, "features", lambda x, flows: (sizes.append(x.shape), inner(x, flows))[1])
    parts = learning.parts(clips())
    # Identities and matching on whole frames; masks in 3 patches; the start and two steps in 2 each.
    assert sizes == [(8, 3, H, W), (3, 3, 48, 48), *[(2, 3, 48, 48)] * 3]
    options.weighted(parts).backward()
    taught = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert {"mask_network", "reid", "recurrent", "extractor"} <= taught
    assert ("motion" in taught) == two_streams


def test_nobody_to_follow_on_patches(learning: DyeNetLearning) -> None:
    learning.options = replace(learning.options, patch_side=48)
    batch = clips()
    batch["previous"][:], batch["labels"][:] = 0, 0
    parts = learning.parts(batch)
    assert {parts[name].item() for name in ("masks", "propagation")} == {0.0}


@torch.no_grad()
def test_boxes_follow_the_flow() -> None:
    network = DyeNetNetwork(MAKE).eval()
    batch = clips(3, step_px=5)
    pictures = batch["frames"][:, 2].permute(0, 3, 1, 2).float() / 255
    features = WholeFrames(network.features(pictures))
    masks = batch["previous"][1, :2].float() / 255
    at = torch.tensor([1, 1])
    recalled = torch.rand(2, 2, *network.features(pictures).coarse.shape[-2:])
    before = begin_to_follow(network, features, at, masks, 1.0, recalled)
    torch.testing.assert_close(before.boxes, torch.tensor([[8.0, 6, 30, 26], [10, 36, 36, 60]]))
    flow = batch["flow_backward"][:, 2].permute(0, 3, 1, 2).float()
    step = follow(network, features, at, before, flow, at, 1.0, recalled)
    torch.testing.assert_close(step.followed.boxes, torch.tensor([[13.0, 6, 35, 26], [15, 36, 41, 60]]))
    assert step.present.all()
    assert step.mask_logits.shape == (2, 12, 12)
    inside = step.followed.masks.flatten(1).amax(1)
    torch.testing.assert_close(inside, torch.sigmoid(step.mask_logits).flatten(1).amax(1), atol=0.02, rtol=0)
    # What the next step is told of this one: its own masks over its own boxes.
    assert step.followed.cells is not None
    shares = step.followed.cells.shares.view(2, 6, 6)
    torch.testing.assert_close(shares, at_grid(torch.sigmoid(step.mask_logits)[:, None], 6)[:, 0])
    gone = follow(network, features, at, before._replace(masks=0 * masks), flow, at, 1.0, recalled)
    assert not gone.present.any()


def test_regions_of_frames() -> None:
    labels = torch.zeros(3, 8, 10, dtype=torch.long)
    labels[0, 1:4, 2:7], labels[2, 5, 5], labels[2, 0:2, 0:3], labels[1] = 1, 2, 3, VOID
    found = regions_of(labels, 3, min_pixels=2)
    assert found.frame.tolist() == [0, 2]
    assert found.object_id.tolist() == [1, 3]
    assert found.boxes.tolist() == [[2, 1, 7, 4], [0, 0, 3, 2]]
    assert len(regions_of(labels, 0, 2).boxes) == 0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(0, 0.5), low=st.floats(0.5, 1), high=st.floats(1, 2))
def test_moved_boxes_stay_near(seed: int, shift: float, low: float, high: float) -> None:
    torch.manual_seed(seed)
    boxes = torch.tensor([[10.0, 20, 40, 30], [0, 0, 5, 50]])
    moved = moved_boxes(boxes, shift, (low, high))
    size, new_size = boxes[:, 2:] - boxes[:, :2], moved[:, 2:] - moved[:, :2]
    ratio = new_size / size
    assert ((ratio > low - 1e-3) & (ratio < high + 1e-3)).all()
    way = (moved[:, :2] + moved[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    assert (way.abs() <= shift * size + 1e-3).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 6), overlap=st.floats(0.05, 0.6))
def test_boxes_beside_objects_overlap_little_and_stay_inside(seed: int, count: int, overlap: float) -> None:
    torch.manual_seed(seed)
    boxes = torch.tensor([[10.0, 20, 60, 50], [0, 0, 25, 50]])
    found = boxes_beside(boxes, (60, 90), count, overlap)
    assert len(found) <= count
    assert (found >= 0).all()
    assert (found <= torch.tensor([90.0, 60, 90, 60])).all()
    assert len(found) == 0 or box_iou(found, boxes).max() < overlap
    assert len(boxes_beside(boxes[:0], (60, 90), 3, overlap)) == 3
