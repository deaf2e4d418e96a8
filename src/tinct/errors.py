"""Everything tinct raises on purpose, drawn once.

TinctError
├── MaskError       a mask that cannot be what was painted
├── VideoError      a video or frame that cannot be read
├── OutputError     a folder or file that cannot be written
├── WeightsError    a weights file that is not what it should be
├── DatasetError    a dataset folder that lacks something
├── OptionError     an option, name or index that does not exist
├── NumericalError  a network that produced NaN or infinity
└── WorkerError     a process that died of the work it was given

Every message says what came, what was expected, and how to fix it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TinctError(Exception):
    """The root: catch this to catch everything that tinct raises on purpose."""


class MaskError(TinctError):
    """A mask that is empty, of another size than its frame, or that is not a label map at all."""


class VideoError(TinctError):
    """A video or frame that is missing, unreadable, broken in the middle, or of changing size."""


class OutputError(TinctError):
    """An output that cannot be written: read-only, full, or holding another run."""


class WeightsError(TinctError):
    """Weights that are truncated, of another method, of a wrong hash, or in a refused format."""


class DatasetError(TinctError):
    """A dataset folder in which something that its layout promises is missing or wrong."""


class OptionError(TinctError):
    """An option value, method, variant, device or prompt index that does not exist."""


class NumericalError(TinctError):
    """A network that produced NaN or infinity, so that its masks would be meaningless."""


class WorkerError(TinctError):
    """A process that was given work and died of it, or that could not start."""


def near_match(name: str, known: Iterable[str]) -> str:
    """The tail of an "unknown name" message: the nearest known name, if any, and all known names.

    Example:
        >>> near_match("feelvoz", ["feelvos", "osvos"])
        "Did you mean 'feelvos'? Known: feelvos, osvos."
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names)}."
