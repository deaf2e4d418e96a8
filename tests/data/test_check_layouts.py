from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinct.data.check_layouts import (
    Layout,
    short,
    survey_davis,
    survey_plain,
    survey_segtrack,
    survey_youtube_vos,
)
from tinct.data.lists import known_sequences
from tinct.errors import DatasetError, OptionError


def found(layout: Layout) -> list[tuple[str, str, str]]:
    """Kind, sequence or file name, and message."""
    return [(f.kind, f.path.name if f.path else f.sequence, f.message) for f in layout.findings]


def test_the_sequences_of_a_list_of_ones_own(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"mine": {"shooting": 2, "hedgehog": 2}})
    layout = survey_davis(tmp_path, "2017", "mine")
    assert layout.findings == []
    shooting, hedgehog = layout.sequences
    assert (shooting.frame_count, shooting.object_ids, shooting.size) == (40, {1, 2, 3}, (480, 1152))
    assert (hedgehog.frame_count, hedgehog.object_ids, hedgehog.size) == (None, None, None)
    assert list(shooting.frames) == list(shooting.masks) == ["00000", "00001"]
    assert survey_davis(tmp_path, "2017", "mine").sequences[0].annotated == "all"


def test_2016_takes_grey_masks_and_merged_objects(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"train": {"bear": 1}}, year="2016", resolution="1080p")
    (bear,) = survey_davis(tmp_path, "2016", "train", "1080p").sequences
    assert bear.mask_modes == {"P", "L", "LA", "1"}
    assert (bear.object_ids, bear.size, bear.frame_count) == (None, None, 82)


def test_known_sequences_that_are_absent(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"train": {"bear": 1}}, year="2016")
    layout = survey_davis(tmp_path, "2016")
    absent = [f for f in layout.findings if f.kind == "absent"]
    assert {f.sequence for f in absent} == set(known_sequences("davis-2016")) - {"bear"}
    assert absent[-1].message == "belongs to the val split of davis-2016, and is not there"
    (other,) = [f for f in layout.findings if f.kind != "absent"]
    assert other.message.startswith("does not name 29 of 30 known sequences: bmx-bumps, boat, ")
    assert {f.kind for f in survey_davis(tmp_path, "2016", "val").findings} == {"absent"}
    both = survey_davis(tmp_path, "2016", "trainval")
    assert len([f for f in both.findings if f.kind == "absent"]) == 49


def test_the_test_sets_keep_their_annotations(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"test-dev": {"salsa": 2}, "test-challenge": {"dive-in": 2}}, annotated=1)
    for split in ("test-dev", "test-challenge"):
        assert survey_davis(tmp_path, "2017", split).sequences[0].annotated == "first"
    # A list in the root makes its split one of those that should be there.
    absent = [f for f in survey_davis(tmp_path, "2017").findings if f.kind == "absent"]
    assert len(absent) == 60 + 30 + 29


def test_lists_that_name_absent_sequences(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"mine": {"hedgehog": 1}})
    (tmp_path / "ImageSets" / "2017" / "mine.txt").write_text("hedgehog\nowl\nbear\n")
    layout = survey_davis(tmp_path, "2017", "mine")
    assert found(layout) == [
        ("absent", "bear", "belongs to the train split of davis-2017, and is not there"),
        ("list", "mine.txt", "names 2 of 3 sequences that are absent: owl, bear"),
    ]
    (tmp_path / "ImageSets" / "2017" / "mine.txt").write_text("")
    assert found(survey_davis(tmp_path, "2017", "mine")) == [("list", "mine.txt", "names no sequence")]


def test_missing_folders_and_lists(layouts: Any, tmp_path: Path) -> None:
    layouts.davis(tmp_path, {"val": {"cows": 1}}, year="2016")
    (tmp_path / "ImageSets" / "2016" / "val.txt").unlink()
    layout = survey_davis(tmp_path, "2016", "val")
    assert ("layout", "val.txt", "is not there") in found(layout)
    assert [files.name for files in layout.sequences] == ["cows"]
    missing = found(survey_davis(tmp_path, "2016", resolution="1080p"))
    assert [item for item in missing if item[0] == "layout"] == [("layout", "1080p", "is not there")] * 2
    with pytest.raises(DatasetError, match="Split 'vul' has no list"):
        survey_davis(tmp_path, "2016", "vul")
    with pytest.raises(OptionError, match="no resolution"):
        survey_davis(tmp_path, "2016", "val", "480")


def test_youtube_vos(layouts: Any, tmp_path: Path) -> None:
    layouts.youtube(tmp_path, "mine", {"aaaa": {1: ("zebra", 0), 4: ("sign", 2)}, "bbbb": {1: ("sign", 0)}})
    layout = survey_youtube_vos(tmp_path)
    assert layout.findings == []
    aaaa, bbbb = layout.sequences
    assert (aaaa.object_ids, aaaa.ids_at_once, list(aaaa.masks)) == ({1, 4}, False, ["00000", "00010"])
    assert list(bbbb.frames) == ["00000", "00005", "00010", "00015"]
    (tmp_path / "mine" / "Annotations" / "aaaa" / "00010.png").unlink()
    meta = json.loads((tmp_path / "mine" / "meta.json").read_text())
    meta["videos"]["cccc"] = meta["videos"].pop("bbbb")
    (tmp_path / "mine" / "meta.json").write_text(json.dumps(meta))
    assert found(survey_youtube_vos(tmp_path, "mine")) == [
        ("list", "meta.json", "does not name 1 of the folders: bbbb"),
        ("missing", "00010.png", "is not there; object 4 begins in it"),
        ("absent", "cccc", "belongs to the mine split, and is not there"),
    ]


def test_the_known_numbers_of_videos(layouts: Any, tmp_path: Path) -> None:
    layouts.youtube(tmp_path, "valid", {"aaaa": {1: ("zebra", 0)}})
    assert found(survey_youtube_vos(tmp_path)) == [
        ("count", "meta.json", "names 1 videos; 474 (2018) or 507 (2019) are known")
    ]
    (tmp_path / "valid" / "meta.json").unlink()
    layout = survey_youtube_vos(tmp_path)
    assert found(layout) == [("layout", "meta.json", "is not there, or names no video")]
    assert [files.name for files in layout.sequences] == ["aaaa"]
    with pytest.raises(DatasetError, match="holds train, valid and test"):
        survey_youtube_vos(tmp_path / "valid" / "JPEGImages")


def test_segtrack(layouts: Any, tmp_path: Path) -> None:
    layouts.segtrack(tmp_path)
    layout = survey_segtrack(tmp_path)
    assert {f.kind for f in layout.findings} == {"absent"}
    assert len(layout.findings) == 12
    drift, girl = layout.sequences
    assert (drift.object_ids, girl.object_ids) == ({1, 2}, {1})
    (tmp_path / "JPEGImages" / "drift" / "18.jpg").unlink()
    layouts.frame(tmp_path / "JPEGImages" / "drift" / "19.jpg")
    (tmp_path / "ImageSets" / "girl.txt").unlink()
    (tmp_path / "ImageSets" / "all.txt").write_text("*girl\n*drift\n*owl\n")
    assert [item for item in found(survey_segtrack(tmp_path)) if item[0] != "absent"] == [
        ("list", "drift.txt", "names 1 frames that are absent: 18"),
        ("list", "drift.txt", "does not name 1 of the frames: 19"),
        ("layout", "girl.txt", "is not there, or names no frame"),
        ("list", "all.txt", "names 1 of 3 sequences that are absent: owl"),
    ]
    (tmp_path / "ImageSets" / "all.txt").unlink()
    assert ("layout", "all.txt", "is not there") in found(survey_segtrack(tmp_path))


def test_plain_folders(layouts: Any, tmp_path: Path) -> None:
    layouts.frame(tmp_path / "f" / "cat" / "0.jpg")
    layouts.mask(tmp_path / "m" / "cat" / "0.png")
    layouts.mask(tmp_path / "m" / "dog" / "0.png")
    layout = survey_plain(tmp_path / "f", tmp_path / "m")
    assert [files.name for files in layout.sequences] == ["cat"]
    assert found(layout) == [("extra", "dog", "holds masks, but has no frames")]
    (cat,) = survey_plain(tmp_path / "f" / "cat", tmp_path / "m" / "cat").sequences
    assert (list(cat.frames), list(cat.masks)) == (["0"], ["0"])
    with pytest.raises(DatasetError, match="holds no image"):
        survey_plain(tmp_path / "m" / "nowhere", tmp_path / "m")


def test_names_are_cut_to_a_few() -> None:
    assert short("abcde") == "a, b, c, d, e"
    assert short("abcdefg") == "a, b, c, d, e and 2 more"
