"""Hashes by which two runs, or two states, are known to be of the same things."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import torch

from tinct.io.video import Video
from tinct.shapes import LabelMap


def fingerprint_of(value: Any) -> str:
    """The SHA-256 of anything that JSON can hold, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def labels_sha256(labels: LabelMap) -> str:
    """Of a label map's pixels."""
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()


def video_sha256(video: Video) -> str:
    """Of the frames' names and the first frame's pixels: reading all frames would take too long."""
    names = "\n".join(video.names).encode()
    return hashlib.sha256(names + video[0].tobytes()).hexdigest()


def segmenter_sha256(segmenter: Any) -> str:
    """Of a segmenter's class, options and weights, and of what else it holds, as far as that has a name."""
    words = hashlib.sha256(type(segmenter).__qualname__.encode())
    for name, value in sorted(vars(segmenter).items()):
        words.update(f"\n{name}=".encode())
        if isinstance(value, torch.nn.Module):
            for key, tensor in value.state_dict().items():
                words.update(key.encode())
                words.update(
                    tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                )
        elif dataclasses.is_dataclass(value) or isinstance(value, (str, int, float, bool, torch.device)):
            words.update(repr(value).encode())
        else:
            words.update(f"{type(value).__qualname__} {getattr(value, 'name', '')}".encode())
    return words.hexdigest()
