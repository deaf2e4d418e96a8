"""Files that can be read to their end: to open a pipe would wait for ever, a device may never end.

Also what to say of files and folders that cannot be read at all.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinct.errors import TinctError


def check_regular(path: Path) -> None:
    """OSError with a line for people if there is no such file, or it is a folder, a pipe or a device."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device; save it as a file first", str(path))


def read_regular(path: Path) -> bytes:
    """The content of a file; OSError as of `check_regular`, or if it cannot be read."""
    check_regular(path)
    return path.read_bytes()


@contextmanager
def readable(error: type[TinctError]) -> Iterator[None]:
    """Within this block, or function, a path that cannot be looked at is raised as `error`, in one line.

    In a folder that is locked, already the question whether a file exists is a `PermissionError`.
    """
    try:
        yield
    except TinctError:
        raise
    except OSError as reason:
        raise error(unreadable(reason)) from reason


def unreadable(error: OSError) -> str:
    """What to say of a file or folder that the system does not let us use."""
    place = error.filename or "A file"
    place = os.fsdecode(place) if isinstance(place, bytes) else place
    return (
        f"{place} cannot be read or written: {error.strerror or error}. Check that the path is right, and "
        "that you may read and write there."
    )
