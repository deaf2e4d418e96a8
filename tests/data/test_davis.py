from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.data.davis import Davis
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


def test_colours_are_no_annotation(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"val": {"judo": 1}}, mode="colours")
    judo = Davis(tmp_path, "val", year="2017")[0]
    with pytest.raises(DatasetError, match=r"judo/00000\.png is in colours"):
        judo.read_labels(0)


@pytest.mark.parametrize(("year", "resolution"), [("2016", "1080p"), ("2017", "Full-Resolution")])
def test_other_releases_and_resolutions(layouts: Any, year: str, resolution: str, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"val": {"cows": 2}}, year=year, resolution=resolution)
    (cows,) = Davis(tmp_path, "val", year=year, resolution=resolution)
    assert cows.frames[0].parent.parent.name == resolution
    assert np.unique(cows.read_labels(1)).tolist() == [0, 1, 2]


def test_the_lists_of_the_2016_release(layouts: Any, tmp_path: Path) -> None:
    lists = {"train": {"bear": 3, "boat": 2}}
    layouts.davis(tmp_path, lists, year="2016", ids=(255,), mode="L", path_lists=True)
    davis = Davis(tmp_path, "train")
    assert {s.name: len(s) for s in davis} == lists["train"]
    assert np.unique(davis[0].read_labels(0)).tolist() == [0, 1]


def test_only_the_first_frame_is_annotated(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"test-dev": {"salsa": 3}}, annotated=1)
    with pytest.raises(DatasetError, match=r"'salsa' lacks 2 of 3.*Every frame needs one"):
        Davis(tmp_path, "test-dev", year="2017")
    (salsa,) = Davis(tmp_path, "test-dev", year="2017", annotated="first")
    assert salsa.annotated == (0,)
    assert np.unique(salsa.prompts()[0]).tolist() == [0, 1, 2]
    (tmp_path / "Annotations" / "480p" / "salsa" / "00000.png").unlink()
    with pytest.raises(DatasetError, match="The first frame needs one"):
        Davis(tmp_path, "test-dev", year="2017", annotated="first")


def test_where_more_is_annotated_than_must_be_it_is_kept(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"val": {"judo": 3}})
    assert Davis(tmp_path, "val", year="2017", annotated="first")[0].annotated == (0, 1, 2)


def test_objects_of_2017_are_merged_for_the_task_of_2016(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"val": {"kite-surf": 1}}, year="2016", ids=(1, 2, 3))
    assert np.unique(Davis(tmp_path, "val")[0].read_labels(0)).tolist() == [0, 1, 2, 3]
    assert np.unique(Davis(tmp_path, "val", merge_objects=True)[0].read_labels(0)).tolist() == [0, 1]


def test_hidden_files_are_no_frames(layouts: Any, root: Path) -> None:
    layouts.frame(root / "JPEGImages" / "480p" / "bear" / "._00000.jpg")
    assert len(Davis(root, "train")[0]) == SEQUENCES["bear"]


def test_unknown_releases(root: Path) -> None:
    with pytest.raises(OptionError, match=r"no year '2018'.*2016, 2017"):
        Davis(root, "train", year="2018")
    with pytest.raises(OptionError, match=r"no resolution '480'.*Did you mean '480p'"):
        Davis(root, "train", resolution="480")
