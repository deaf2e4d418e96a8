from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from tinct.data.annotations import read_annotation
from tinct.errors import DatasetError, MaskError
from tinct.evaluation.predictions import find_predictions, read_prediction
from tinct.io.mask_files import write_mask

SIZE = (6, 8)


def labels(*ids: int) -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    for row, object_id in enumerate(ids):
        found[row] = object_id
    return found


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        write_mask(folder / f"{name}.png", labels(1))


def grey(path: Path, pixels: np.ndarray) -> Path:
    Pictures.fromarray(pixels).save(path)
    return path


def found(folder: Path) -> dict[str, list[str]]:
    return {name: list(files) for name, files in find_predictions(folder).items()}


def test_a_folder_per_sequence_is_found_in_order(tmp_path: Path) -> None:
    write(tmp_path / "b", "00001", "00000")
    write(tmp_path / "a", "00000")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert found(tmp_path) == {"a": ["00000"], "b": ["00000", "00001"]}
    assert list(find_predictions(tmp_path)) == ["a", "b"]


def test_endings_in_capitals_and_numbers_without_zeros_are_understood(tmp_path: Path) -> None:
    write(tmp_path / "a", "10", "9")
    (tmp_path / "a" / "10.png").rename(tmp_path / "a" / "10.PNG")
    (tmp_path / "a" / ".8.png").touch()
    assert found(tmp_path) == {"a": ["9", "10"]}


def test_runs_of_tinct_are_found(tmp_path: Path) -> None:
    write(tmp_path / "a" / "masks", "00000")
    (tmp_path / "a" / "run.json").write_text("{}")
    assert found(tmp_path) == {"a": ["00000"]}
    assert found(tmp_path / "a") == {"a": ["00000"]}


def test_a_folder_of_masks_is_one_sequence(tmp_path: Path) -> None:
    write(tmp_path / "bear", "00000")
    assert found(tmp_path / "bear") == {"bear": ["00000"]}


def test_a_submission_of_youtube_vos_is_found(tmp_path: Path) -> None:
    write(tmp_path / "Annotations" / "a", "00000")
    assert found(tmp_path) == found(tmp_path / "Annotations") == {"a": ["00000"]}


def test_what_may_be_meant_is_said(tmp_path: Path) -> None:
    write(tmp_path / "480p" / "a", "00000")
    with pytest.raises(DatasetError, match=r"holds no mask.*Did you mean .*480p\?"):
        find_predictions(tmp_path)
    (tmp_path / "photos").mkdir()
    grey(tmp_path / "photos" / "0.jpg", labels(1))
    with pytest.raises(DatasetError, match="JPEGs"):
        find_predictions(tmp_path / "photos")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every folder")
def test_a_closed_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a", "00000")
    (tmp_path / "a").chmod(0)
    with pytest.raises(DatasetError, match="a cannot be opened"):
        find_predictions(tmp_path)


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no mask"):
        find_predictions(tmp_path)
    with pytest.raises(DatasetError, match="no folder"):
        find_predictions(tmp_path / "gone")


def test_palette_and_grey_values_are_the_ids(tmp_path: Path) -> None:
    expected = labels(0, 1, 5)
    write_mask(tmp_path / "p.png", expected)
    for path in (tmp_path / "p.png", grey(tmp_path / "l.png", expected)):
        np.testing.assert_array_equal(read_prediction(path, SIZE, merged=False), expected)


@pytest.mark.parametrize("foreground", [1, 7, 255])
def test_merged_all_that_is_not_background_is_one_object(tmp_path: Path, foreground: int) -> None:
    path = grey(tmp_path / "a.png", labels(0, foreground))
    np.testing.assert_array_equal(read_prediction(path, SIZE, merged=True), labels(0, 1))


def test_one_bit_masks_are_one_object(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Pictures.fromarray(labels(0, 1) > 0).save(path)
    np.testing.assert_array_equal(read_prediction(path, SIZE, merged=False), labels(0, 1))


@pytest.mark.parametrize(
    ("pixels", "merged", "message"),
    [
        (np.zeros((*SIZE, 3), np.uint8), True, "mode RGB.*palette or 8-bit grey"),
        (np.zeros((*SIZE, 4), np.uint8), False, "mode RGBA"),
        (np.zeros(SIZE, np.uint16), False, "16 bits per pixel.*8 bits"),
        (labels(0, 255), False, "0/255 mask.*davis-2016"),
        (labels(0, 1, 255), False, "255 beside other ids.*void"),
        (labels(0, 1, 255), True, "255 beside other ids.*void"),
        (np.zeros((8, 6), np.uint8), False, r"8×6.*truth 6×8.*resize"),
    ],
)
def test_what_no_prediction_may_be_is_explained(
    tmp_path: Path, pixels: np.ndarray, merged: bool, message: str
) -> None:
    path = grey(tmp_path / "a.png", pixels)
    with pytest.raises(MaskError, match=f"a.png.*{message}"):
        read_prediction(path, SIZE, merged=merged)


def test_a_jpeg_under_another_name_is_told(tmp_path: Path) -> None:
    Pictures.fromarray(labels(0, 1, 5)).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(MaskError, match=r"a\.png is a JPEG file"):
        read_prediction(tmp_path / "a.png", SIZE, merged=False)


def grey_png(path: Path, values: np.ndarray, bits: int) -> Path:
    """A grey PNG of 2 or 4 bits, which Pillow does not write."""
    height, width = values.shape
    per_byte = 8 // bits
    padded = np.zeros((height, -(-width // per_byte) * per_byte), np.uint8)
    padded[:, :width] = values
    shifts = np.arange(8 - bits, -1, -bits)
    packed = (padded.reshape(height, -1, per_byte) << shifts).sum(axis=2).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


@pytest.mark.parametrize("bits", [2, 4])
def test_the_ids_of_few_bits_are_not_spread(tmp_path: Path, bits: int) -> None:
    expected = labels(0, 1, 2, 3)
    path = grey_png(tmp_path / "a.png", expected, bits)
    np.testing.assert_array_equal(read_prediction(path, SIZE, merged=False), expected)
    np.testing.assert_array_equal(read_annotation(path), expected)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    rng = np.random.default_rng(0)
    write_mask(path, rng.integers(0, 9, SIZE).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MaskError, match=r"cut\.png cannot be read"):
        read_prediction(path, SIZE, merged=False)
