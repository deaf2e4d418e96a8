"""Atomic writes: files and folders that appear complete or not at all, and only where they belong.

What is being written lies beside its place as `.NAME.<host>-<process id>-<random>.part.SUFFIX`. A kill leaves
it there; `sweep` removes what processes that are gone have left.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinct.errors import OutputError, TinctError
from tinct.io.processes import host_tag, is_running, process_tag

MAX_NAME_BYTES = 255
"""Of a file or folder, on the file systems in use."""

_PART = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-\w+\.part(\.[^.]*)?", re.DOTALL)
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com\d|lpt\d) *(\.|:|$)", re.IGNORECASE)
_open_parts: set[str] = set()
"""The names of what this very process is writing."""

_parts_lock = threading.Lock()
"""Held while one is begun, so that no sweep of another thread sees it without its name being there."""


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
        prefix, suffix = _prefix(path.stem), f".part{path.suffix}"
        with _parts_lock:
            handle, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
            part = Path(name)
            _open_parts.add(part.name)
        os.close(handle)
        part.chmod(0o666 & ~_umask())
        yield part
        if durable:
            fsync_path(part)
        os.replace(part, path)
        _open_parts.discard(part.name)
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
            _open_parts.discard(part.name)
            with suppress(OSError):  # it would hide the error that matters
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
        with _parts_lock:
            part = Path(tempfile.mkdtemp(prefix=_prefix(path.name), suffix=".part", dir=path.parent))
            _open_parts.add(part.name)
        part.chmod(0o777 & ~_umask())
        yield part
        if path.exists():
            path.rmdir()
        os.replace(part, path)
        _open_parts.discard(part.name)
        part = None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise OutputError(
            f"{path} cannot be written: {reason}. Choose a place that exists, is writable and has space."
        ) from error
    finally:
        if part is not None:
            _open_parts.discard(part.name)
            shutil.rmtree(part, ignore_errors=True)


def path_below(folder: Path, name: str, suffix: str = "", *, error: type[TinctError] = OutputError) -> Path:
    """The path below a folder that a name from elsewhere stands for: of a frame, a sequence, an object.

    Args:
        folder: Nothing outside it can be meant.
        name: One name, or several joined by slashes.
        suffix: Added to the name, such as ".png".
        error: What to raise.

    Raises:
        TinctError: Of the class `error`: the name is empty, absolute, begins with a drive, climbs out with
            "..", leads out by a link, or holds what no file system takes.
    """
    reason = _not_below(name, suffix) or _leads_out(folder, name)
    if reason:
        raise error(
            f"The name {name[:100]!r} {reason}, so that no file in {folder} can have it; rename it where it "
            "comes from."
        )
    return folder / f"{name}{suffix}"


def _not_below(name: str, suffix: str) -> str:
    """Why a name is none for a file below a folder; empty if it is one."""
    # Windows takes both slashes; a name that is harmless here must be so there.
    parts = re.split(r"[/\\]", name)
    if not name.strip():
        return "is empty"
    if "\0" in name:
        return "holds a NUL"
    if parts[0] == "" or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if any(part.strip(" ") in ("", ".", "..") for part in parts):
        return "leads elsewhere"
    if os.name == "nt" and any(_DEVICE.match(part) for part in parts):
        return "is a device of Windows"
    longest = max(len(os.fsencode(part)) for part in [*parts[:-1], parts[-1] + suffix])
    return f"is longer than {MAX_NAME_BYTES} bytes" if longest > MAX_NAME_BYTES else ""


def _leads_out(folder: Path, name: str) -> str:
    """Whether a link below the folder takes a name of several parts out of it; empty if not."""
    if "/" not in name and "\\" not in name:
        return ""
    inside = (folder / name).parent.resolve().is_relative_to(folder.resolve())
    return "" if inside else "leads out by a link"


def sweep(folder: Path, *, locked: bool = False) -> None:
    """Remove from a folder, not from those in it, what killed processes were writing.

    Args:
        folder: It need not be there.
        locked: Whether nobody else can be writing in it; otherwise only what is left by processes of this
            machine that are gone is removed.
    """
    with suppress(OSError):  # it may not be there; what cannot be removed does no harm
        for path in folder.iterdir():
            match = _PART.fullmatch(path.name)
            if match is None or not (locked or _is_left(match)):
                continue
            with _parts_lock:
                is_open = path.name in _open_parts
            if is_open:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()


def _is_left(match: re.Match[str]) -> bool:
    """Whether the process that a temporary name names is gone, as far as can be known from here."""
    host, pid = match[1], int(match[2])
    return host == host_tag() and (pid == os.getpid() or not is_running(pid))


def _prefix(name: str) -> str:
    """The beginning of a temporary name: short enough in bytes, whatever letters it has."""
    return f".{os.fsdecode(os.fsencode(name)[:100])}.{process_tag()}-"


def _umask() -> int:
    """The process's umask, which `mkstemp` and `mkdtemp` ignore."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
