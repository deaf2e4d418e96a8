"""`.flo` files: the Middlebury format in which the field keeps optical flow.

Four bytes "PIEH" (which are the little-endian float 202021.25), the width and the height as int32,
then dx and dy as float32, row by row.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tinct.errors import DatasetError
from tinct.files import written_whole

TAG = b"PIEH"

Flow = Float[np.ndarray, "H W 2"]
"""float32: what is at p = (x, y) in the flow's own frame is at p + flow[y, x] in the other frame."""


def write_flo(path: str | os.PathLike[str], flow: Flow) -> None:
    """Write a flow; the file appears whole or not at all, whoever else writes it at the same time.

    Raises:
        OutputError: It cannot be written.
    """
    height, width = flow.shape[:2]
    header = TAG + np.array([width, height], "<i4").tobytes()
    with written_whole(Path(path)) as part:
        part.write_bytes(header + np.ascontiguousarray(flow, "<f4").tobytes())


def read_flo(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> Flow:
    """Read a flow.

    Args:
        path: The file.
        size: (H, W) of the frame that it belongs to, if it must fit one.

    Raises:
        DatasetError: The file is missing, not .flo, truncated, of another size, or holds NaN.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"The flow {path} cannot be read: {error.strerror}. Compute it anew, or let tinct compute flow."
        ) from error
    if len(data) < 12 or data[:4] != TAG:
        raise DatasetError(
            f"{path} is no .flo file: it begins with {data[:4]!r}, not {TAG!r}. Write it in the Middlebury "
            "format: PIEH, width, height, then dx and dy as float32."
        )
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, 4))
    expected = 12 + 8 * width * height
    if width < 1 or height < 1 or len(data) != expected:
        raise DatasetError(
            f"{path} says {width}×{height} pixels, which takes {max(expected, 12)} bytes; it has "
            f"{len(data)}: it is damaged. Compute it anew."
        )
    if size is not None and (height, width) != size:
        raise DatasetError(
            f"{path} is flow of {width}×{height} pixels, but its frame is {size[1]}×{size[0]}; compute the "
            "flow on the frames that are segmented."
        )
    flow = np.frombuffer(data, "<f4", 2 * width * height, 12).reshape(height, width, 2)
    if not np.isfinite(flow).all():
        raise DatasetError(f"{path} holds NaN or infinity where pixels were expected; compute it anew.")
    return flow.astype(np.float32)
