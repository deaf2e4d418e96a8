"""Which flow a person wants: names, folders, caches, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tinct.errors import DatasetError, OptionError
from tinct.io.flow_files import write_flo
from tinct.io.video import Video
from tinct.networks.flow import CachedFlow, DisFlow, FlowFolder, resized_flow
from tinct.networks.flow_choice import FlowChoice
from tinct.ops.working_size import working_frame

CPU = torch.device("cpu")


@pytest.fixture
def video() -> Video:
    draws = np.random.default_rng(0)
    smooth = [cv2.resize(draws.integers(0, 256, (4, 6, 3), np.uint8), (48, 32)) for _ in range(2)]
    return Video.from_arrays([smooth[0], smooth[0], smooth[1]])


def test_an_estimator_by_name_with_and_without_a_cache(tmp_path: Path) -> None:
    assert isinstance(FlowChoice().estimator(CPU), DisFlow)
    cached = FlowChoice("dis", cache=tmp_path).estimator(CPU)
    assert isinstance(cached, CachedFlow)
    assert FlowChoice("dis", cache=tmp_path).described(CPU) == FlowChoice().described(CPU) == cached.name


def test_a_folder_belongs_to_a_video_or_to_a_sequence_of_that_name(tmp_path: Path, video: Video) -> None:
    (tmp_path / "flow" / "bear").mkdir(parents=True)
    choice = FlowChoice(str(tmp_path / "flow"))
    flow = np.full((32, 48, 2), 3, np.float32)
    write_flo(tmp_path / "flow" / "bear" / "00002_00001.flo", flow)
    estimator = choice.estimator(CPU, video, None, "bear", [(2, 1)])
    assert isinstance(estimator, FlowFolder)
    np.testing.assert_array_equal(estimator.between(video[2], video[1]), flow)
    assert choice.described(CPU) == "folder flow"
    with pytest.raises(OptionError, match="one video, and none came"):
        choice.estimator(CPU)
    with pytest.raises(DatasetError, match="is no folder"):
        choice.estimator(CPU, video, None, "bee")


def test_a_folder_serves_frames_at_their_working_size(tmp_path: Path, video: Video) -> None:
    flow = np.zeros((32, 48, 2), np.float32)
    flow[...] = (6, -4)
    write_flo(tmp_path / "00001_00002.flo", flow)
    estimator = FlowChoice(str(tmp_path)).estimator(CPU, video, 16, pairs=[(1, 2)])
    small = [working_frame(video[i], 16) for i in (1, 2)]
    np.testing.assert_allclose(estimator.between(*small), np.full((16, 24, 2), (3, -2)))


def test_frames_that_look_alike_are_told_apart_by_the_files_that_are_there(
    tmp_path: Path, video: Video
) -> None:
    write_flo(tmp_path / "00001_00002.flo", np.ones((32, 48, 2), np.float32))
    # Frame 0 looks like frame 1, whose file is there.
    found = FlowFolder.of_video(tmp_path, video, pairs=[(0, 2)]).between(video[0], video[2])
    np.testing.assert_array_equal(found, np.ones((32, 48, 2)))
    with pytest.raises(DatasetError, match=r"00002_00000\.flo cannot be read"):
        FlowFolder.of_video(tmp_path, video, pairs=[]).between(video[2], video[0])


def test_resized_flow_points_to_the_same_places() -> None:
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    flow = np.stack([columns * 0.1, rows * -0.2], -1)
    found = resized_flow(flow, (40, 90))
    assert found.shape == (40, 90, 2)
    # Pixel centres: column 45 of 90 is column 14.83 of 30, and so on.
    np.testing.assert_allclose(found[20, 45], [3 * 0.1 * (45.5 / 3 - 0.5), 2 * -0.2 * (20.5 / 2 - 0.5)], 1e-4)
    assert resized_flow(flow, (20, 30)) is flow


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("diss", {}, "Did you mean 'dis'"),
        ("dis", {"weights": Path("raft.pth")}, "for raft-small and raft-large"),
        ("some/where", {"cache": Path("c")}, "is on disk already"),
    ],
)
def test_what_does_not_go_together(name: str, options: dict[str, Path], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FlowChoice(name, **options)
