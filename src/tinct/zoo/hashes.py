"""SHA-256 of weights."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from tinct.errors import MissingWeightsError, WeightsError
from tinct.io.regular_files import check_regular


@lru_cache(maxsize=32)
def _sha256_of(path: Path, size: int, modified_ns: int) -> str:
    """Once for a file as it is: large networks' weights are gigabytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits.

    Raises:
        WeightsError: The file cannot be read.
    """
    try:
        check_regular(path)
        found = path.stat()
        return _sha256_of(path, found.st_size, found.st_mtime_ns)
    except OSError as error:
        kind = MissingWeightsError if isinstance(error, FileNotFoundError) else WeightsError
        raise kind(f"The weights {path} cannot be read: {error.strerror}. Check the path.") from error


def folder_sha256(folder: Path) -> str:
    """The SHA-256 of a folder's safetensors: of the file, or of several files' hashes by name."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return file_sha256(files[0])
    hashes = "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(hashes.encode()).hexdigest()
