"""Clips with flow: it leads to the neighbour that it should lead to."""

from __future__ import annotations

import numpy as np
import torch

from tinct.data.samplers import Clips
from tinct.io.flow_files import Flow
from tinct.networks.flow import FlowEstimator
from tinct.shapes import Image
from tinct.training.flow_clips import FlowClips


class Numbered(Clips):
    """Five frames whose pixels are their numbers."""

    def __init__(self) -> None: ...

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        frames = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 4, 6, 3).contiguous()
        return {"frames": frames}

    def draw(self, random: np.random.Generator) -> None:  # type: ignore[override]
        raise NotImplementedError

    def describe(self) -> str:
        return "numbers"


class Telling(FlowEstimator):
    """dx is the frame's number, dy the other's."""

    name = "telling"

    def _estimate(self, frame: Image, other: Image) -> Flow:
        pair = np.array([frame[0, 0, 0], other[0, 0, 0]], np.float32)
        return np.broadcast_to(pair, (*frame.shape[:2], 2)).copy()


def pairs(flow: torch.Tensor) -> list[list[float]]:
    return flow[:, 0, 0].tolist()


def test_backward_flow_leads_one_frame_back() -> None:
    clip = FlowClips(Numbered(), Telling())[0]
    assert clip["flow_backward"].shape == (5, 4, 6, 2)
    assert pairs(clip["flow_backward"]) == [[0, 0], [0, 0], [2, 1], [3, 2], [4, 3]]
    assert "flow_forward" not in clip


def test_forward_flow_leads_one_frame_on() -> None:
    clip = FlowClips(Numbered(), Telling(), forward=True)[0]
    assert pairs(clip["flow_forward"]) == [[0, 0], [1, 2], [2, 3], [3, 4], [0, 0]]


def test_what_it_says_of_itself() -> None:
    assert FlowClips(Numbered(), Telling()).describe() == "numbers; flow backward by telling"
    assert FlowClips(Numbered(), Telling(), forward=True).describe() == "numbers; flow both ways by telling"
