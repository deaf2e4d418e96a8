"""An append-only log of JSON lines, flushed to disk with every entry, that survives a killed server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tinct.errors import OutputError
from tinct.io.atomic import fsync_path

Entry = dict[str, Any]


class DurableLog:
    """A file of JSON lines that only grows.

    An entry is on disk when `append` returns. A last line that was cut short by a kill or by a full disk was
    never confirmed to anyone: the next entry overwrites it.

    Args:
        path: The file; it is created with the first entry.

    Raises:
        OutputError: The file exists and cannot be read, or a line before its last one is damaged: what
            follows was confirmed, and must not be lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._length = 0
        lines = self._lines()
        for number, line in enumerate(lines, start=1):
            entry = _entry(line)
            if entry is None and any(_entry(later) is not None for later in lines[number:]):
                raise OutputError(
                    f"{path} is damaged in line {number}, and whole lines follow it. Put back a copy of it, "
                    "or move it elsewhere to go on without it."
                )
            if entry is None:
                break
            self.entries.append(entry)
            self._length += len(line)

    def _lines(self) -> list[bytes]:
        try:
            return self.path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror}. Check its rights.") from error

    def append(self, entry: Entry) -> None:
        """Append an entry.

        Raises:
            OutputError: The entry cannot be written; then the log is unchanged.
        """
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        new = not self._length
        try:
            self._write(line)
            if new:
                fsync_path(self.path.parent)
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror}. Nothing was changed; free some space, or "
                "check the folder's rights, and do it again."
            ) from error
        self._length += len(line)
        self.entries.append(entry)

    def _write(self, line: bytes) -> None:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # At the end of the last whole line: part of a line from a failed write is overwritten.
            os.lseek(handle, self._length, os.SEEK_SET)
            os.ftruncate(handle, self._length)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def _entry(line: bytes) -> Entry | None:
    """The entry of a whole line; None for anything else."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if line.endswith(b"\n") and isinstance(entry, dict) else None
