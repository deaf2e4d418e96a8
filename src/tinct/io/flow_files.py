"""`.flo` files: the Middlebury format of optical flow.

Four bytes "PIEH" (which are the little-endian float 202021.25), the width and the height as int32,
then dx and dy as float32, row by row.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tinct.errors import DatasetError, MissingDatasetError
from tinct.io.atomic import atomic_write
from tinct.io.regular_files import check_regular
from tinct.shapes import Float

TAG = b"PIEH"
HEADER_BYTES = 12

Flow = Float[np.ndarray, "H W 2"]
"""float32: the point at p = (x, y) in the flow's own frame is at p + flow[y, x] in the other frame."""


def write_flo(path: str | os.PathLike[str], flow: Flow) -> None:
    """Write a flow atomically, also while others write the same file.

    Raises:
        OutputError: The file cannot be written.
    """
    height, width = flow.shape[:2]
    header = TAG + np.array([width, height], "<i4").tobytes()
    with atomic_write(Path(path)) as part:
        part.write_bytes(header + np.ascontiguousarray(flow, "<f4").tobytes())


def read_flo(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Flow:
    """Read a flow.

    Args:
        path: The file.
        size: (H, W) of its frame, if it is to be checked.

    Raises:
        DatasetError: The file is missing, not .flo, truncated, of another size, or holds NaN.
    """
    path = Path(path)
    with _open(path) as file:
        data = file.read()
    height, width = _check_size(path, data[:HEADER_BYTES], len(data), size)
    flow = np.frombuffer(data, "<f4", 2 * width * height, HEADER_BYTES).reshape(height, width, 2)
    if not np.isfinite(flow).all():
        raise DatasetError(f"{path} holds NaN or infinity where pixels were expected; compute it again.")
    return flow.astype(np.float32)


def check_flo(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> None:
    """Check a file as `read_flo` does, without the vectors: only the header is read.

    Args:
        path: The file.
        size: (H, W) of its frame, if it is to be checked.

    Raises:
        DatasetError: The file is missing, not .flo, truncated, or of another size.
    """
    path = Path(path)
    with _open(path) as file:
        _check_size(path, file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size, size)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        check_regular(path)
        with path.open("rb") as file:
            yield file
    except OSError as error:
        kind = MissingDatasetError if isinstance(error, FileNotFoundError) else DatasetError
        raise kind(
            f"The flow {path} cannot be read: {error.strerror}. Compute it again, or let tinct compute flow."
        ) from error


def _check_size(path: Path, header: bytes, length: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """(H, W) of a file of `length` bytes, from its header."""
    if length < HEADER_BYTES or header[:4] != TAG:
        raise DatasetError(
            f"{path} is no .flo file: it begins with {header[:4]!r}, not {TAG!r}. Write it in the Middlebury "
            "format: PIEH, width, height, then dx and dy as float32."
        )
    width, height = (int(side) for side in np.frombuffer(header, "<i4", 2, 4))
    expected = HEADER_BYTES + 8 * width * height
    if width < 1 or height < 1 or length != expected:
        raise DatasetError(
            f"{path} says {width}×{height} pixels, which takes {max(expected, HEADER_BYTES)} bytes; it has "
            f"{length}: it is damaged. Compute it again."
        )
    if size is not None and (height, width) != size:
        raise DatasetError(
            f"{path} is flow of {width}×{height} pixels, but its frame is {size[1]}×{size[0]}; compute the "
            "flow on the frames that are segmented."
        )
    return height, width
