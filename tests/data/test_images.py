from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.data.images import read_indices, read_rgb
from tinct.errors import DatasetError


def photo(path: Path, **save: object) -> np.ndarray:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (12, 17, 3)).astype(np.uint8)
    PillowImage.fromarray(pixels).save(path, **save)
    return pixels


def test_a_png_is_read_as_it_is(tmp_path: Path) -> None:
    pixels = photo(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_with_something_behind_it_is_whole(progressive: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    photo(path, progressive=progressive)
    path.write_bytes(path.read_bytes() + b"\0\0 written by a camera")
    assert read_rgb(path).shape == (12, 17, 3)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_jpeg_is_named(share: float, progressive: bool, tmp_path: Path) -> None:
    path = tmp_path / "00007.jpg"
    photo(path, progressive=progressive)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DatasetError, match=r"00007\.jpg cannot be read as an image"):
        read_rgb(path)


def test_a_missing_photo_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.jpg cannot be read"):
        read_rgb(tmp_path / "none.jpg")


def test_indices_are_not_colours(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 7], [255, 2, 0]], np.uint8)
    picture = PillowImage.fromarray(labels)
    picture.save(tmp_path / "grey.png")
    picture.putpalette(list(range(255, -1, -1)) * 3)
    picture.save(tmp_path / "palette.png")
    for name, mode in (("grey", "L"), ("palette", "P")):
        found, found_mode = read_indices(tmp_path / f"{name}.png")
        assert found_mode == mode
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_broken_label_image_is_named(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    photo(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DatasetError, match=r"a\.png cannot be read as a label image"):
        read_indices(path)
