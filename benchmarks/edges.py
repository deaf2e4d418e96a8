r"""What mattes make of the edges of computed masks: boundary F of the thresholded alpha against the truth.

    python benchmarks/quality.py --root DAVIS --split train --preset fast --every 3 --max-frames 4 \
        --save-masks MASKS
    python benchmarks/edges.py --root DAVIS --masks MASKS --json edges.json

Every mask in MASKS/SEQUENCE is given a matte by each way of `tinct.ops.matting`, and alpha is cut at a half
again. F has the benchmark's tolerance (0.008 of the diagonal) and, as the truth of DAVIS is finer than that,
also one of two pixels. The first frame of a sequence is the truth itself and not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from tinct.errors import DatasetError, TinctError
from tinct.io.video import Video
from tinct.metrics.boundary import DEFAULT_BOUND_TH, contour_accuracy
from tinct.ops.finishing import Finishing, FinishingRule, FrameSource, finish

WAYS = ("none", "guided", "closed-form")
TOLERANCES = {"F": DEFAULT_BOUND_TH, "F at 2 px": 2}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--masks", type=Path, required=True, help="a folder of masks per sequence, 0 and 255")
    parser.add_argument("--band", type=int, default=10, help="how far from the edge a matte may be soft")
    parser.add_argument("--json", type=Path, help="write every frame's figures to this file")
    return parser.parse_args()


def measure(root: Path, folder: Path, band_px: int) -> dict[str, list[float]]:
    """Per way and tolerance, F of every mask of a sequence's folder; "seconds" of each way beside them."""
    frames = root / "JPEGImages" / "480p" / folder.name
    video = Video.open(frames)
    found: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*.png"))[1:]:
        labels = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8)
        picture = video[video.names.index(path.stem)]
        truth = (
            cv2.imread(str(root / "Annotations" / "480p" / folder.name / path.name), cv2.IMREAD_GRAYSCALE) > 0
        )
        source = FrameSource(1, lambda _, labels=labels: labels, frame=lambda _, picture=picture: picture)
        for way in WAYS:
            began = time.perf_counter()
            masks = finish(source, [FinishingRule(Finishing(matte=way, matte_px=band_px))], (1,), 0)
            found.setdefault(f"{way}: seconds", []).append(time.perf_counter() - began)
            for name, tolerance in TOLERANCES.items():
                found.setdefault(f"{way}: {name}", []).append(
                    contour_accuracy(masks.label_map == 1, truth, tolerance)
                )
    return found


def main() -> int:
    """Print the table; 1 if it cannot be made."""
    options = arguments()
    columns = [f"{way}: {name}" for name in (*TOLERANCES, "seconds") for way in WAYS]
    print(f"{'sequence':<20}" + "".join(f"{name:>24}" for name in columns))
    everything = {}
    try:
        folders = sorted(path for path in options.masks.iterdir() if path.is_dir())
        if not folders:
            raise DatasetError(
                f"{options.masks} holds no folder of masks; make them with quality.py --save-masks."
            )
        for folder in folders:
            found = everything[folder.name] = measure(options.root, folder, options.band)
            means = [statistics.fmean(found[name]) for name in columns]
            print(f"{folder.name:<20}" + "".join(f"{mean:>24.4f}" for mean in means), flush=True)
    except (TinctError, OSError) as error:
        print(f"edges: {error}", file=sys.stderr)
        return 1
    means = [
        statistics.fmean(statistics.fmean(each[name]) for each in everything.values()) for name in columns
    ]
    print(f"{'mean':<20}" + "".join(f"{mean:>24.4f}" for mean in means))
    if options.json:
        content = {"processor": platform.processor(), "band_px": options.band, "sequences": everything}
        options.json.write_text(json.dumps(content, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
