"""A run into a folder, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinct.inference.callbacks import ProgressCallback
from tinct.io.video import Video
from tinct.runs.segment_to_folder import FolderOptions, RunReport, Segmenter, segment_to_folder


def run_to_folder(
    segmenter: Segmenter,
    video: Video,
    prompts: Mapping[int, np.ndarray],
    out: Path,
    *,
    info: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> RunReport:
    return segment_to_folder(
        segmenter, video, prompts, out, FolderOptions(**options), info=info, notes=notes, progress=progress
    )
