from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinct.errors import MaskError
from tinct.interchange.imports import read_annotations
from tinct.interchange.imports.frame_names import FrameNames
from tinct.io.masks import MaskWarning
from tinct.io.video import Video

Save = Callable[..., Path]
H, W = 12, 16


def labelme(picture: str) -> dict[str, Any]:
    box = {"label": "dog", "points": [[0, 0], [2, 2]], "shape_type": "rectangle"}
    return {"shapes": [box], "imagePath": picture, "imageHeight": H, "imageWidth": W}


def coco(*pictures: str, painted: tuple[int, ...] = (0,)) -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": n, "height": H, "width": W} for i, n in enumerate(pictures)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}
            for i in painted
        ],
        "categories": [{"id": 1, "name": "dog"}],
    }


@pytest.fixture
def walk(tmp_path: Path) -> Video:
    """A folder `walk` of the frames 0000 to 0011."""
    (tmp_path / "walk").mkdir()
    for t in range(12):
        Image.fromarray(np.full((H, W, 3), t, np.uint8)).save(tmp_path / "walk" / f"{t:04d}.png")
    return Video.open(tmp_path / "walk")


@pytest.mark.parametrize(
    "picture",
    [
        "0003.jpg",
        "3.jpg",
        "00003",
        "frame_000003.PNG",
        "frame-3.png",
        "Frame0003.png",
        "walk_0003.png",
        "walk.0003.png",
        "WALK 000003.png",
        "images\\walk\\0003.png",
        "0003_jpg.rf.3b0f5b2c1d5e6f7a8b9c0d1e2f3a4b5.jpg",
        "https://host/data/0003.jpg?version=7",
    ],
)
def test_the_known_forms_of_a_frame_number(walk: Video, picture: str) -> None:
    assert FrameNames(walk).index(picture) == 3


@pytest.mark.parametrize(
    "picture",
    [
        "clip_mp4-0_jpg.rf.3b0f5b2c1d5e6f7a8b9c0d1e2f3a4b5.jpg",
        "https://host/data/shot.jpg?version=7",
        "https://host/data/shot?frame=0003",
        "IMG_0005.png",
        "walk-v2.png",
        "walk_2.png",
        "walk2.png",
        "walk2_0003.png",
        "Screenshot 2024-05-01 at 10.31.08.png",
        "shot1_take0003.png",
        "0012.png",
        "٣.png",
        "3²",
        "-3.png",
        "",
    ],
)
def test_other_digits_are_no_frame_number(walk: Video, save: Save, picture: str) -> None:
    assert FrameNames(walk).index(picture) is None
    with pytest.raises(MaskError, match=r"no frame of the video is called so .*INDEX:masks\.json"):
        read_annotations(save(labelme(picture)), walk)


def test_names_that_are_no_numbers_have_no_numbers(named_video: Video) -> None:
    names = FrameNames(named_video)
    assert [names.index(name) for name in ("shot_b.png", "1.png", "frame_1.png")] == [1, None, None]
    assert not names.count_from_one(["1.png", "2.png", "3.png"])


def test_a_frame_that_keeps_a_name_of_roboflow_is_found_by_it() -> None:
    names = ["a_jpg.rf.0123abcd", "b_jpg.rf.0123abcd", "c"]
    video = Video.from_arrays([np.zeros((H, W, 3), np.uint8)] * 3, names)
    found = [FrameNames(video).index(name) for name in ("b_jpg.rf.0123abcd.jpg", "c_png.rf.77.jpg", "b.jpg")]
    assert found == [1, 2, None]


def test_a_number_that_may_count_from_one_is_warned_of(video: Video, save: Save) -> None:
    with pytest.warns(MaskWarning, match=r"frame_0001\.png, which is taken for frame 1 .*0:masks\.json"):
        assert list(read_annotations(save(labelme("frame_0001.png")), video).prompts) == [1]
    with pytest.warns(MaskWarning, match="call the pictures as the frames are called"):
        read_annotations(save(coco("1.png", "3.png", painted=(0, 1))), video)
    # The names of the frames themselves, CVAT's, and those of a program that has a 0 are in no doubt.
    for sure in (labelme("00001.png"), labelme("frame_000001.png"), coco("0.png", "1.png", painted=(1,))):
        assert list(read_annotations(save(sure), video).prompts) == [1]


def test_the_last_frame_counted_from_one_is_refused_with_its_index(video: Video, save: Save) -> None:
    with pytest.raises(MaskError, match=r"counted from 1, that is 4:masks\.json"):
        read_annotations(save(labelme("frame_0005.png")), video)


@pytest.mark.parametrize("form", ["{:05d}.png", "frame_{:06d}.jpg", "{}.png"])
def test_pictures_from_1_to_the_number_of_frames_are_counted_from_1(
    video: Video, save: Save, form: str
) -> None:
    content = coco(*(form.format(i) for i in range(1, 6)), painted=(1, 4))
    first = form.format(1)
    with pytest.warns(MaskWarning, match=rf"from 1 to 5, so {first} is taken for frame 0"):
        assert list(read_annotations(save(content), video).prompts) == [1, 4]
    assert list(read_annotations(save(content), video, frame=4).prompts) == [4]
    with pytest.raises(MaskError, match="none is called like frame 2"):
        read_annotations(save(content), video, frame=2)


def test_frames_that_count_from_one_themselves_are_named_so(save: Save) -> None:
    frames = [np.full((H, W, 3), t, np.uint8) for t in range(5)]
    counted = Video.from_arrays(frames, [f"{t:04d}" for t in range(1, 6)])
    content = coco(*(f"frame_{i:04d}.png" for i in range(1, 6)), painted=(1, 4))
    assert list(read_annotations(save(content), counted).prompts) == [1, 4]


@pytest.mark.parametrize("length", [15, 16, 19, 240])
def test_frames_of_long_names_are_found_by_them(length: int, tmp_path: Path) -> None:
    """Longer than any number: a date and a camera, or a count of nanoseconds."""
    for letter in ("x", "1"):
        folder = tmp_path / letter
        folder.mkdir()
        names = [letter * (length - 1) + str(index) for index in range(3)]
        for name in names:
            Image.new("RGB", (W, H)).save(folder / f"{name}.png")
        found = FrameNames(Video.open(folder))
        assert [found.index(f"{name}.png") for name in names] == [0, 1, 2]
        assert found.index("mask.png") is None
        assert found.index(f"{letter}_{names[1]}.png") == (1 if letter == "1" else None)
