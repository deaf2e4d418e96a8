from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tinct.errors import OutputError
from tinct.io.atomic import atomic_write
from tinct.io.mask_files import read_label_png, write_mask


def test_a_lasting_file_is_on_the_disk_before_and_after_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "a.png", []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{handle}"), path.exists()))
        fsync(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to see which file a handle is of")
    monkeypatch.setattr(os, "fsync", noted)
    write_mask(path, np.eye(3, dtype=np.uint8))
    assert synced == []
    path.unlink()
    write_mask(path, np.eye(3, dtype=np.uint8), durable=True)
    (part, there_before), (folder, there_after) = synced
    assert ".part" in part
    assert not there_before
    assert (folder, there_after) == (str(tmp_path), True)
    np.testing.assert_array_equal(read_label_png(path), np.eye(3))


def test_what_cannot_be_flushed_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(OutputError, match="No space left"),
        atomic_write(tmp_path / "a", durable=True) as part,
    ):
        part.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []
