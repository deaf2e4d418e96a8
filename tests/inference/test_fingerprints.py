from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from tinct.inference import fingerprints
from tinct.inference.fingerprints import video_sha256
from tinct.io.levels import Levels
from tinct.io.video import Video
from tinct.io.video_writer import VideoWriter


def picture(value: int) -> Pictures.Image:
    return Pictures.fromarray(np.full((16, 16, 3), value, np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clip").mkdir()
    for index in range(30):
        picture(index).save(tmp_path / "clip" / f"{index:05d}.bmp")  # all of one size
    return tmp_path / "clip"


def test_a_copy_at_another_time_is_the_same_video(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    for file in (tmp_path / "copy").iterdir():
        os.utime(file, (1, 1))
    assert video_sha256(Video.open(tmp_path / "copy")) == video_sha256(Video.open(folder))


@pytest.mark.parametrize("index", [0, 1, 17, 29])
def test_any_frame_that_was_replaced_makes_another_video(folder: Path, index: int) -> None:
    before = video_sha256(Video.open(folder))
    picture(99).save(folder / f"{index:05d}.bmp")
    assert video_sha256(Video.open(folder)) != before


def test_of_a_large_folder_sizes_and_some_frames_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_READ_WHOLE", 100)
    monkeypatch.setattr(fingerprints, "_PART", 10_000)
    before = video_sha256(Video.open(folder))
    with (folder / "00006.bmp").open("ab") as file:
        file.write(b"\0")
    longer = video_sha256(Video.open(folder))
    assert longer != before
    for index in range(1, 30):
        picture(99).save(folder / f"{index:05d}.bmp")
    assert video_sha256(Video.open(folder)) not in (before, longer)


def test_a_broken_frame_does_not_keep_a_run_from_starting(folder: Path) -> None:
    (folder / "00020.bmp").write_bytes((folder / "00020.bmp").read_bytes()[:60])
    assert len(video_sha256(Video.open(folder))) == 64


@pytest.mark.parametrize("whole", [True, False])
def test_a_film_that_was_replaced_is_another_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    if not whole:
        monkeypatch.setattr(fingerprints, "_READ_WHOLE", 100)
        monkeypatch.setattr(fingerprints, "_PART", 64)
    path = tmp_path / "a.mp4"
    with VideoWriter(path) as writer:
        for index in range(9):
            writer.write(np.full((32, 32, 3), 20 * index, np.uint8))
    before = video_sha256(Video.open(path))
    shutil.copy(path, tmp_path / "b.mp4")
    os.utime(tmp_path / "b.mp4", (1, 1))
    assert video_sha256(Video.open(tmp_path / "b.mp4")) == before
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert video_sha256(Video.open(path)) != before


def test_of_frames_in_memory_more_than_the_first_counts() -> None:
    frames = [np.full((4, 4, 3), index, np.uint8) for index in range(30)]
    before = video_sha256(Video.from_arrays(frames))
    assert video_sha256(Video.from_arrays([*frames[:29], frames[0]])) != before
    assert video_sha256(Video.from_arrays([*frames])) == before


def test_parts_and_levels_of_a_video_are_told_apart(folder: Path) -> None:
    video = Video.open(folder)
    others = (video, video[:29], video[3:9], Video.open(folder, Levels(-1, 9)))
    hashes = {video_sha256(other) for other in others}
    assert len(hashes) == 4
    picture(99).save(folder / "00020.bmp")
    assert video_sha256(Video.open(folder)[3:9]) in hashes  # of other frames it knows nothing
