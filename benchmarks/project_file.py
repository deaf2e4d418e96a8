"""The size and the speed of a project file with many frames.

    python benchmarks/project_file.py --frames 10000 --objects 3

The masks are uneven blobs that move; each is stored as the server does it, on the disk before the next one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.mask_store import ComputedMask
from tinct.web.project import Project
from tinct.web.project_document import document
from tinct.web.project_file import new_project_file
from tinct.web.project_info import ProjectInfo
from tinct.web.prompt_png import png_of
from tinct.web.run_log import FramePass


def labels_of(index: int, objects: int, size: tuple[int, int]) -> np.ndarray:
    """Blobs with uneven outlines that move from frame to frame."""
    H, W = size
    labels = np.zeros(size, np.uint8)
    for number in range(1, objects + 1):
        turn = 0.02 * index + 2 * np.pi * number / objects
        x, y = W * (0.5 + 0.3 * np.cos(turn)), H * (0.5 + 0.25 * np.sin(1.3 * turn))
        angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        radii = H * (0.14 + 0.02 * np.sin(5 * angles + turn) + 0.008 * np.sin(23 * angles - 3 * turn))
        outline = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1)
        cv2.fillPoly(labels, [outline.round().astype(np.int32)], number)
    return labels


def measured(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fill(project: Project, frames: int, objects: int) -> dict[str, Any]:
    """Store a prompt and the masks of a whole run; the seconds per mask."""
    size = project.info.size
    project.annotate({0: labels_of(0, objects, size)})
    passes = (FramePass(0, frames - 1, "forward"),)
    plan = project.runs.begin(project.journal.state, 0, "forward", passes, SegmenterConfig())
    sure = tuple((i, 0.9) for i in range(1, objects + 1))
    took, encoded = [], []
    for index in range(frames):
        labels, began = labels_of(index, objects, size), time.perf_counter()
        png = png_of(labels, grey=False)
        encoded.append(time.perf_counter() - began)
        mask = ComputedMask(index, plan.number, 0.9, sure)
        took.append(measured(lambda mask=mask, png=png: project.masks.add(mask, png)))
    project.runs.end(plan.number, "done")
    milliseconds = sorted(1000 * each for each in took)
    return {
        "store_ms_median": statistics.median(milliseconds),
        "store_ms_99_percent": milliseconds[int(0.99 * len(milliseconds))],
        "encode_ms_median": 1000 * statistics.median(encoded),
    }


def measure(folder: Path, frames: int, objects: int, size: tuple[int, int]) -> dict[str, Any]:
    """All figures of one project file."""
    path = folder / "long.tinct"
    with new_project_file(path) as file:
        info = ProjectInfo("long.mp4", str(folder / "long.mp4"), False, frames, size, "25")
        file.set_meta("project", asdict(info))
    project = Project(path, folder / "scratch", "long")
    found: dict[str, Any] = {"frames": frames, "objects": objects, "size": list(size)}
    found |= fill(project, frames, objects)
    found["close_s"] = measured(project.close)
    found["megabytes"] = path.stat().st_size / 1e6
    found["bytes_per_frame"] = path.stat().st_size / frames
    began = time.perf_counter()
    project = Project(path, folder / "scratch", "long")
    found["open_s"] = time.perf_counter() - began
    found["document_s"] = measured(lambda: json.dumps(document(project)))
    draws = np.random.default_rng(0).integers(0, frames, 200)
    found["read_ms_median"] = 1000 * statistics.median(
        measured(lambda i=int(i): project.png(i)) for i in draws
    )
    labels = labels_of(5, objects, size)
    found["stroke_s"] = measured(lambda: project.annotate({frames // 2: labels}))
    found["copy_s"] = measured(lambda: project.save_copy(folder / "copy.tinct", embed=False))
    project.close()
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.frames, given.objects, (given.height, given.width))
    rounded = {name: round(v, 4) if isinstance(v, float) else v for name, v in found.items()}
    print(json.dumps(rounded, indent=1))


if __name__ == "__main__":
    main()
