"""Peak resident memory after 100 and after 1,000 frames: it must not grow with the video.

    python benchmarks/memory.py --json memory.json

The video is generated, written once, and decoded and segmented as `tinct segment` does; each length
runs in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from speed import MovingShapes, in_fresh_process, peak_memory_mib, write_video

LENGTHS = (100, 1000)
HEIGHT, WIDTH, OBJECTS = 120, 214, 2


def peak_after(path: Path, frames: int, options: dict[str, Any]) -> float:
    """Segment the video's first frames in this process; its peak memory in MiB."""
    from tinct.inference.segmenter import segment_video
    from tinct.inference.threads import set_threads
    from tinct.io.video import Video
    from tinct.zoo import build_segmenter

    set_threads(1)
    labels = MovingShapes(HEIGHT, WIDTH, OBJECTS).frame(0)[1]
    results = segment_video(build_segmenter(**options), Video.open(path), {0: labels})
    for _, masks in itertools.islice(results, frames):
        _ = masks.label_map
    return peak_memory_mib()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", default="feelvos")
    parser.add_argument("--variant", help="default: the method's own")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--weights", help="a weights file in place of the package's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """Print the peak of each length and their ratio."""
    chosen = vars(arguments())
    target: Path | None = chosen.pop("json")
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "shapes.mp4"
        in_fresh_process(write_video, video, MovingShapes(HEIGHT, WIDTH, OBJECTS), max(LENGTHS))
        for frames in LENGTHS:
            peaks[frames] = in_fresh_process(peak_after, video, frames, chosen)
            print(f"{frames:>5} frames of {WIDTH}×{HEIGHT}: peak {peaks[frames]:.1f} MiB", flush=True)
    ratio = peaks[max(LENGTHS)] / peaks[min(LENGTHS)]
    print(f"{max(LENGTHS)} frames take {ratio:.3f} times the memory of {min(LENGTHS)}")
    if target is not None:
        report = {"peak_mib": peaks, "ratio": ratio, "size": [HEIGHT, WIDTH], "objects": OBJECTS, **chosen}
        report["weights"] = chosen["weights"] and Path(chosen["weights"]).name
        target.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
