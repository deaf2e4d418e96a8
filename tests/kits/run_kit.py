"""A run into a folder in one call, and what it left there."""

from __future__ import annotations

import json
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


def noise_video(frames: int, size: tuple[int, int]) -> Video:
    """Noise, the same at every call."""
    draws = np.random.default_rng(0)
    return Video.from_arrays([draws.integers(0, 256, (*size, 3), np.uint8) for _ in range(frames)])


def mask_bytes(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "masks").iterdir())}


def run_json(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "run.json").read_text())
    return content


def stop_at(frames: int, error: type[BaseException] = KeyboardInterrupt) -> ProgressCallback:
    """A callback that ends the run when it has segmented this number of frames."""

    def progress(stage: str, done: int, of: int) -> None:
        if (stage, done) == ("segment", frames):
            raise error

    return progress
