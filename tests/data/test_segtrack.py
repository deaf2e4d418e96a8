from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinct.data.annotations import Annotations
from tinct.data.segtrack import SegTrack, frame_names, segtrack_annotations, sequence_names
from tinct.errors import DatasetError, OptionError


@pytest.fixture
def root(layouts: Any, tmp_path: Path) -> Path:
    return layouts.segtrack(tmp_path)


def test_sequences_of_every_kind(root: Path) -> None:
    girl, drift = SegTrack(root)
    assert (girl.name, len(girl), drift.name, len(drift)) == ("girl", 3, "drift", 2)
    assert [p.suffix for p in girl.frames] == [".bmp"] * 3
    assert np.unique(girl.read_labels(0)).tolist() == [0, 1]
    assert [p.stem for p in drift.frames] == ["17", "18"]
    assert drift.read_labels(1)[5, :9].tolist() == [0, 1, 1, 0, 2, 2, 0, 0, 0]
    assert np.unique(drift.prompts()[0]).tolist() == [0, 1, 2]
    assert girl.read_frame(0).shape == drift.read_frame(0).shape == (12, 20, 3)


def test_soft_values_count_from_128_on_and_later_objects_win(layouts: Any, root: Path) -> None:
    layouts.mask(root / "GroundTruth" / "drift" / "2" / "17.bmp", (127, 128), "RGB", kind="BMP")
    layouts.mask(root / "GroundTruth" / "drift" / "1" / "17.png", (255, 255), "RGB")
    labels = segtrack_annotations(root, only=["drift"])[0].read(0)
    assert labels[5, :9].tolist() == [0, 1, 1, 0, 2, 2, 0, 0, 0]


def test_annotations_need_no_frame(root: Path) -> None:
    for path in root.glob("JPEGImages/*/*"):
        path.unlink()
    found: tuple[Annotations, ...] = segtrack_annotations(root)
    assert [a.sequence for a in found] == ["drift", "girl"]
    assert found[0].frame_names == ("17", "18")
    assert found[1].frame_names == ("girl_00000", "girl_00001", "girl_00002")
    assert np.unique(found[0].read(0)).tolist() == [0, 1, 2]


def test_an_object_without_a_picture_is_absent_in_that_frame(root: Path) -> None:
    (root / "GroundTruth" / "drift" / "1" / "18.png").unlink()
    (drift,) = SegTrack(root, only=["drift"])
    assert np.unique(drift.read_labels(1)).tolist() == [0, 2]
    (root / "GroundTruth" / "drift" / "2" / "18.bmp").unlink()
    assert SegTrack(root, only=["drift"])[0].annotated == (0,)


def test_without_lists_the_folders_count(root: Path) -> None:
    for path in (root / "ImageSets").iterdir():
        path.unlink()
    assert sequence_names(root) == ("drift", "girl")
    assert frame_names(root, "girl") == ()
    assert [len(s) for s in SegTrack(root)] == [2, 3]
    assert [a.frame_names for a in segtrack_annotations(root, only=["drift"])] == [("17", "18")]


def test_missing_things_are_named(root: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'girl'"):
        SegTrack(root, only=["gril"])
    with pytest.raises(DatasetError, match=r"no sequence 'gril'. Did you mean 'girl'"):
        segtrack_annotations(root, only=["gril"])
    (root / "JPEGImages" / "drift" / "18.jpg").unlink()
    with pytest.raises(DatasetError, match=r"drift lacks 1 of 2 frames, the first of them '18'"):
        SegTrack(root)
    for path in root.glob("GroundTruth/girl/*"):
        path.unlink()
    with pytest.raises(DatasetError, match="annotates no frame of 'girl'"):
        segtrack_annotations(root)
    with pytest.raises(DatasetError, match="annotates no frame of 'girl'"):
        SegTrack(root, only=["girl"])
    with pytest.raises(DatasetError, match=r"no list ImageSets/all\.txt"):
        SegTrack(root / "JPEGImages")
    (root / "ImageSets" / "girl.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"girl\.txt cannot be read as a list"):
        SegTrack(root)


def test_a_sequence_without_any_frame(root: Path) -> None:
    (root / "ImageSets" / "girl.txt").unlink()
    for path in root.glob("JPEGImages/girl/*"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"JPEGImages/girl lacks frames"):
        SegTrack(root)
