"""tinct: paint one frame, and every frame of the video is coloured."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinct._version import __version__
from tinct.errors import (
    DatasetError,
    FrameIndexError,
    MaskError,
    MissingDatasetError,
    MissingExtraError,
    MissingMaskError,
    MissingVideoError,
    MissingWeightsError,
    NumericalError,
    OptionError,
    OutputError,
    TinctError,
    UnknownLengthError,
    UnknownObjectError,
    VideoError,
    WeightsError,
    WorkerError,
)

if TYPE_CHECKING:
    from tinct.fine_tuning.fine_tune import FineTuningWarning
    from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point, PromptableSegmenter
    from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter, segment_video
    from tinct.inference.session import Session, SessionFrame
    from tinct.io.mask_files import read_mask, write_mask
    from tinct.io.masks import MaskWarning, ObjectMasks
    from tinct.io.video import Video, as_video
    from tinct.methods.dyenet.run import TemplateWarning
    from tinct.runs.folder_lock import LockWarning
    from tinct.zoo import build_promptable, build_segmenter

__all__ = [
    "Box",
    "DatasetError",
    "FineTuningWarning",
    "FrameIndexError",
    "FramePrompt",
    "LockWarning",
    "MaskError",
    "MaskWarning",
    "MissingDatasetError",
    "MissingExtraError",
    "MissingMaskError",
    "MissingVideoError",
    "MissingWeightsError",
    "NumericalError",
    "ObjectMasks",
    "ObjectPrompt",
    "OptionError",
    "OutputError",
    "Point",
    "PromptableSegmenter",
    "Session",
    "SessionFrame",
    "StreamingSegmenter",
    "TemplateWarning",
    "TinctError",
    "UnknownLengthError",
    "UnknownObjectError",
    "Video",
    "VideoError",
    "VideoSegmenter",
    "WeightsError",
    "WorkerError",
    "__version__",
    "as_video",
    "build_promptable",
    "build_segmenter",
    "read_mask",
    "segment_video",
    "write_mask",
]

# Names come when they are first asked for: `import tinct`, and with it `tinct --help`, stays quick.
_HOMES = {
    "Box": "tinct.inference.promptable",
    "FineTuningWarning": "tinct.fine_tuning.fine_tune",
    "FramePrompt": "tinct.inference.promptable",
    "LockWarning": "tinct.runs.folder_lock",
    "MaskWarning": "tinct.io.masks",
    "ObjectMasks": "tinct.io.masks",
    "ObjectPrompt": "tinct.inference.promptable",
    "Point": "tinct.inference.promptable",
    "PromptableSegmenter": "tinct.inference.promptable",
    "Session": "tinct.inference.session",
    "SessionFrame": "tinct.inference.session",
    "StreamingSegmenter": "tinct.inference.segmenter",
    "TemplateWarning": "tinct.methods.dyenet.run",
    "Video": "tinct.io.video",
    "VideoSegmenter": "tinct.inference.segmenter",
    "as_video": "tinct.io.video",
    "build_promptable": "tinct.zoo",
    "build_segmenter": "tinct.zoo",
    "read_mask": "tinct.io.mask_files",
    "segment_video": "tinct.inference.segmenter",
    "write_mask": "tinct.io.mask_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tinct' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
