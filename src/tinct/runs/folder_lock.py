"""One process at a time in a run folder: a lock file that says whose it is."""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinct.errors import OutputError
from tinct.io.processes import host_name, is_running
from tinct.io.regular_files import read_regular

LOCK_NAME = ".lock"
_ours: set[Path] = set()
"""The folders that this process has locked."""

_taking = threading.Lock()


class LockWarning(UserWarning):
    """The lock of a process that is gone was taken over."""


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let no other process write in a folder during this block.

    The lock of a process that is gone is taken over. The processes of another machine cannot be seen from
    here, so that a person must decide.

    Args:
        folder: It is made if need be.

    Raises:
        OutputError: Another process has the lock, or it cannot be written.
    """
    path, key = folder / LOCK_NAME, folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _taking:
            while not _create(path):
                _take_over(path, key)
            _ours.add(key)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}. Choose a folder that you may write to."
        ) from error
    try:
        yield
    finally:
        _ours.discard(key)
        with suppress(OSError):
            path.unlink()


def _create(path: Path) -> bool:
    """Whether the lock is ours now; False if there is one already."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(handle, json.dumps({"host": host_name(), "pid": os.getpid()}).encode())
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(handle)
    return True


def _take_over(path: Path, key: Path) -> None:
    """Remove the lock of a process that is gone, and say so; OutputError if it may be alive."""
    try:
        content = _read(path)
        owner = json.loads(content)
        host, pid = str(owner["host"]), int(owner["pid"])
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        host, pid = host_name(), 0  # it was cut short by a kill or a full disk
    folder = path.parent
    if host != host_name():
        raise OutputError(
            f"{folder} is in use by process {pid} on {host}, which cannot be seen from here. If nothing runs "
            f"there any more, delete {path}; else choose another folder."
        )
    if key in _ours or (pid != os.getpid() and is_running(pid)):
        raise OutputError(
            f"{folder} is in use by process {pid}: two runs cannot share a folder. Wait for its end, or "
            f"choose another folder. (If that is no tinct any more, delete {path}.)"
        )
    # Of two that find the same lock, one takes it away; the other finds that of the first, or none.
    taken = path.with_name(f"{LOCK_NAME}.{os.getpid()}")
    with suppress(FileNotFoundError):
        os.rename(path, taken)
        if taken.read_bytes() != content:
            with suppress(FileExistsError):
                os.link(taken, path)
        taken.unlink()
    if pid not in (0, os.getpid()):
        line = f"The run in {folder} by process {pid} was cut short; its lock is taken over."
        warnings.warn(line, LockWarning, stacklevel=2)


def _read(path: Path) -> bytes:
    """The content of a lock; one that is just being made is waited for."""
    for _ in range(20):
        if content := read_regular(path):
            return content
        time.sleep(0.05)
    return b""
