from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.ops.losses import (
    FrameLossOptions,
    RegionLossOptions,
    at_size,
    bootstrapped_cross_entropy,
    bootstrapping_schedule,
    class_balanced_cross_entropy,
    frame_losses,
    pixel_cross_entropy,
    region_loss,
    soft_dice,
)
from tinct.shapes import VOID


def drawn(seed: int, labels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, labels, 4, 5, generator=random)
    truth = torch.randint(0, labels, (2, 4, 5), generator=random)
    truth[torch.rand(2, 4, 5, generator=random) < 0.2] = 255
    return logits, truth


def sorted_twin(logits: torch.Tensor, truth: torch.Tensor, kept_fraction: float) -> float:
    """Plain numpy: every image's losses sorted, the hardest averaged, the images averaged."""
    means = []
    for image, labels in zip(logits.double().numpy(), truth.numpy(), strict=True):
        losses = []
        for y, x in np.ndindex(labels.shape):
            scores = image[:, y, x]
            label = labels[y, x]
            losses.append(0.0 if label == 255 else np.log(np.exp(scores).sum()) - scores[label])
        hardest = sorted(losses, reverse=True)[: max(1, round(kept_fraction * len(losses)))]
        means.append(np.mean(hardest))
    return float(np.mean(means))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), kept=st.sampled_from([0.01, 0.1, 0.15, 0.5, 1.0]))
def test_bootstrapped_cross_entropy_is_the_mean_of_the_hardest(seed: int, kept: float) -> None:
    logits, truth = drawn(seed)
    loss = bootstrapped_cross_entropy(logits, truth, kept)
    assert float(loss) == pytest.approx(sorted_twin(logits, truth, kept), rel=1e-4)


def test_bootstrapping_teaches_the_kept_pixels_only() -> None:
    logits = torch.zeros(1, 2, 2, 5)
    logits[0, 0] = torch.arange(10.0).view(2, 5)
    logits.requires_grad_()
    truth = torch.ones(1, 2, 5, dtype=torch.long)
    bootstrapped_cross_entropy(logits, truth, 0.2).backward()
    assert logits.grad is not None
    taught = logits.grad.abs().sum((0, 1)).flatten() > 0
    assert taught.tolist() == [False] * 8 + [True] * 2


def test_void_pixels_teach_nothing() -> None:
    logits, truth = drawn(0)
    logits.requires_grad_()
    (bootstrapped_cross_entropy(logits, truth, 1.0) + soft_dice(logits, truth)).backward()
    assert logits.grad is not None
    void = (truth == 255)[:, None].expand_as(logits)
    assert (logits.grad[void] == 0).all()
    assert (logits.grad[~void] != 0).all()
    assert (pixel_cross_entropy(logits, truth)[truth == 255] == 0).all()


def test_an_image_of_void_alone_costs_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4)
    truth = torch.full((1, 4, 4), 255)
    assert float(bootstrapped_cross_entropy(logits, truth, 0.5)) == 0
    assert float(soft_dice(logits, truth)) == 0


def test_uniform_logits_cost_log_of_the_labels() -> None:
    loss = bootstrapped_cross_entropy(torch.zeros(1, 4, 3, 3), torch.zeros(1, 3, 3, dtype=torch.long), 1.0)
    assert float(loss) == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("step", "warm_up", "expected"),
    [(0, 100, 1.0), (50, 100, 0.575), (100, 100, 0.15), (10_000, 100, 0.15), (0, 0, 1.0), (1, 0, 0.15)],
)
def test_the_schedule_falls_to_its_end_and_stays(step: int, warm_up: int, expected: float) -> None:
    assert bootstrapping_schedule(step, warm_up, 0.15) == pytest.approx(expected)


def test_dice_of_perfect_and_of_opposite_masks() -> None:
    truth = torch.zeros(1, 4, 4, dtype=torch.long)
    truth[0, :2] = 1
    certain = torch.nn.functional.one_hot(truth, 2).permute(0, 3, 1, 2) * 100.0
    assert float(soft_dice(certain, truth)) == pytest.approx(0, abs=1e-6)
    # No overlap of 8 and 8 pixels, smoothed by one: 1 - 1 / 17.
    assert float(soft_dice(-certain, truth)) == pytest.approx(1 - 1 / 17)


def test_dice_counts_the_objects_that_occur_and_not_the_background() -> None:
    truth = torch.zeros(1, 4, 4, dtype=torch.long)
    truth[0, 0] = 2
    logits = torch.zeros(1, 3, 4, 4)
    # Object 2 alone: probabilities of a third everywhere, 4 pixels of 16 true.
    expected = 1 - (2 * 4 / 3 + 1) / (16 / 3 + 4 + 1)
    assert float(soft_dice(logits, truth)) == pytest.approx(expected)


def test_balanced_classes_weigh_the_same_however_small_the_object() -> None:
    labels = torch.zeros(1, 10, 10, dtype=torch.long)
    labels[0, 0, :5] = 1
    logits = torch.zeros(1, 10, 10, requires_grad=True)
    class_balanced_cross_entropy(logits, labels).backward()
    assert logits.grad is not None
    on, off = logits.grad[labels == 1].sum(), logits.grad[labels == 0].sum()
    torch.testing.assert_close(on, -off)


def test_balanced_cross_entropy_is_the_papers_sum_over_the_number_of_pixels() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 6, 7), torch.randint(0, 2, (1, 6, 7))
    labels[0, 0] = VOID
    decided = labels != VOID
    beta = float((labels == 0).sum() / decided.sum())
    probs = logits.sigmoid()
    paper = -beta * probs[labels == 1].log().sum() - (1 - beta) * (1 - probs[labels == 0]).log().sum()
    torch.testing.assert_close(class_balanced_cross_entropy(logits, labels), paper / decided.sum())


@pytest.mark.parametrize("value", [0, 255])
def test_an_image_without_objects_teaches_a_balanced_loss_nothing(value: int) -> None:
    labels = torch.full((1, 4, 4), value)
    assert class_balanced_cross_entropy(torch.randn(1, 4, 4), labels) == 0


def test_the_parts_of_a_frames_loss() -> None:
    logits, labels = torch.randn(2, 4, 4), torch.randint(0, 2, (2, 16, 16))
    every = FrameLossOptions(balanced=1.0)
    assert set(frame_losses(logits, labels, every)) == {"balanced", "cross_entropy", "hardest", "dice"}
    only = FrameLossOptions(balanced=1.0, cross_entropy=0.0, hardest=0.0, dice=0.0)
    (part,) = frame_losses(logits, labels, only).values()
    torch.testing.assert_close(part, class_balanced_cross_entropy(at_size(logits, (16, 16)), labels))


def test_the_loss_of_regions_by_hand() -> None:
    logits = torch.tensor([[[0.0, 2.0], [-1.0, 3.0]], [[5.0, 5.0], [-5.0, 0.0]]])
    targets = torch.tensor([[[0.0, 1.0], [0.25, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    decided = torch.tensor([[[1.0, 1.0], [0.5, 1.0]], [[0.0, 0.0], [1.0, 1.0]]])
    losses = []
    rows = zip(*(x.flatten(1).tolist() for x in (logits, targets, decided)), strict=True)
    for z, y, w in rows:
        cells = [
            -b * (a * math.log(1 / (1 + math.exp(-x))) + (1 - a) * math.log(1 - 1 / (1 + math.exp(-x))))
            for x, a, b in zip(z, y, w, strict=True)
        ]
        probs = [b / (1 + math.exp(-x)) for x, b in zip(z, w, strict=True)]
        truth = [a * b for a, b in zip(y, w, strict=True)]
        overlap = sum(p * t for p, t in zip(probs, truth, strict=True))
        dice = 1 - (2 * overlap + 1) / (sum(probs) + sum(truth) + 1) if max(truth) > 0.5 else 0.0
        hardest = sum(sorted(cells)[-2:]) / 2
        losses.append(2 * sum(cells) / sum(w) + 3 * hardest + 4 * dice)
    options = RegionLossOptions(cross_entropy=2.0, hardest=3.0, kept_fraction=0.5, dice=4.0)
    found = region_loss(logits, targets, decided, options)
    assert float(found) == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_regions_that_are_void_or_lacking_teach_nothing() -> None:
    logits = torch.randn(2, 3, 3, requires_grad=True)
    nothing = torch.zeros(2, 3, 3)
    options = RegionLossOptions(hardest=1.0, dice=1.0)
    region_loss(logits, nothing, nothing, options).backward()
    assert logits.grad is not None
    assert not logits.grad.any()
    assert region_loss(logits[:0], nothing[:0], nothing[:0], options) == 0
