"""The names of frames that have none of their own: their indices in five digits."""

from __future__ import annotations

import operator
from collections.abc import Sequence, Sized
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=4)
def numbered(count: int) -> tuple[str, ...]:
    """The names of a number of frames."""
    return tuple(f"{i:05d}" for i in range(count))


class Numbers(Sequence[str]):
    """The names of frames of which nobody knows how many will come."""

    def __init__(self, video: Sized) -> None:
        self._video = video

    def __len__(self) -> int:
        return len(self._video)

    def __getitem__(self, index: Any) -> Any:
        """The index in five digits; a slice needs an end, and counts from the start."""
        if isinstance(index, slice):
            return numbered(index.stop)[index]
        return f"{operator.index(index):05d}"
