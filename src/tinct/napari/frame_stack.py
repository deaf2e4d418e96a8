"""A video as a lazy array that reads frames on access."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinct.io.video import Video
from tinct.shapes import Image, Shaped


class FrameStack:
    """A video as an array for napari: `stack[3]` reads frame 3 only.

    Args:
        video: The frames.

    Attributes:
        shape: (T, H, W, 3).
        dtype: uint8.
        ndim: 4.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, video: Video) -> None:
        self.video = video
        self.shape = (len(video), *video.size, 3)
        self._last: tuple[int, Image] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> Shaped[np.ndarray, "..."]:
        """A frame or several frames, indexed as in numpy."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest]
        if isinstance(first, int | np.integer):
            picked: Shaped[np.ndarray, "..."] = self._frame(int(first))[tuple(rest)]
            return picked
        wanted = np.arange(len(self))[first]
        frames = [self._frame(int(index)) for index in wanted]
        stacked = np.stack(frames) if frames else np.zeros((0, *self.shape[1:]), np.uint8)
        return stacked[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Shaped[np.ndarray, "..."]:
        if copy is False:
            raise ValueError("A video is no array until it is read; a copy cannot be avoided.")
        return np.asarray(self[:], dtype)

    def _frame(self, index: int) -> Image:
        if not -len(self) <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        index %= len(self)
        if self._last is None or self._last[0] != index:
            self._last = index, self.video[index]
        return self._last[1]
