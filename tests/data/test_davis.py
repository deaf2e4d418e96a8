from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.data.davis import Davis, read_davis_labels
from tinct.errors import DatasetError, OptionError

SEQUENCES = {"bear": 5, "swan": 1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lists = tmp_path / "ImageSets" / "2016"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("bear\n\nswan\n")
    for name, frames in SEQUENCES.items():
        for kind in ("JPEGImages", "Annotations"):
            (tmp_path / kind / "480p" / name).mkdir(parents=True)
        for t in range(frames):
            labels = np.zeros((6, 9), np.uint8)
            labels[1:4, t : t + 3] = 255
            PillowImage.new("RGB", (9, 6), (200, 10 * t, 0)).save(
                tmp_path / "JPEGImages" / "480p" / name / f"{t:05d}.jpg"
            )
            PillowImage.fromarray(labels).save(tmp_path / "Annotations" / "480p" / name / f"{t:05d}.png")
    return tmp_path


def test_sequences_come_in_the_order_of_the_list(root: Path) -> None:
    davis = Davis(root, "train")
    assert [s.name for s in davis] == list(SEQUENCES)
    assert [len(s) for s in davis] == list(SEQUENCES.values())
    assert len(davis) == 2
    assert davis[1].name == "swan"


def test_frames_are_rgb_and_masks_hold_object_1(root: Path) -> None:
    bear = Davis(root, "train")[0]
    assert bear.read_frame(0).shape == (6, 9, 3)
    assert bear.read_frame(0)[0, 0, 0] > 190 > bear.read_frame(0)[0, 0, 2]
    labels = bear.read_labels(2)
    assert labels.dtype == np.uint8
    assert np.argwhere(labels).min(0).tolist() == [1, 2]
    assert set(np.unique(labels)) == {0, 1}


def test_thinning_keeps_frames_with_their_labels(root: Path) -> None:
    thinned = Davis(root, "train")[0].thinned(2, 2)
    assert [p.stem for p in thinned.frames] == [p.stem for p in thinned.label_maps] == ["00000", "00002"]
    assert len(Davis(root, "train")[0].thinned(3)) == 2


def test_some_sequences_of_a_list(root: Path) -> None:
    assert [s.name for s in Davis(root, "train", only=["swan"])] == ["swan"]
    with pytest.raises(OptionError, match="Did you mean 'swan'"):
        Davis(root, "train", only=["swam"])
    with pytest.raises(OptionError, match="No sequence"):
        Davis(root, "train", only=[])


def test_missing_things_are_named(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"no list .*trian\.txt.*Did you mean 'train'"):
        Davis(root, "trian")
    with pytest.raises(DatasetError, match="holds JPEGImages, Annotations and ImageSets"):
        Davis(root / "JPEGImages", "train")
    with pytest.raises(DatasetError, match="no list"):
        Davis(root, "train", year="2017")
    (root / "Annotations" / "480p" / "bear" / "00003.png").unlink()
    with pytest.raises(DatasetError, match=r"'bear' lacks 1 of 5 annotations.*00003\.png"):
        Davis(root, "train")
    for frame in (root / "JPEGImages" / "480p" / "bear").iterdir():
        frame.unlink()
    with pytest.raises(DatasetError, match=r"bear holds no \.jpg frame"):
        Davis(root, "train")
    (root / "ImageSets" / "2016" / "train.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no sequence"):
        Davis(root, "train")


def test_broken_files_are_named(root: Path) -> None:
    bear = Davis(root, "train")[0]
    bear.frames[1].write_bytes(bear.frames[1].read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"bear/00001\.jpg"):
        bear.read_frame(1)
    bear.label_maps[2].write_bytes(b"")
    with pytest.raises(DatasetError, match=r"bear/00002\.png"):
        bear.read_labels(2)


def annotation(path: Path, values: list[int], mode: str) -> list[list[int]]:
    picture = PillowImage.fromarray(np.array([values], np.uint8))
    if mode == "P":
        picture.putpalette(list(range(256)) * 3)
    picture.convert(mode).save(path) if mode != "P" else picture.save(path)
    return read_davis_labels(path).tolist()


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([0, 1, 2], "P", [0, 1, 2]),
        ([0, 0, 255], "P", [0, 0, 255]),
        ([0, 255, 0], "L", [0, 1, 0]),
        ([255, 255, 255], "L", [1, 1, 1]),
        ([0, 0, 0], "L", [0, 0, 0]),
        ([0, 1, 5], "L", [0, 1, 5]),
        ([0, 1, 255], "L", [0, 1, 255]),
        ([0, 100, 200], "RGB", [0, 0, 1]),
        ([0, 255, 0], "RGBA", [0, 1, 0]),
        ([0, 255, 0], "1", [0, 1, 0]),
    ],
)
def test_every_kind_of_annotation(values: list[int], mode: str, expected: list[int], tmp_path: Path) -> None:
    assert annotation(tmp_path / "a.png", values, mode) == [expected]
