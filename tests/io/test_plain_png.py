from __future__ import annotations

import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pictures

from tinct.data.images import read_indices
from tinct.errors import DatasetError
from tinct.io.masks import voc_palette
from tinct.io.plain_png import SIGNATURE, plain_label_png

LABELS = np.random.default_rng(5).integers(0, 5, (9, 14), dtype=np.uint8)


def part(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def png(rows: bytes, *, header: bytes = b"\x08\x03\x00\x00\x00", before: bytes = b"", cut: int = 0) -> bytes:
    """A palette PNG of 14×9 pixels from its rows, each with its filter; packed bytes come in two parts."""
    packed = zlib.compress(rows)
    packed = packed[: len(packed) - cut]
    halves = part(b"IDAT", packed[:10]) + before + part(b"IDAT", packed[10:])
    size = (14).to_bytes(4) + (9).to_bytes(4)
    palette = part(b"PLTE", voc_palette().tobytes())
    return SIGNATURE + part(b"IHDR", size + header) + palette + halves + part(b"IEND", b"")


def rows(filter_type: int = 0) -> bytes:
    return b"".join(bytes([filter_type]) + row.tobytes() for row in LABELS)


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def _inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip("isal")


@pytest.mark.parametrize("mode", ["P", "L"])
def test_what_pillow_and_opencv_write_is_read_as_it_is(mode: str, tmp_path: Path) -> None:
    picture = Pictures.fromarray(LABELS)
    if mode == "P":
        picture.putpalette(voc_palette().tobytes())
    picture.save(tmp_path / "a.png", transparency=0)
    found, its_mode = read_indices(tmp_path / "a.png")
    np.testing.assert_array_equal(found, LABELS)
    assert its_mode == mode
    cv2.imwrite(str(tmp_path / "b.png"), LABELS)
    np.testing.assert_array_equal(read_indices(tmp_path / "b.png")[0], LABELS)


def test_the_plain_case_is_taken() -> None:
    found = plain_label_png(png(rows()), 126)
    assert found is not None
    np.testing.assert_array_equal(found[0], LABELS)
    assert found[0].flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        png(rows(1)), png(rows()[:-1]), png(rows() + b"\0"), png(rows(), cut=4), png(rows(), cut=9),
        png(rows(), header=b"\x08\x03\x00\x00\x01"), png(rows(), header=b"\x08\x02\x00\x00\x00"),
        png(rows(), before=part(b"tEXt", b"a\0b")), png(rows(), before=part(b"acTL", bytes(8))),
        png(rows()) + b"more", png(rows())[:-12], png(rows())[:-1], b"", SIGNATURE, b"GIF89a",
    ],
)  # fmt: skip
def test_anything_else_is_left_to_pillow(data: bytes) -> None:
    assert plain_label_png(data, 126) is None


def test_a_large_one_is_left_to_pillow() -> None:
    assert plain_label_png(png(rows()), 125) is None


@given(st.integers(0, len(png(rows())) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_passed_over(place: int, change: int) -> None:
    data = bytearray(png(rows()))
    data[place] ^= change
    assert plain_label_png(bytes(data), 126) is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(rows(), cut=9))
    with pytest.raises(DatasetError, match=r"a\.png cannot be read as a label image"):
        read_indices(tmp_path / "a.png")
