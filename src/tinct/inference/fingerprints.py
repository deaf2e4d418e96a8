"""Hashes by which two runs, or two states, are known to be of the same things."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from tinct.errors import VideoError
from tinct.inference.devices import OnDevice
from tinct.io.picture_frames import evenly
from tinct.io.video import Video
from tinct.shapes import LabelMap

_READ_WHOLE = 2**26
"""Bytes of a video's files that are read for its hash, in a fraction of a second."""

_PART = 2**22
"""Bytes of each part of a large file."""

_LOOKED_AT = 8
"""Frames, or files, of a large video whose content counts."""


def fingerprint_of(value: Any) -> str:
    """The SHA-256 of anything that JSON can hold, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def labels_sha256(labels: LabelMap) -> str:
    """Of a label map's pixels."""
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()


def video_sha256(video: Video) -> str:
    """Of the frames' names, the first frame's pixels, and the content of the files or frames.

    Of files, all sizes and, of more than `_READ_WHOLE` bytes in all, only parts of some count, since reading
    everything would take too long. Neither place nor time counts: a copy is the same video.
    """
    words = hashlib.sha256("\n".join(video.names).encode("utf-8", "surrogateescape") + video[0].tobytes())
    files = video.files()
    if not files:
        for index in evenly(len(video), _LOOKED_AT):
            with suppress(VideoError):  # reported by whoever reads that frame for its mask
                words.update(video[index].tobytes())
        return words.hexdigest()
    sizes = [file.stat().st_size for file in files]
    words.update(repr(sizes).encode())
    whole = sum(sizes) <= _READ_WHOLE
    for index in range(len(files)) if whole else evenly(len(files), _LOOKED_AT):
        with files[index].open("rb") as stream:
            for start in (0,) if whole else (0, sizes[index] // 2, sizes[index] - _PART):
                stream.seek(max(0, start))
                words.update(stream.read(-1 if whole else _PART))
    return words.hexdigest()


def segmenter_sha256(segmenter: Any) -> str:
    """Of a segmenter's class, options and weights, and of what else it holds, as far as that has a name."""
    words = hashlib.sha256(type(segmenter).__qualname__.encode())
    for name, value in sorted(vars(segmenter).items()):
        words.update(f"\n{name}=".encode())
        if isinstance(value, OnDevice):
            words.update(segmenter_sha256(value).encode())
        elif hasattr(value, "state_dict"):  # a network of torch
            for key, tensor in value.state_dict().items():
                words.update(key.encode())
                # Arrays have no bfloat16; bytes they have.
                flat = tensor.detach().cpu().contiguous().reshape(-1)
                words.update(flat.view(sys.modules["torch"].uint8).numpy().tobytes())
        elif isinstance(value, Mapping):
            for key, array in value.items():
                words.update(key.encode() + np.ascontiguousarray(array).tobytes())
        elif (
            dataclasses.is_dataclass(value)
            or isinstance(value, (str, int, float, bool))
            or type(value).__name__ == "device"
        ):
            words.update(repr(value).encode())
        else:
            words.update(f"{type(value).__qualname__} {getattr(value, 'name', '')}".encode())
    return words.hexdigest()
