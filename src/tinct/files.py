"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinct.errors import OutputError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to; it becomes `path` when the block ends, and goes away if it fails.

    So `path` never holds half a file, not even after a kill or on a full disk.

    Raises:
        OutputError: An `OSError` arose in the block or in the making and moving of the file.
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
        os.replace(part, path)
        part = None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise OutputError(
            f"{path} cannot be written: {reason}. Choose a folder that exists, is writable and has space."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _umask() -> int:
    """The process's umask, which `mkstemp` overrides with owner-only rights."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
