from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tinct.methods.feelvos import COMPACT, Options
from tinct.networks.feelvos import FeelvosNetwork
from tinct.networks.feelvos_parts import FeelvosConfig, FrameEncoding
from tinct.training.recipes.feelvos import RECIPES
from tinct.training.recipes.feelvos_task import (
    COMPACT_LOSS,
    PAPER_LOSS,
    FeelvosTask,
    LossOptions,
    findable,
    paper_rate,
    stack_scores,
)

H, W = 48, 64


def batch(
    frames: int, objects: tuple[int, ...] = (2, 1), size: tuple[int, int] = (H, W)
) -> dict[str, Tensor]:
    """Clips in which bright squares move right; the second clip has one object fewer, and void."""
    random = torch.Generator().manual_seed(3)
    height, width = size
    images = torch.randint(0, 60, (len(objects), frames, height, width, 3), generator=random).to(torch.uint8)
    labels = torch.zeros(len(objects), frames, height, width, dtype=torch.uint8)
    previous = torch.zeros(len(objects), 2, height, width, dtype=torch.uint8)
    for b, count in enumerate(objects):
        for k in range(count):
            for t in range(frames):
                rows = slice(4 + k * height // 2, height // 2 - 4 + k * height // 2)
                labels[b, t, rows, 6 + 2 * t : 24 + 2 * t] = k + 1
            previous[b, k] = 255 * (labels[b, 1] == k + 1)
        images[b][labels[b] > 0] += 120
    labels[-1, :, :3] = 255
    return {"frames": images, "labels": labels, "previous": previous, "objects": torch.tensor(objects)}


@pytest.fixture(scope="module")
def compact() -> FeelvosTask:
    torch.manual_seed(0)
    return RECIPES["mobilenetv2"].build_task().train()


def test_a_step_teaches_all_but_the_frozen_layers(compact: FeelvosTask) -> None:
    compact.zero_grad()
    loss, figures = compact(batch(4), 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert set(figures) == {"loss", "bootstrapped", "cross_entropy", "dice", "coarse", "matching"}
    expected = sum(getattr(COMPACT_LOSS, name) * float(v) for name, v in figures.items() if name != "loss")
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    gradients = {
        name: 0.0 if p.grad is None else float(p.grad.abs().sum())
        for name, p in compact.network.named_parameters()
    }
    frozen = {name for name, p in compact.network.named_parameters() if not p.requires_grad}
    assert {"extractor.backbone.body.conv_stem.weight"} <= frozen
    for name in frozen:
        assert gradients[name] == 0, name
    # The refinement's last layer starts at zero: what lies before it is taught from the second step on.
    for name in (
        "head.score.weight", "head.first.on_maps.weight", "head.refinement.score.weight",
        "embedding.log_length", "embedding.projection.weight", "embedding.branch.weight",
        "extractor.smooth_8.weight", "extractor.smooth_16.weight", "extractor.laterals.2.weight",
    ):  # fmt: skip
        assert gradients[name] > 0, name


def test_the_gradient_flows_through_the_mask_that_is_fed_back(compact: FeelvosTask) -> None:
    clip = batch(5, objects=(2,))
    frames = clip["frames"].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    seen = compact.network.encode(frames)
    encodings = [seen.select(torch.tensor([t])) for t in range(5)]
    labels = clip["labels"].long()
    runs = [compact._start(encodings[0], 0, labels[0, 0], clip["previous"][0], 2)]
    assert not runs[0].probs.requires_grad
    compact._query(encodings[1], encodings[2], runs, labels[:, 2], 0, {})
    first = runs[0].probs
    assert first.shape[0] == 3
    torch.testing.assert_close(first.sum(0), torch.ones_like(first[0]))
    parts: dict[str, list[Tensor]] = {}
    compact._query(encodings[2], encodings[3], runs, labels[:, 3], 0, parts)
    [gradient] = torch.autograd.grad(parts["cross_entropy"][0], first)
    assert gradient.abs().sum() > 0


def test_the_loss_depends_on_the_seed_of_the_step_alone(compact: FeelvosTask) -> None:
    losses = []
    for seed in (1, 1):
        torch.manual_seed(seed)
        losses.append(compact(batch(4), 0)[0].item())
    assert losses[0] == losses[1]


def test_a_memory_of_rolled_out_frames_joins_the_reference() -> None:
    network, options = FeelvosNetwork(COMPACT.config), replace(COMPACT, reference_pixels=8)
    sizes: list[int] = []

    class Watching(FeelvosTask):
        def _query(self, previous, query, runs, labels, step, parts):  # type: ignore[no-untyped-def]
            sizes.append(len(runs[0].reference.embedding))
            super()._query(previous, query, runs, labels, step, parts)

    for memory in (0.0, 1.0):
        Watching(network, options, replace(COMPACT_LOSS, memory=memory))(batch(5, objects=(1,)), 0)
    without, with_memory = sizes[:3], sizes[3:]
    assert without == [without[0]] * 3
    assert with_memory[0] < with_memory[1] < with_memory[2]


def test_an_emptied_previous_mask_teaches_matching_nothing_of_its_object(compact: FeelvosTask) -> None:
    clip = batch(3, objects=(1,))
    kept = float(compact(clip, 0)[1]["matching"])
    clip["previous"][:] = 0
    # Distance 80 to an object that is nowhere would be the whole loss.
    assert float(compact(clip, 0)[1]["matching"]) < kept + 1


def test_pixels_whose_label_is_nowhere_are_void() -> None:
    readout = torch.tensor([[-1.0, -80.0, -2.0], [-80.0, -3.0, -80.0]]).reshape(1, 2, 1, 3)
    assert findable(readout, torch.tensor([[[0, 0, 1]]])).tolist() == [[[0, 255, 255]]]
    assert findable(readout, torch.tensor([[[255, 1, 0]]])).tolist() == [[[255, 1, 0]]]


def test_learning_rates_of_the_parts(compact: FeelvosTask) -> None:
    groups = {factor: parameters for parameters, factor in compact.parameter_groups()}
    assert set(groups) == {0.1, 0.3, 1.0}
    assert len(groups[0.3]) == 1
    trained = [p for p in compact.network.parameters() if p.requires_grad]
    assert sum(len(parameters) for parameters in groups.values()) == len(trained)


def test_the_papers_rates_are_one_for_all_and_twice_that_for_biases() -> None:
    for name, rate in {
        "extractor.backbone.stem_0.conv.weight": 1.0,
        "extractor.backbone.stem_0.bn.bias": 1.0,
        "extractor.aspp.project.1.bias": 1.0,
        "embedding.pointwise.weight": 1.0,
        "embedding.pointwise.bias": 2.0,
        "head.score.bias": 2.0,
    }.items():
        assert paper_rate(name) == rate, name


@pytest.mark.parametrize(
    "change",
    [
        {"global_matching": False}, {"previous_matching": "none"}, {"previous_matching": "frame"},
        {"previous_prediction": False},
    ],
)  # fmt: skip
def test_every_part_that_is_left_out_changes_the_loss_and_all_is_still_taught(
    compact: FeelvosTask, change: dict[str, object]
) -> None:
    network, losses = deepcopy(compact.network), []
    torch.nn.init.normal_(network.head.score.weight, std=0.5)
    options = replace(compact.options, local_radius=1)
    for chosen in (options, replace(options, **change)):
        task = FeelvosTask(network, chosen, compact.loss)
        task.zero_grad()
        torch.manual_seed(0)
        loss, _ = task(batch(3), 0)
        loss.backward()
        losses.append(loss.item())
        assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    assert abs(losses[0] - losses[1]) > 1e-4


def test_the_papers_labels_are_hard_and_on_the_corners_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinct.networks.deeplab.DeepLabV3Plus", _SmallExtractor)
    config = FeelvosConfig(feature_channels=8, embedding_channels=8, head_channels=8)
    task = FeelvosTask(FeelvosNetwork(config, 16), Options(config, local_radius=3), PAPER_LOSS)
    embedding = torch.rand(1, 8, 17, 17)
    labels = torch.zeros(65, 65, dtype=torch.int64)
    labels[64, 64] = 1  # The corner of the frame is the corner of the grid.
    previous = (labels == 1)[None].to(torch.uint8) * 255
    run = task._start(FrameEncoding(embedding, embedding, None), 0, labels, previous, 1)
    assert run.membership[1].nonzero().tolist() == [[16, 16]]
    assert run.probs[1, 16, 16] == 1
    assert set(run.probs.unique().tolist()) == {0.0, 1.0}


def test_the_papers_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's head, embedding and loss, over a small extractor in place of Xception-65."""
    monkeypatch.setattr("tinct.networks.deeplab.DeepLabV3Plus", _SmallExtractor)
    config = FeelvosConfig(feature_channels=16, embedding_channels=8, head_channels=8)
    options = Options(config, output_stride=16, local_radius=3)
    torch.manual_seed(0)
    task = FeelvosTask(FeelvosNetwork(config, 16), options, LossOptions(bootstrap_steps=10)).train()
    clip = batch(3, size=(65, 65))
    loss, figures = task(clip, 0)
    loss.backward()
    assert set(figures) == {"loss", "bootstrapped"}
    for name, parameter in task.network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert task.network.embedding.pointwise.weight.grad.abs().sum() > 0
    # The schedule: later the hardest pixels alone count, and they cost more.
    torch.manual_seed(0)
    early = task(clip, 0)[0].item()
    torch.manual_seed(0)
    assert task(clip, 10)[0].item() > early


class _SmallExtractor(torch.nn.Module):
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

    def __init__(self, backbone: str, output_stride: int, channels: int) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, channels, 4, stride=4)

    def forward(self, frames: Tensor) -> Tensor:
        return self.convolution(frames)


def test_scores_of_clips_with_fewer_objects_are_padded() -> None:
    stacked = stack_scores([torch.zeros(3, 2, 2), torch.ones(2, 2, 2)])
    assert stacked.shape == (2, 3, 2, 2)
    assert (stacked[1, :2] == 1).all()
    assert stacked[1].softmax(0)[2].max() < 1e-30
