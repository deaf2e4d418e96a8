"""Atomic writes: files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinct.errors import OutputError


@contextmanager
def atomic_write(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` when the block ends, and is deleted if it fails.

    So `path` never holds a partial file, not even after a kill or on a full disk.

    Args:
        path: The file.
        durable: Whether to return only when the file would survive a power cut; a few milliseconds.

    Raises:
        OutputError: An `OSError` occurred in the block, or in creating or moving the file.
    """
    path = Path(path)
    part: Path | None = None
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:100]}.", suffix=f".part{path.suffix}", dir=path.parent
        )
        os.close(handle)
        part = Path(name)
        part.chmod(0o666 & ~_umask())
        yield part
        if durable:
            fsync_path(part)
        os.replace(part, path)
        part = None
        if durable:
            fsync_path(path.parent)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise OutputError(
            f"{path} cannot be written: {reason}. Choose a folder that exists, is writable and has space."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def fsync_path(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no such call for folders.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, which becomes `path` when the block ends, and is deleted if it fails.

    Raises:
        OutputError: `path` exists and is not empty, or cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(
            f"{path} is there already, and its files would stay among the new ones. Choose another place, "
            "or remove it first."
        )
    part: Path | None = None
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent))
        part.chmod(0o777 & ~_umask())
        yield part
        if path.exists():
            path.rmdir()
        os.replace(part, path)
        part = None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise OutputError(
            f"{path} cannot be written: {reason}. Choose a place that exists, is writable and has space."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _umask() -> int:
    """The process's umask, which `mkstemp` and `mkdtemp` ignore."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
