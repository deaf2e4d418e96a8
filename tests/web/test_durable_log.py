from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.errors import OutputError
from tinct.web.durable_log import DurableLog

ENTRIES = [{"a": 1}, {"b": "ü\u2028x\ny"}, {"c": [1, {"d": None}]}]


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    log = DurableLog(tmp_path / "log")
    assert log.entries == []
    for entry in ENTRIES:
        log.append(entry)
    assert DurableLog(tmp_path / "log").entries == ENTRIES == log.entries


@settings(max_examples=40)  # each entry waits for the disk
@given(cut=st.integers(0, 60))
def test_a_log_cut_anywhere_holds_its_whole_lines_and_can_go_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    log = DurableLog(path)
    lengths = [0]
    for entry in ENTRIES:
        log.append(entry)
        lengths.append(path.stat().st_size)
    cut = min(cut, lengths[-1])
    path.write_bytes(path.read_bytes()[:cut])
    whole = sum(length <= cut for length in lengths) - 1
    after = DurableLog(path)
    assert after.entries == ENTRIES[:whole]
    after.append({"new": True})
    assert DurableLog(path).entries == [*ENTRIES[:whole], {"new": True}]


def test_a_damaged_line_in_the_middle_is_no_end(tmp_path: Path) -> None:
    """What follows was confirmed: it is neither dropped nor written over."""
    path = tmp_path / "log"
    for entry in ENTRIES:
        DurableLog(path).append(entry)
    for damage in (b"{", b"[" * 100_000, b"3", b"\xff"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([lines[0], damage + b"\n", lines[2]]))
        with pytest.raises(OutputError, match="is damaged in line 2"):
            DurableLog(path)


def test_what_could_not_be_written_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = DurableLog(tmp_path / "log")
    log.append(ENTRIES[0])
    write = os.write

    def full(handle: int, data: Any) -> int:
        write(handle, bytes(data)[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OutputError, match="No space left on device"):
            log.append(ENTRIES[1])
    assert log.entries == ENTRIES[:1]
    assert DurableLog(tmp_path / "log").entries == ENTRIES[:1]
    log.append(ENTRIES[2])
    assert DurableLog(tmp_path / "log").entries == [ENTRIES[0], ENTRIES[2]]


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with pytest.raises(OutputError, match="cannot be read"):
        DurableLog(tmp_path / "log")
