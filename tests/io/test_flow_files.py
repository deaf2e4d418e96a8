""".flo files: round trip, the format's bytes, and every way in which a file can be wrong."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tinct.errors import DatasetError, OutputError
from tinct.io.flow_files import check_flo, read_flo, write_flo


def test_what_was_written_is_read(tmp_path: Path) -> None:
    flow = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    write_flo(tmp_path / "a.flo", flow)
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo", (3, 5)), flow)
    assert [p.name for p in tmp_path.iterdir()] == ["a.flo"]


def test_the_bytes_are_the_formats(tmp_path: Path) -> None:
    flow = np.zeros((1, 2, 2), np.float32)
    flow[0, 1] = 3, -4
    write_flo(tmp_path / "a.flo", flow)
    data = (tmp_path / "a.flo").read_bytes()
    assert struct.unpack("<fii4f", data) == (202021.25, 2, 1, 0, 0, 3, -4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no .flo file"),
        (b"PNG." + bytes(20), "is no .flo file"),
        (b"PIEH" + struct.pack("<ii", 2, 2) + bytes(31), "says 2×2 pixels, which takes 44 bytes; it has 43"),
        (b"PIEH" + struct.pack("<ii", -2, 2), "damaged"),
        (b"PIEH" + struct.pack("<iiff", 1, 1, float("nan"), 0), "NaN"),
    ],
)
def test_a_broken_file(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.flo").write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_flo(tmp_path / "a.flo")
    if "NaN" in message:  # which the header does not tell
        check_flo(tmp_path / "a.flo")
        return
    with pytest.raises(DatasetError, match=message):
        check_flo(tmp_path / "a.flo")


def test_a_missing_file_and_one_of_another_size(tmp_path: Path) -> None:
    for read in (read_flo, check_flo):
        with pytest.raises(DatasetError, match="cannot be read"):
            read(tmp_path / "a.flo")
    write_flo(tmp_path / "a.flo", np.zeros((3, 5, 2), np.float32))
    check_flo(tmp_path / "a.flo", (3, 5))
    for read in (read_flo, check_flo):
        with pytest.raises(DatasetError, match="flow of 5×3 pixels, but its frame is 6×4"):
            read(tmp_path / "a.flo", (4, 6))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_flo(tmp_path / "none" / "a.flo", np.zeros((1, 1, 2), np.float32))
