from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinct.data.plain import PlainFolders, default_folders
from tinct.errors import DatasetError, OptionError


@pytest.fixture
def root(layouts: Any, tmp_path: Path) -> Path:
    for name, frames in {"cat": 11, "dog": 2}.items():
        for t in range(frames):
            layouts.frame(tmp_path / "frames" / name / f"{t}.jpg")
            if t != 1:
                layouts.mask(tmp_path / "masks" / name / f"{t}.png", (1, 7) if t > 1 else (1,))
    return tmp_path


def test_folders_of_folders(root: Path) -> None:
    cat, dog = PlainFolders(root / "frames", root / "masks")
    assert (cat.name, len(cat), dog.name, len(dog)) == ("cat", 11, "dog", 2)
    assert [p.stem for p in cat.frames[:3]] == ["0", "1", "2"]
    assert cat.frames[-1].stem == "10"
    assert cat.annotated == (0, *range(2, 11))
    given = cat.prompts()
    assert {t: np.unique(labels).tolist() for t, labels in given.items()} == {0: [0, 1], 2: [0, 7]}
    assert [s.name for s in PlainFolders(root / "frames", root / "masks", only=["dog"])] == ["dog"]
    with pytest.raises(OptionError, match="'cow' is not in"):
        PlainFolders(root / "frames", root / "masks", only=["cow"])


def test_one_sequence(root: Path) -> None:
    (dog,) = PlainFolders(root / "frames" / "dog", root / "masks" / "dog")
    assert (dog.name, dog.annotated) == ("dog", (0,))


def test_the_usual_names(root: Path) -> None:
    assert default_folders(root) == (root / "frames", root / "masks")
    with pytest.raises(DatasetError, match="JPEGImages and Annotations, frames and masks"):
        default_folders(root / "frames")


def test_missing_things_are_named(layouts: Any, root: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder .*nowhere"):
        PlainFolders(root / "frames", root / "nowhere")
    with pytest.raises(DatasetError, match="holds no image"):
        PlainFolders(root, root / "masks")
    layouts.mask(root / "masks" / "dog" / "5.png")
    with pytest.raises(DatasetError, match=r"dog/5\.png is one of 1 masks.*without a frame"):
        PlainFolders(root / "frames", root / "masks")
    layouts.frame(root / "frames" / "cow" / "0.png", kind="PNG")
    with pytest.raises(DatasetError, match=r"holds no mask .* of 'cow'"):
        PlainFolders(root / "frames", root / "masks")
