"""What MaskRNN learns: every part is taught, through the warps of the whole clip."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tinct.training.recipes import maskrnn
from tinct.training.recipes.maskrnn_task import MaskRnnTask

H, W = 48, 64


def clips(frames: int = 4) -> dict[str, Tensor]:
    """Two clips in which a bright square moves 4 pixels to the right per frame."""
    images = torch.full((2, frames, H, W, 3), 40, dtype=torch.uint8)
    labels = torch.zeros(2, frames, H, W, dtype=torch.uint8)
    for t in range(frames):
        labels[:, t, 12:36, 4 + 4 * t : 24 + 4 * t] = 1
    images[labels == 1] = 200
    backward = torch.zeros(2, frames, H, W, 2, dtype=torch.float16)
    backward[..., 0] = -4
    previous = 255 * (labels[:, 1:2] == 1).to(torch.uint8)
    return {
        "frames": images, "labels": labels, "previous": previous,
        "flow_backward": backward, "flow_forward": -backward,
    }  # fmt: skip


@pytest.fixture
def task() -> MaskRnnTask:
    torch.manual_seed(0)
    return maskrnn.compact_task().train()


def test_a_step_teaches_both_streams_the_fusion_and_the_box(task: MaskRnnTask) -> None:
    loss, figures = task(clips(), 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {"loss", "cross_entropy", "appearance", "motion", "localization", "iou"} <= set(figures)
    for name, parameter in task.network.named_parameters():
        trained = parameter.requires_grad and ".scores." not in name
        # The regression starts at zero: what lies before it is taught from the second step on.
        if trained and ".localization.hidden." not in name:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_the_gradient_flows_through_time_and_warps(task: MaskRnnTask) -> None:
    batch = clips(5)
    previous = batch["previous"].float().requires_grad_()
    batch["labels"][:, 2:4] = 255
    task({**batch, "previous": previous}, 0)[0].backward()
    assert previous.grad is not None
    assert previous.grad.abs().sum() > 0


def test_a_blind_batch_does_not_see_the_next_frame(task: MaskRnnTask) -> None:
    task.loss = replace(task.loss, blind=1.0)
    batch = clips()
    first = task(batch, 0)[0]
    batch["flow_forward"] = torch.randn_like(batch["flow_forward"].float()).half()
    torch.testing.assert_close(task(batch, 0)[0], first)


def test_an_object_that_is_gone_teaches_no_box(task: MaskRnnTask) -> None:
    batch = clips()
    batch["labels"][:] = 0
    assert task(batch, 0)[1]["localization"] == 0


def test_what_is_handed_on_is_cut_by_the_box_as_at_test(
    task: MaskRnnTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.loss = replace(task.loss, union=False, dilation_px=0, enlargement=1.5)
    seen: list[Tensor] = []
    inner = task.network.forward
    monkeypatch.setattr(
        task.network, "forward", lambda f, guides, boxes: (seen.append(guides), inner(f, guides, boxes))[1]
    )
    batch = clips(4)
    batch["flow_backward"][:, 3:] = 0
    task(batch, 0)
    # The box of the square on frame 2, of 20 by 24 pixels, half as large again about its centre; the net,
    # untrained, moves nothing, and frame 3 is not warped.
    inside = torch.zeros(H, W, dtype=torch.bool)
    inside[6:42, 7:37] = True
    assert seen[1][0, 0][~inside].abs().max() < 1e-5
    assert seen[1][0, 0][inside].min() > 0
    task.loss = replace(task.loss, localization=0.0)
    task(batch, 0)
    assert seen[3].min() > 0


def test_parts_learn_at_their_own_rates(task: MaskRnnTask) -> None:
    assert sorted(factor for _, factor in task.parameter_groups()) == [0.1, 0.3, 1.0]
