from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinct.errors import DatasetError, OptionError, WeightsError
from tinct.io.video import Video
from tinct.networks.dyenet.proposal_sources import (
    DETECTORS,
    BoxesFile,
    DetectorProposals,
    ProposalSource,
    describe_proposals,
    proposal_source,
)

H, W = 40, 60


@pytest.fixture
def video() -> Video:
    return Video.from_arrays([np.zeros((H, W, 3), np.uint8)] * 3)


def written(folder: Path, content: Any) -> Path:
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_boxes_come_by_frame_the_likeliest_first_at_the_frames_size(video: Video, tmp_path: Path) -> None:
    path = written(tmp_path, {"00001": [[0, 0, 10, 10, 0.2], [5, 8, 20, 30, 0.9]], "00002": []})
    source = proposal_source(str(path), video)
    assert isinstance(source, ProposalSource)
    rows = source.boxes(1, np.zeros((2 * H, 3 * W, 3), np.uint8))
    np.testing.assert_allclose(rows, [[15, 16, 60, 60, 0.9], [0, 0, 30, 20, 0.2]])
    assert source.boxes(0, video[0]).shape == source.boxes(2, video[2]).shape == (0, 5)
    assert describe_proposals(str(path)) == source.name


def test_a_box_that_leaves_the_frame_by_little_is_cut(video: Video, tmp_path: Path) -> None:
    path = written(tmp_path, {"00000": [[-1, -1, 61, 40.5, 0.5], [-2, 0, -1, 5, 0.4]]})
    np.testing.assert_allclose(BoxesFile(path, video).boxes(0, video[0]), [[0, 0, 60, 40, 0.5]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"00003": []}, "'00003', which the video lacks.*another video"),
        ({"00000": [[0, 0, 200, 20, 1]]}, "outside the frame '00000' of 60×40.*another video"),
        ({"00000": [[10, 0, 5, 20, 1]]}, "empty or infinite box"),
        ({"00000": [[0, 0, float("nan"), 20, 1]]}, "NaN is not finite"),
        ({"00000": [[0, 0, 5, 20]]}, "rows of"),
        ({"00000": 3}, "rows of"),
        ([1, 2], "JSON list; expected"),
        ("{", "cannot be read as proposals"),
    ],
)
def test_a_file_that_does_not_fit_is_explained(
    video: Video, tmp_path: Path, content: Any, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        BoxesFile(written(tmp_path, content), video)


def test_neither_a_file_nor_a_detector_is_explained(video: Video, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'retinanet_resnet50_fpn_v2'"):
        proposal_source("retinanet_resnet50_fpn", video)
    with pytest.raises(DatasetError, match="cannot be read"):
        BoxesFile(tmp_path / "none.json", video)
    assert describe_proposals(DETECTORS[0]) == DETECTORS[0]


class ThreeBoxes(torch.nn.Module):
    """Answers as torchvision's detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, pictures: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert pictures[0].shape == (3, H, W)
        assert pictures[0].max() <= 1
        boxes = torch.tensor([[0.0, 0, 9, 9], [5, 5, 20, 30], [1, 1, 3, 3]]) * self.scale
        return [{"boxes": boxes, "scores": torch.tensor([0.9, 0.5, 0.01])}]


def test_a_detectors_boxes(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    monkeypatch.setattr(models, "get_model", lambda *_, **__: ThreeBoxes())
    torch.save(ThreeBoxes().state_dict(), tmp_path / "w.pth")
    source = DetectorProposals(weights=tmp_path / "w.pth")
    np.testing.assert_allclose(source.boxes(0, video[0]), [[0, 0, 9, 9, 0.9], [5, 5, 20, 30, 0.5]])
    torch.save({"a": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError, match=r"wrong\.pth.*leave --proposals out"):
        DetectorProposals(weights=tmp_path / "wrong.pth")
