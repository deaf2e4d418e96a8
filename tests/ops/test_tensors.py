"""Frames, flow and masks as tensors."""

from __future__ import annotations

import numpy as np
import torch

from tinct.io.masks import ObjectMasks
from tinct.ops.tensors import flow_tensor, frame_tensor, masks_tensor, object_masks, object_probs

CPU = torch.device("cpu")


def test_a_frame_has_its_channels_first_and_lies_in_0_to_1() -> None:
    frame = np.zeros((3, 4, 3), np.uint8)
    frame[1, 2] = (255, 51, 0)
    tensor = frame_tensor(frame, CPU)
    assert tensor.shape == (1, 3, 3, 4)
    torch.testing.assert_close(tensor[0, :, 1, 2], torch.tensor([1.0, 0.2, 0.0]))
    assert tensor.sum() == tensor[0, :, 1, 2].sum()


def test_a_frame_may_be_a_view() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    assert torch.equal(frame_tensor(frame[:, ::-1], CPU), frame_tensor(frame, CPU).flip(-1))


def test_flow_has_dx_then_dy() -> None:
    flow = np.zeros((3, 4, 2), np.float32)
    flow[1, 2] = (5, -7)
    assert flow_tensor(flow, CPU)[0, :, 1, 2].tolist() == [5, -7]


def test_masks_at_half_the_size() -> None:
    probs = np.zeros((1, 4, 4), np.float32)
    probs[0, :2, :2] = 1
    expected = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(masks_tensor(ObjectMasks((3,), probs), (2, 2), CPU), expected)


def test_objects_share_each_pixel_with_a_background_of_logit_0() -> None:
    logits = torch.tensor([1.0, -2.0]).view(2, 1, 1).expand(2, 2, 2)
    weights = np.exp([0.0, 1.0, -2.0])
    expected = weights[1:] / weights.sum()
    probs = object_probs(logits, (4, 6))
    assert probs.shape == (2, 4, 6)
    np.testing.assert_allclose(probs[:, 3, 5], expected, atol=1e-6)
    masks = object_masks((2, 9), logits, (4, 6))
    assert masks.object_ids == (2, 9)
    np.testing.assert_array_equal(masks.label_map, np.full((4, 6), 2))
