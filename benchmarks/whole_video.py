"""Seconds per frame, everything included, and peak memory of a method that sees the whole video.

    python benchmarks/whole_video.py --method dyenet --objects 3 --frames 500 --threads 2 --json whole.json

The video is generated and written once; decoding, flow, proposals, all rounds of the loop and merging are
part of the time. It runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed import HEIGHT, WIDTH, MovingShapes, in_fresh_process, peak_memory_mib, write_video


def measure(path: Path, objects: int, threads: int, options: dict[str, Any]) -> dict[str, float]:
    """Segment the video in this process."""
    import cv2
    import torch

    from tinct.inference.segmenter import segment_video
    from tinct.io.video import Video
    from tinct.zoo import build_segmenter

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    segmenter, video = build_segmenter(**options), Video.open(path)
    labels = MovingShapes(HEIGHT, WIDTH, objects).frame(0)[1]
    wall, cpu, frames = time.perf_counter(), time.process_time(), 0
    for _, masks in segment_video(segmenter, video, {0: labels}):
        _ = masks.label_map
        frames += 1
    return {
        "wall_s_per_frame": (time.perf_counter() - wall) / frames,
        "cpu_s_per_frame": (time.process_time() - cpu) / frames,
        "peak_memory_mib": peak_memory_mib(),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", default="dyenet")
    parser.add_argument("--variant", help="default: the method's own")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--weights", help="a weights file in place of the package's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Print the figures."""
    chosen = vars(arguments())
    target: Path | None = chosen.pop("json")
    objects, frames, threads = (chosen.pop(name) for name in ("objects", "frames", "threads"))
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "shapes.mp4"
        in_fresh_process(write_video, video, MovingShapes(HEIGHT, WIDTH, objects), frames)
        found = in_fresh_process(measure, video, objects, threads, chosen)
    print(
        f"{frames} frames of {WIDTH}×{HEIGHT}, {objects} objects, {threads} threads: "
        f"{found['wall_s_per_frame']:.3f} s per frame ({found['cpu_s_per_frame']:.3f} of processor time), "
        f"peak {found['peak_memory_mib']:.0f} MiB"
    )
    if target is not None:
        chosen["weights"] = chosen["weights"] and Path(chosen["weights"]).name
        report = {**found, "frames": frames, "objects": objects, "threads": threads, **chosen}
        target.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
