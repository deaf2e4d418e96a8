"""What guided networks learn from frames and clips: parts of the loss, what is taught, time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tinct.training.recipes import masktrack, osvos
from tinct.training.recipes.clip_task import ClipTask, dilated

H, W = 48, 64


def clips(frames: int = 4) -> dict[str, Tensor]:
    """Two clips in which a bright square moves 4 pixels to the right per frame."""
    images = torch.full((2, frames, H, W, 3), 40, dtype=torch.uint8)
    labels = torch.zeros(2, frames, H, W, dtype=torch.uint8)
    for t in range(frames):
        labels[:, t, 12:36, 4 + 4 * t : 24 + 4 * t] = 1
    images[labels == 1] = 200
    labels[1, :, :4] = 255
    flow = torch.zeros(2, frames, H, W, 2, dtype=torch.float16)
    flow[..., 0] = -4
    previous = 255 * (labels[:, 1:2] == 1).to(torch.uint8)
    return {"frames": images, "labels": labels, "previous": previous, "flow_backward": flow}


def single() -> dict[str, Tensor]:
    whole = clips()
    return {
        "frames": whole["frames"][:, 2],
        "labels": whole["labels"][:, 2],
        "previous": whole["previous"][:, 0],
    }


@pytest.fixture
def task() -> ClipTask:
    torch.manual_seed(0)
    return masktrack.compact_task().train()


def gradients(task: torch.nn.Module) -> dict[str, float]:
    return {name: 0.0 if p.grad is None else float(p.grad.abs().sum()) for name, p in task.named_parameters()}


@pytest.mark.parametrize("batch", [single(), clips()], ids=["frames", "clips"])
def test_a_step_teaches_all_but_the_first_layers(task: ClipTask, batch: dict[str, Tensor]) -> None:
    loss, figures = task(batch, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert {"loss", "cross_entropy", "hardest", "dice", "iou"} <= set(figures)
    taught = gradients(task)
    assert taught["network.stream.backbone.body.conv_stem.weight"] == 0
    for name, value in taught.items():
        if "backbone" not in name and ("scores" not in name or batch["frames"].ndim == 4):
            assert value > 0, name


def test_deep_supervision_fades_out(task: ClipTask) -> None:
    """Its share of the loss falls to 0; it is computed all the same, so that the same layers are reached."""
    shares = []
    for step in (0, task.loss.sides_until // 2, task.loss.sides_until):
        torch.manual_seed(0)
        loss, figures = task.eval()(single(), step)
        shares.append((float(loss.detach()), float(figures["sides"].detach())))
    (first, sides), (half, _), (last, _) = shares
    assert first - last == pytest.approx(task.loss.sides * sides, rel=1e-4)
    assert half - last == pytest.approx(task.loss.sides * sides / 2, rel=1e-4)


def test_the_gradient_flows_back_through_time_and_the_warp(task: ClipTask) -> None:
    for share in (0.0, 1.0):
        task.roll_out = type(task.roll_out)(warped=share, dilation_px=1)
        batch = clips(frames=4)
        previous = batch["previous"].float().requires_grad_()
        batch["labels"][:, 2] = 255  # only the last frame teaches
        task({**batch, "previous": previous}, 0)[0].backward()
        assert previous.grad is not None
        assert previous.grad.abs().sum() > 0


def test_clips_without_flow_are_rolled_out_unwarped(task: ClipTask) -> None:
    batch = clips()
    del batch["flow_backward"]
    assert torch.isfinite(task(batch, 0)[0])


def test_the_backbone_learns_at_a_tenth_of_the_rate(task: ClipTask) -> None:
    groups = {factor: {id(p) for p in parameters} for parameters, factor in task.parameter_groups()}
    assert set(groups) == {1.0, 0.1}
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            assert id(parameter) in groups[0.1 if ".backbone." in name else 1.0]


def test_dilation() -> None:
    dot = torch.zeros(1, 1, 9, 9)
    dot[0, 0, 4, 4] = 0.5
    assert dilated(dot, 0) is dot
    assert (dilated(dot, 2)[0, 0] == 0.5).sum() == 25


def test_osvos_sees_no_previous_mask() -> None:
    torch.manual_seed(0)
    task = osvos.compact_task().eval()
    batch = single()
    first = task(batch, 0)[1]["cross_entropy"]
    batch["previous"] = torch.zeros_like(batch["previous"])
    torch.testing.assert_close(task(batch, 0)[1]["cross_entropy"], first)
