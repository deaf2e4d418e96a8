from __future__ import annotations

from pathlib import Path

import pytest

from tinct.data.lists import (
    first_names,
    known_sequences,
    known_splits,
    known_video_counts,
    list_files,
    list_names,
    own_splits,
    read_list,
)
from tinct.errors import DatasetError, OptionError


@pytest.mark.parametrize(
    ("dataset", "split", "sequences", "frames", "objects"),
    [
        ("davis-2016", "train", 30, 2079, 30),
        ("davis-2016", "val", 20, 1376, 20),
        ("davis-2016", None, 50, 3455, 50),
        ("davis-2016", "trainval", 50, 3455, 50),
        ("davis-2017", "train", 60, 4209, 144),
        ("davis-2017", "val", 30, 1999, 61),
        ("davis-2017", "trainval", 90, 6208, 205),
        ("davis-2017", "test-dev", 30, 2086, 89),
        ("segtrack-v2", "all", 14, None, 24),
    ],
)
def test_the_known_totals(
    dataset: str, split: str | None, sequences: int, frames: int | None, objects: int
) -> None:
    known = known_sequences(dataset, split)
    assert len(known) == sequences
    assert sum(s.objects for s in known.values()) == objects
    counts = [s.frames for s in known.values()]
    assert counts == [None] * sequences if frames is None else sum(c or 0 for c in counts) == frames
    assert all(name == s.name for name, s in known.items())
    if split not in (None, "trainval"):
        assert list(known) == sorted(known)


def test_both_years_agree_on_frames_and_splits() -> None:
    later = known_sequences("davis-2017")
    for name, sequence in known_sequences("davis-2016").items():
        assert (later[name].frames, later[name].split) == (sequence.frames, sequence.split)


@pytest.mark.parametrize(("split", "number"), [("train", 17), ("val", 10)])
def test_temporal_stability_leaves_strong_occlusion_out(split: str, number: int) -> None:
    stable = [s.name for s in known_sequences("davis-2016", split).values() if s.temporal_stability]
    assert len(stable) == number
    assert "bmx-trees" not in stable


def test_odd_widths() -> None:
    sizes = {name: s.size_480p for name, s in known_sequences("davis-2017").items()}
    assert {name: size for name, size in sizes.items() if size != (480, 854)} == {
        "cat-girl": (480, 911), "disc-jockey": (480, 1138), "bike-packing": (480, 910),
        "shooting": (480, 1152), "cats-car": (480, 911), "skate-jump": (480, 911), "slackline": (480, 1130),
    }  # fmt: skip
    assert known_sequences("segtrack-v2")["penguin"].size_480p is None


def test_unknown_names() -> None:
    with pytest.raises(OptionError, match="Did you mean 'davis-2017'"):
        known_sequences("davis-2018")
    with pytest.raises(OptionError, match=r"has no split 'test'.*test-dev"):
        known_sequences("davis-2017", "test")
    with pytest.raises(OptionError, match="youtube-vos"):
        known_splits("youtube-vos")
    assert known_splits("davis-2017") == ("train", "val", "test-dev")
    assert known_video_counts("valid") == {"2018": 474, "2019": 507}
    assert known_video_counts("mine") == {}


def test_a_name_per_line(tmp_path: Path) -> None:
    folder = tmp_path / "ImageSets" / "2017"
    folder.mkdir(parents=True)
    (folder / "val.txt").write_text("swan\n\n  bear \nswan\n")
    assert list_names(tmp_path, "val", year="2017") == ("swan", "bear")
    with pytest.raises(DatasetError, match=r"no list .*2017/vul\.txt.*Did you mean 'val'"):
        list_names(tmp_path, "vul", year="2017")
    with pytest.raises(DatasetError, match="holds JPEGImages, Annotations and ImageSets"):
        list_names(tmp_path, "val", year="2016")
    (folder / "val.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no sequence"):
        list_names(tmp_path, "val", year="2017")
    (folder / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"val\.txt cannot be read as a list"):
        list_names(tmp_path, "val", year="2017")


def test_the_lists_of_2016_name_frames_and_masks(tmp_path: Path) -> None:
    folder = tmp_path / "ImageSets" / "480p"
    folder.mkdir(parents=True)
    lines = [
        f"/JPEGImages/480p/{name}/{t:05d}.jpg /Annotations/480p/{name}/{t:05d}.png"
        for name in ("bear", "bmx-bumps")
        for t in range(3)
    ]
    (folder / "train.txt").write_text("\n".join(lines))
    assert read_list(folder / "train.txt") == ("bear", "bmx-bumps")
    assert list_names(tmp_path, "train") == ("bear", "bmx-bumps")
    with pytest.raises(DatasetError, match="no list"):
        list_names(tmp_path, "train", year="2017")
    with pytest.raises(DatasetError, match="no list"):
        list_names(tmp_path, "train", resolution="1080p")
    # A list of names goes before.
    (tmp_path / "ImageSets" / "2016").mkdir()
    (tmp_path / "ImageSets" / "2016" / "train.txt").write_text("bear")
    assert list_names(tmp_path, "train") == ("bear",)
    assert list_files(tmp_path) == {"train": tmp_path / "ImageSets" / "2016" / "train.txt"}


@pytest.mark.parametrize("year", ["2016", "2017"])
def test_our_own_lists_serve_an_official_release(tmp_path: Path, year: str) -> None:
    (tmp_path / "ImageSets" / year).mkdir(parents=True)
    (tmp_path / "ImageSets" / year / "train.txt").write_text("bear\n")
    train = set(known_sequences("davis-2016", "train"))
    for fit, dev in [("fit", "dev"), *((f"fold{i}-fit", f"fold{i}-dev") for i in range(3))]:
        parts = [set(list_names(tmp_path, split, year=year)) for split in (fit, dev)]
        assert parts[0] | parts[1] == train
        assert not parts[0] & parts[1]
    assert len(list_names(tmp_path, "dev", year=year)) == 6
    folds = [set(list_names(tmp_path, f"fold{i}-dev", year=year)) for i in range(3)]
    assert [len(fold) for fold in folds] == [10, 10, 10]
    assert set.union(*folds) == train
    assert list(list_files(tmp_path, year=year)) == ["train"]
    with pytest.raises(DatasetError, match="Did you mean 'fold1-dev'"):
        list_names(tmp_path, "fold1-dv", year=year)


def test_a_list_of_the_root_goes_before_our_own(tmp_path: Path) -> None:
    assert "dev" in own_splits()
    (tmp_path / "ImageSets" / "2016").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2016" / "dev.txt").write_text("swan\n")
    assert list_names(tmp_path, "dev") == ("swan",)


def test_names_are_cut_to_a_few() -> None:
    assert first_names([]) == ""
    assert first_names("abcde") == "a, b, c, d, e"
    assert first_names("abcdefg") == "a, b, c, d, e and 2 more"
    assert first_names((3, 5, 8), 2) == "3, 5 and 1 more"
