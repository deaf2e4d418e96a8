from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.data.static_images import StaticImages
from tinct.errors import DatasetError


def still(folder: Path, name: str, size: tuple[int, int] = (9, 6), suffix: str = ".jpg") -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    PillowImage.new("RGB", (9, 6), (250, 0, 0)).save(folder / "images" / f"{name}{suffix}")
    labels = np.zeros(size[::-1], np.uint8)
    labels[0, 0], labels[1, 1] = 3, 255
    PillowImage.fromarray(labels).save(folder / "masks" / f"{name}.png")
    return folder


def test_all_folders_below_the_root_are_found(tmp_path: Path) -> None:
    still(still(tmp_path / "cats", "b"), "a", suffix=".PNG")
    still(tmp_path / "deep" / "dogs", "c")
    (tmp_path / "cats" / "images" / "notes.txt").write_text("no photo")
    stills = StaticImages(tmp_path)
    assert [s.image.stem for s in stills] == ["a", "b", "c"]
    assert len(stills) == 3
    image, labels = stills[2].read()
    assert image.shape == (6, 9, 3)
    assert image[0, 0, 0] > 200 > image[0, 0, 2]
    assert set(np.unique(labels)) == {0, 3, 255}


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no folder `images`"):
        StaticImages(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DatasetError, match="hold no photo"):
        StaticImages(tmp_path)
    still(tmp_path, "a")
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(DatasetError, match=r"a\.jpg has no mask; .*masks/a\.png was expected"):
        StaticImages(tmp_path)


def test_broken_and_unequal_files_are_named(tmp_path: Path) -> None:
    stills = StaticImages(still(tmp_path, "a", size=(8, 6)))
    with pytest.raises(DatasetError, match=r"a\.png is 8×6, but its photo a\.jpg is 9×6"):
        stills[0].read()
    stills[0].mask.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"a\.png"):
        stills[0].read()
    stills[0].image.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"a\.jpg"):
        stills[0].read()
