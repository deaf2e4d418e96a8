"""tinct: paint one frame, and every frame of the video is coloured."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinct.errors import TinctError

if TYPE_CHECKING:
    from tinct.mask_files import read_mask, write_mask
    from tinct.masks import ObjectMasks
    from tinct.segmenter import StreamingSegmenter, VideoSegmenter, segment_video
    from tinct.session import Session, SessionFrame
    from tinct.video import Video
    from tinct.zoo import build_segmenter

__version__ = "0.1.0"

__all__ = [
    "ObjectMasks",
    "Session",
    "SessionFrame",
    "StreamingSegmenter",
    "TinctError",
    "Video",
    "VideoSegmenter",
    "__version__",
    "build_segmenter",
    "read_mask",
    "segment_video",
    "write_mask",
]

# Names come when they are first asked for: `import tinct`, and with it `tinct --help`, stays quick.
_HOMES = {
    "ObjectMasks": "tinct.masks",
    "Session": "tinct.session",
    "SessionFrame": "tinct.session",
    "StreamingSegmenter": "tinct.segmenter",
    "Video": "tinct.video",
    "VideoSegmenter": "tinct.segmenter",
    "build_segmenter": "tinct.zoo",
    "read_mask": "tinct.mask_files",
    "segment_video": "tinct.segmenter",
    "write_mask": "tinct.mask_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tinct' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
