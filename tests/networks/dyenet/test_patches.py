"""Patches: one geometry at test and in training, boxes where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinct.io.video import Video
from tinct.methods.dyenet.members import make_members
from tinct.methods.dyenet.options import Options
from tinct.methods.dyenet.sources import Sources
from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork
from tinct.networks.dyenet.patches import Patches, WholeFrames, patch_view
from tinct.networks.flow import DisFlow

H, W = 64, 96


def test_a_patch_is_square_and_encloses_its_box_without_enlarging_too_much() -> None:
    view = patch_view(torch.tensor([10.0, 20, 110, 60]), (100, 200), 64)
    assert view.size == (64, 64)
    assert view.box == pytest.approx((-5, -25, 125, 105))
    small = patch_view(torch.tensor([50.0, 50, 54, 54]), (100, 200), 64)
    assert small.box == pytest.approx((39.5, 39.5, 64.5, 64.5))


@torch.no_grad()
def test_training_sees_the_patches_that_the_loop_sees() -> None:
    """`advanced` is trained as it is run: the same pictures, the same places of boxes in them."""
    torch.manual_seed(0)
    network = DyeNetNetwork(replace(COMPACT, roi_grid=6, hidden=8, two_streams=True)).eval()
    draws = np.random.default_rng(0)
    frames = [draws.integers(0, 255, (H, W, 3)).astype(np.uint8) for _ in range(2)]
    options = Options(config=network.config, patches=True, patch_side=64, re_id=False)
    members = make_members([network], torch.device("cpu"), flip=False, attention=True, lowered=False)
    sources = Sources(Video.from_arrays(frames), members, DisFlow(), None, options)
    boxes = torch.tensor([[10.0, 12, 40, 30], [50, 20, 70, 60]])
    (at_test,) = sources.around(1, boxes)
    placed, _ = at_test.place(boxes)
    pictures = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    flows = torch.cat([torch.zeros(1, 2, H, W), sources.flow(1, 0)])
    seen = Patches(network, pictures, flows, 64).around(boxes, torch.tensor([1, 1]))
    torch.testing.assert_close(seen.boxes, placed)
    assert seen.picture.tolist() == [0, 1]
    torch.testing.assert_close(seen.features.coarse, at_test.features.coarse, atol=1e-4, rtol=1e-4)
    assert seen.features.motion is not None
    assert seen.features.motion.shape == seen.features.coarse.shape


@torch.no_grad()
def test_whole_frames_leave_boxes_alone() -> None:
    network = DyeNetNetwork(replace(COMPACT, roi_grid=6, hidden=8)).eval()
    features = network.features(torch.rand(2, 3, H, W))
    boxes, index = torch.tensor([[10.0, 12, 40, 30]]), torch.tensor([1])
    assert WholeFrames(features).around(boxes, index) == (features, boxes, index)
