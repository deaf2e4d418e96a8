"""Everything tinct raises on purpose, drawn once.

TinctError
├── MaskError (ValueError)              a mask that cannot be an annotation
│   └── MissingMaskError (FileNotFoundError)
├── VideoError (ValueError)             a video or frame that cannot be read
│   ├── MissingVideoError (FileNotFoundError)
│   └── UnknownLengthError (TypeError)  a stream of frames where the whole video is needed
├── OutputError                         a folder or file that cannot be written
├── WeightsError                        a weights file that is not what it should be
│   └── MissingWeightsError (FileNotFoundError)
├── DatasetError                        a dataset folder that lacks something
│   └── MissingDatasetError (FileNotFoundError)
├── OptionError (ValueError)            an option, name or index that does not exist
│   ├── FrameIndexError (IndexError)    a frame that the video does not have
│   ├── UnknownObjectError (KeyError)   an object that the masks do not have
│   └── MissingExtraError (ImportError) a package of one of tinct's extras
├── NumericalError                      a network that produced NaN or infinity
└── WorkerError                         a process that died of the work it was given

In brackets: the built-in error that it is as well, so that code which catches that one keeps working.
Every message says what came, what was expected, and how to fix it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TinctError(Exception):
    """The root: catch this to catch everything that tinct raises on purpose."""

    def __str__(self) -> str:
        """The message as it was written; a KeyError would put it in quotes."""
        return Exception.__str__(self)


class MaskError(TinctError, ValueError):
    """A mask that is empty, of another size than its frame, or that is not a label map at all."""


class MissingMaskError(MaskError, FileNotFoundError):
    """A mask file that is not there."""


class VideoError(TinctError, ValueError):
    """A video or frame that is missing, unreadable, broken in the middle, or of changing size."""


class MissingVideoError(VideoError, FileNotFoundError):
    """A video file or folder that is not there."""


class UnknownLengthError(VideoError, TypeError):
    """A stream of frames came where the whole video is needed; a TypeError, as `len(iterator)` is."""


class OutputError(TinctError):
    """An output that cannot be written: read-only, full, or holding another run."""


class WeightsError(TinctError):
    """Weights that are truncated, of another method, of a wrong hash, or in a refused format."""


class MissingWeightsError(WeightsError, FileNotFoundError):
    """A weights file that is not there, or that the package does not have."""


class DatasetError(TinctError):
    """A dataset folder in which something that its layout promises is missing or wrong."""


class MissingDatasetError(DatasetError, FileNotFoundError):
    """A dataset's folder, or a file of it, that is not there."""


class OptionError(TinctError, ValueError):
    """An option value, method, variant, device or prompt index that does not exist."""


class FrameIndexError(OptionError, IndexError):
    """A frame that the video does not have."""


class UnknownObjectError(OptionError, KeyError):
    """An object that the masks or prompts do not have."""


class MissingExtraError(OptionError, ImportError):
    """A package that only some people need is not installed; the message names the extra that brings it."""


class NumericalError(TinctError):
    """A network that produced NaN or infinity, so that its masks would be meaningless."""


class WorkerError(TinctError):
    """A process that was given work and died of it, or that could not start.

    Attributes:
        finished: What the others had done by then, where that is worth having.
    """

    finished: Any = None


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
