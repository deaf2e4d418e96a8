from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tinct.errors import MaskError, OptionError, OutputError
from tinct.io.mask_files import write_mask
from tinct.io.overlay import (
    contact_sheet,
    draw_masks,
    draw_video,
    overlay_colours,
    read_labels,
    write_overlay,
)
from tinct.io.video import Video

H, W = 48, 64


@pytest.fixture
def clip(tmp_path: Path) -> tuple[Video, Path]:
    """Four grey frames, with a square that moves one column a frame."""
    folder = tmp_path / "masks"
    folder.mkdir()
    video = Video.from_arrays([np.full((H, W, 3), 60 + t, np.uint8) for t in range(4)])
    for t, name in enumerate(video.names):
        labels = np.zeros((H, W), np.uint8)
        labels[10:40, 10 + t : 40 + t] = 7
        write_mask(folder / f"{name}.png", labels)
    return video, folder


def test_every_label_has_its_own_colour_but_background_and_void() -> None:
    colours = overlay_colours()
    assert not colours[[0, 255]].any()
    assert len({tuple(c) for c in colours[1:41].tolist()}) == 40
    assert colours[1:255].max(axis=1).min() >= 200


def test_only_objects_are_drawn_and_the_frame_is_left_alone() -> None:
    frame = np.full((H, W, 3), 100, np.uint8)
    labels = np.zeros((H, W), np.uint8)
    labels[:, 40:] = 255
    labels[16:32, 8:24] = 1
    drawn = draw_masks(frame, labels, ids=False)
    assert (frame == 100).all()
    assert (drawn[:, 28:] == 100).all()
    expected = 0.55 * 100 + 0.45 * overlay_colours()[1].astype(float)
    assert np.abs(drawn[24, 16] - expected).max() <= 1
    assert np.abs(drawn[16, 16].astype(int) - overlay_colours()[1]).max() <= 2


def test_the_id_is_written_on_the_object() -> None:
    frame = np.zeros((H, W, 3), np.uint8)
    labels = np.zeros((H, W), np.uint8)
    labels[4:44, 4:60] = 3
    changed = np.any(draw_masks(frame, labels) != draw_masks(frame, labels, ids=False), axis=2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - 24) < 4
    assert abs(columns.mean() - 32) < 4


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(1, 30), st.integers(1, 30)))
def test_any_label_map_can_be_drawn(seed: int, size: tuple[int, int]) -> None:
    draws = np.random.default_rng(seed)
    labels = draws.choice(np.array([0, 1, 5, 254, 255], np.uint8), size)
    frame = draws.integers(0, 256, (*size, 3), np.uint8)
    drawn = draw_masks(frame, labels)
    assert drawn.shape == frame.shape
    assert drawn.dtype == np.uint8


def test_masks_are_read_back_even_when_empty(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", np.zeros((5, 7), np.uint8))
    assert not read_labels(tmp_path / "a.png", (5, 7)).any()
    with pytest.raises(MaskError):
        read_labels(tmp_path / "a.png", (7, 5))
    with pytest.raises(MaskError):
        read_labels(tmp_path / "b.png", (5, 7))


def test_a_truncated_mask_is_refused(clip: tuple[Video, Path]) -> None:
    video, folder = clip
    path = folder / f"{video.names[1]}.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MaskError):
        read_labels(path, video.size)


def test_the_film_has_every_frame(clip: tuple[Video, Path], tmp_path: Path) -> None:
    video, folder = clip
    seen: list[int] = []
    write_overlay(video, folder, tmp_path / "overlay.mp4", seen.append)
    film = Video.open(tmp_path / "overlay.mp4")
    assert seen == [1, 2, 3, 4]
    assert (len(film), film.size) == (4, (H, W))
    expected = list(draw_video(video, folder))
    for frame, drawn in zip(film, expected, strict=True):
        assert np.abs(frame.astype(int) - drawn).mean() < 12


def test_a_film_with_a_missing_mask_is_refused_and_leaves_nothing(
    clip: tuple[Video, Path], tmp_path: Path
) -> None:
    video, folder = clip
    (folder / f"{video.names[2]}.png").unlink()
    with pytest.raises(MaskError):
        write_overlay(video, folder, tmp_path / "overlay.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["masks"]


@pytest.mark.parametrize(("frames", "shown"), [(None, 3), ([1], 1), ([3, 0], 2)])
def test_the_contact_sheet_shows_the_frames(
    clip: tuple[Video, Path], tmp_path: Path, frames: list[int] | None, shown: int
) -> None:
    video, folder = clip
    contact_sheet(video, folder, tmp_path / "sheet.png", frames, width=320)
    sheet = np.array(Image.open(tmp_path / "sheet.png"))
    gaps = (sheet == 255).all(axis=(0, 2))
    assert sheet.shape[1] <= 320
    # One white gap before each frame and one after the last.
    assert np.count_nonzero(np.diff(np.concatenate([[False], gaps]).astype(int)) == 1) == shown + 1


@pytest.mark.parametrize("frames", [[], [-1], [0, 4]])
def test_frames_outside_the_video_are_refused(
    clip: tuple[Video, Path], tmp_path: Path, frames: list[int]
) -> None:
    with pytest.raises(OptionError, match="between 0 and 3"):
        contact_sheet(*clip, tmp_path / "sheet.png", frames)


def test_an_unwritable_sheet_is_explained(clip: tuple[Video, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        contact_sheet(*clip, tmp_path / "nowhere" / "sheet.png")
