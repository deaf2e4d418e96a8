from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinct.data.youtube_vos import YouTubeVos, read_meta, seen_categories, split_folder, video_names
from tinct.errors import DatasetError, OptionError

TRAIN = {"0a1b": {1: ("penguin", 0), 2: ("sign", 2)}, "ffff": {1: ("sedan", 0)}}
VALID = {"0c04": {1: ("penguin", 0), 3: ("zebra", 1), 2: ("zebra", 3)}}


@pytest.fixture
def root(layouts: Any, tmp_path: Path) -> Path:
    layouts.youtube(tmp_path, "train", TRAIN)
    return layouts.youtube(tmp_path, "valid", VALID)


def test_train_is_annotated_in_every_frame(root: Path) -> None:
    train = YouTubeVos(root, "train")
    assert [s.name for s in train] == ["0a1b", "ffff"]
    assert [p.stem for p in train[0].frames] == ["00000", "00005", "00010", "00015"]
    assert train[0].annotated == (0, 1, 2, 3)
    given = train[0].prompts()
    assert {t: np.unique(labels).tolist() for t, labels in given.items()} == {0: [0, 1], 2: [0, 2]}


def test_valid_is_annotated_where_objects_begin(root: Path) -> None:
    (video,) = YouTubeVos(root, "valid")
    assert video.annotated == (0, 1, 3)
    given = video.prompts()
    assert {t: np.unique(labels).tolist() for t, labels in given.items()} == {0: [0, 1], 1: [0, 3], 3: [0, 2]}
    assert [video.frames[index].stem for index in video.annotated] == ["00000", "00005", "00015"]


def test_categories(root: Path) -> None:
    (video,) = YouTubeVos(root, "valid").meta.values()
    assert {i: of.category for i, of in video.items()} == {1: "penguin", 3: "zebra", 2: "zebra"}
    assert seen_categories(root) == {"penguin", "sign", "sedan"}
    (root / "train" / "meta.json").unlink()
    assert seen_categories(root) is None


def test_meta_may_tell_no_category(root: Path) -> None:
    (root / "valid" / "meta.json").write_text(
        '{"videos": {"0c04": {"objects": {"1": {"frames": ["00000"]}}}}}'
    )
    valid = YouTubeVos(root, "valid")
    assert valid.meta["0c04"][1].category is None
    assert valid.meta["0c04"][1].frames == ("00000",)


def test_without_meta_the_folders_are_the_videos(root: Path) -> None:
    (root / "train" / "meta.json").unlink()
    assert [s.name for s in YouTubeVos(root, "train")] == ["0a1b", "ffff"]
    assert video_names(root / "train") == ["0a1b", "ffff"]


def test_some_videos(root: Path) -> None:
    assert [s.name for s in YouTubeVos(root, "train", only=["ffff"])] == ["ffff"]
    with pytest.raises(OptionError, match=r"'fff' is not in split 'train'. Did you mean 'ffff'"):
        YouTubeVos(root, "train", only=["fff"])


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"videos": {"a": {}}}', '{"videos": {"a": {"objects": {"x": {}}}}}', "\x00"]
)
def test_a_broken_meta_is_named(root: Path, content: str) -> None:
    (root / "train" / "meta.json").write_text(content)
    with pytest.raises(DatasetError, match=r"train/meta\.json cannot be read as YouTube-VOS's"):
        read_meta(root / "train")


def test_missing_things_are_named(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"'test' has no folder.*Known: train, valid"):
        YouTubeVos(root, "test")
    with pytest.raises(DatasetError, match="holds train, valid and test as the root"):
        split_folder(root / "train" / "JPEGImages", "train")
    for path in (root / "valid" / "Annotations" / "0c04").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="Annotations/0c04 holds no annotation of any of the 4 frames"):
        YouTubeVos(root, "valid")
    meta = json.loads((root / "train" / "meta.json").read_text())
    meta["videos"]["eeee"] = {"objects": {}}
    (root / "train" / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DatasetError, match=r"JPEGImages/eeee holds no \.jpg frame"):
        YouTubeVos(root, "train")
