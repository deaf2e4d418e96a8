from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image as Pictures

from tinct.errors import VideoError
from tinct.io.folders import frame_files
from tinct.io.video import Video


def folder_with(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pictures.new("RGB", (4, 3)).save(path)
    return tmp_path


def numbered(count: int, suffix: str = "jpg") -> list[str]:
    return [f"{index:05d}.{suffix}" for index in range(count)]


@pytest.mark.parametrize(
    ("frames", "stranger"),
    [
        (numbered(12), "00000_mask.png"),
        (numbered(2), "mask.png"),
        (numbered(12), "00012.png"),
        (numbered(12, "png"), "preview.jpg"),
        (numbered(12, "png"), "00003_mask.png"),
        (numbered(12, "png"), "Annotation.png"),
        (["0.jpg", "0.04.jpg", "0.08.jpg"], "0.04_mask.png"),
        (["a.jpg", "b.jpg", "c.jpg"], "a_mask.png"),
    ],
)
def test_a_lone_image_of_another_form_is_named(tmp_path: Path, frames: Sequence[str], stranger: str) -> None:
    with pytest.raises(VideoError, match=f"holds {len(frames)} frames and {stranger}, which does not look"):
        frame_files(folder_with(tmp_path, *frames, stranger))


def test_a_mask_for_every_frame_is_found(tmp_path: Path) -> None:
    names = [*numbered(5), *(f"{index:05d}_mask.png" for index in range(5))]
    with pytest.raises(VideoError, match=r"holds 5 frames and 00000_mask\.png, .* and 2 more, which do not"):
        frame_files(folder_with(tmp_path, *names))


@pytest.mark.parametrize(
    "names",
    [
        numbered(3),
        ["a.png", "b.png", "title.png"],
        ["0.jpg", "1.JPG", "2.jpeg"],
        ["0.tif", "1.tiff"],
        ["0.jpg", "1.jpg", "2.png", "3.png"],
        ["a.jpg", "b.png"],
        ["0.jpg", "0.04.jpg", "0.2.jpg"],
        ["0_mask.png", "1_mask.png"],
        ["-1.jpg", "0.jpg", "1.jpg"],
    ],
)
def test_frames_of_one_form_are_all_taken(tmp_path: Path, names: Sequence[str]) -> None:
    assert [file.name for file in frame_files(folder_with(tmp_path, *names))] == list(names)


@pytest.mark.parametrize("beside", [(), ("mask.png",)])
def test_the_folder_of_several_frame_folders_leads_to_them(tmp_path: Path, beside: Sequence[str]) -> None:
    folder_with(tmp_path, "a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg", *beside)
    with pytest.raises(VideoError) as raised:
        frame_files(tmp_path)
    assert f"Did you mean {tmp_path / 'a'} (or another of its 2 folders)?" in str(raised.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_pipes_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    folder_with(tmp_path / "clip", "0.jpg", "1.jpg")
    os.mkfifo(tmp_path / "clip" / "2.jpg")
    with pytest.raises(VideoError, match=r"2\.jpg is called like a frame, but is no file"):
        Video.open(tmp_path / "clip")
    for name in ("a.mp4", "a.png"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(VideoError, match="is a pipe or a device"):
            Video.open(tmp_path / name)
