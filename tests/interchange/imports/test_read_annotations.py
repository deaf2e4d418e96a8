from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tinct.errors import MaskError
from tinct.interchange import imports
from tinct.interchange.imports import read_annotations
from tinct.interchange.imports.pictures import named
from tinct.interchange.imports.prompts import object_ids
from tinct.io.mask_files import write_mask
from tinct.io.masks import MaskWarning
from tinct.io.video import Video


def test_a_picture_keeps_its_ids(video: Video, tmp_path: Path) -> None:
    labels = np.zeros((12, 16), np.uint8)
    labels[2:5, 2:5] = 9
    write_mask(tmp_path / "a.png", labels)
    for frame, index in ((None, 0), (3, 3)):
        prompts, names = read_annotations(tmp_path / "a.png", video, frame=frame)
        assert (list(prompts), names) == ([index], {})
        np.testing.assert_array_equal(prompts[index], labels)


def test_the_content_says_what_a_file_is(video: Video, save: Callable[..., Path]) -> None:
    text = '\ufeff\n {"shapes": [{"label": "dog", "points": [[0, 0], [3, 0], [3, 3]]}], '
    text += '"imageHeight": 12, "imageWidth": 16, "imagePath": "00004.png"}'
    assert list(read_annotations(save(text, "a.txt"), video).prompts) == [4]


def test_a_picture_that_is_called_like_a_frame_is_of_that_frame(
    video: Video, named_video: Video, tmp_path: Path
) -> None:
    labels = np.zeros((12, 16), np.uint8)
    labels[2:5, 2:5] = 9
    for name, of, expected in (
        ("00003.png", video, 3),
        ("shot_c.png", named_video, 2),
        ("shot_c_v2.png", named_video, 0),
        ("first-3.png", video, 0),
        ("IMG_00003.png", video, 0),
    ):
        write_mask(tmp_path / name, labels)
        assert list(read_annotations(tmp_path / name, of).prompts) == [expected], name
    write_mask(tmp_path / "frame_0003.png", labels)
    with pytest.warns(MaskWarning, match=r"mask of frame 0, .*3:frame_0003\.png"):
        assert list(read_annotations(tmp_path / "frame_0003.png", video).prompts) == [0]


@pytest.mark.parametrize("name", ["none.json", "none.png"])
def test_a_missing_file_is_explained(video: Video, tmp_path: Path, name: str) -> None:
    with pytest.raises(MaskError, match="no mask file"):
        read_annotations(tmp_path / name, video)


def test_a_file_that_is_too_large_is_not_read(
    video: Video, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_FILE_BYTES", 2**20)
    with pytest.raises(MaskError, match="2 MB; at most 1 are read"):
        read_annotations(save('{"shapes": "' + "x" * 2**21 + '"}'), video)


@pytest.mark.parametrize("content", [b"{\xff\xfe}", b"<\xff>", b"{\x00"])
def test_what_is_no_text_is_explained(video: Video, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(MaskError):
        read_annotations(tmp_path / "a.json", video)


def test_ids_do_not_depend_on_what_else_is_known() -> None:
    objects = [named("a", "dog"), named("b", "cat", 5), named("c", "bird"), named("d", "owl", 5)]
    assert list(object_ids(objects, {}, "f").values()) == [5, 1, 2, 3]
    ids = object_ids(objects, {1: "bird", 2: "", 5: "horse"}, "f")
    assert {one.name: i for one, i in ids.items()} == {"dog": 3, "cat": 4, "bird": 1, "owl": 6}


def test_there_are_254_ids() -> None:
    objects = [named(str(i), "dog") for i in range(254)]
    assert sorted(object_ids(objects, {}, "f").values()) == list(range(1, 255))
    with pytest.raises(MaskError, match="at most 254"):
        object_ids([*objects, named("x", "dog")], {}, "f")


@pytest.mark.parametrize(
    ("label", "name", "wanted"),
    [("dog", "dog", None), (" a\nb\x00 ", "a b", None), ("object 7", "", 7), ("x" * 300, "x" * 100, None)],
)
def test_names_are_cleaned(label: str, name: str, wanted: int | None) -> None:
    one = named("k", label)
    assert (one.name, one.wanted_id) == (name, wanted)
