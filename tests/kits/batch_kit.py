"""Small clips with masks, manifests of them, and segmenters that travel to Ray's processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.mask_files import write_mask
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.shapes import Image, LabelMap

H, W = 24, 32


class Still(StreamingSegmenter[LabelMap]):
    """Leaves every object where it was painted last.

    Args:
        seconds: What a frame takes.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def start(self, frame: Image, labels: LabelMap) -> LabelMap:
        return labels

    def step(
        self, state: LabelMap, frame: Image, labels: LabelMap | None = None
    ) -> tuple[LabelMap, ObjectMasks]:
        time.sleep(self.seconds)
        # A picture of one value ends the process, as a crash in native code does.
        if (frame == 13).all():
            os.kill(os.getpid(), signal.SIGKILL)
        state = state if labels is None else labels
        return state, ObjectMasks.from_label_map(state)


def still(config: SegmenterConfig, video: Video, prompts: Mapping[int, LabelMap]) -> Still:
    """For `VideoOptions.segmenter`."""
    return Still(float(os.environ.get("STILL_SECONDS", "0")))


def slow(config: SegmenterConfig, video: Video, prompts: Mapping[int, LabelMap]) -> Still:
    """As `still`, a second per frame."""
    return Still(1.0)


def make_clip(folder: Path, name: str, frames: int = 3, *, value: int | None = None, size=(H, W)) -> None:
    """A folder of frames `name` and its mask `name.png`; of one value, or noise that the name decides."""
    (folder / name).mkdir(parents=True)
    draws = np.random.default_rng(list(name.encode()))
    for index in range(frames):
        image = (
            draws.integers(20, 256, (*size, 3), np.uint8)
            if value is None
            else np.full((*size, 3), value, np.uint8)
        )
        cv2.imwrite(str(folder / name / f"{index:05}.png"), image)
    labels = np.zeros(size, np.uint8)
    labels[4:16, 6:20] = 1
    write_mask(folder / f"{name}.png", labels)


def table(out: Path) -> dict[str, dict[str, Any]]:
    """The rows of a batch's table, by name."""
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(out / "results.parquet").to_pylist()
    found = {row["name"]: row for row in rows}
    assert len(found) == len(rows)
    return found
