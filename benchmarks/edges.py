r"""What mattes make of the edges of computed masks: boundary F of the thresholded alpha against the truth.

    python benchmarks/quality.py --root DAVIS --split train --preset fast --every 3 --max-frames 4 \
        --save-masks MASKS
    python benchmarks/edges.py --root DAVIS --masks MASKS --json edges.json

or, without a network, on the truth of a frame per sequence, made coarse by a factor:

    python benchmarks/edges.py --root DAVIS --coarse 8 --sequences bear,hike

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
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tinct.errors import OptionError, TinctError
from tinct.io.video import Video
from tinct.metrics.boundary import DEFAULT_BOUND_TH, contour_accuracy
from tinct.ops.finishing import Finishing, FinishingRule, FrameSource, finish, matte_named
from tinct.shapes import BinaryMask, LabelMap

WAYS = ("none", "guided", "closed-form")
TOLERANCES = {"F": DEFAULT_BOUND_TH, "F at 2 px": 2}
COARSE_FRAME = "00010"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--masks", type=Path, help="a folder of masks per sequence, 0 and 255")
    parser.add_argument("--coarse", type=int, help="take the truth, this many times smaller and larger again")
    parser.add_argument("--sequences", help="only these, separated by commas")
    parser.add_argument("--ways", default=",".join(WAYS), help="the mattes to try (default: all)")
    parser.add_argument("--band", type=int, default=10, help="how far from the edge a matte may be soft")
    parser.add_argument("--json", type=Path, help="write every frame's figures to this file")
    return parser.parse_args()


def masks_of(options: argparse.Namespace, name: str) -> Iterator[tuple[str, LabelMap]]:
    """(frame name, mask) of a sequence: those that were computed, or the coarse truth of one frame."""
    if options.masks:
        for path in sorted((options.masks / name).glob("*.png"))[1:]:
            yield path.stem, (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(np.uint8)
        return
    truth = read_truth(options.root, name, COARSE_FRAME).astype(np.float32)
    H, W = truth.shape
    small = cv2.resize(truth, (W // options.coarse, H // options.coarse), interpolation=cv2.INTER_AREA)
    yield COARSE_FRAME, (cv2.resize(small, (W, H)) > 0.5).astype(np.uint8)


def read_truth(root: Path, name: str, frame: str) -> BinaryMask:
    """The annotated mask of a frame."""
    path = root / "Annotations" / "480p" / name / f"{frame}.png"
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0)


def measure(options: argparse.Namespace, name: str) -> dict[str, list[float]]:
    """Per way and tolerance, F of every mask of a sequence; the "seconds" of each way beside them."""
    video = Video.open(options.root / "JPEGImages" / "480p" / name)
    found: dict[str, list[float]] = {}
    for frame, labels in masks_of(options, name):
        picture, truth = video[video.names.index(frame)], read_truth(options.root, name, frame)
        source = FrameSource(1, lambda _, labels=labels: labels, frame=lambda _, picture=picture: picture)
        for way in options.ways.split(","):
            rule = FinishingRule(Finishing(matte=matte_named(way), matte_px=options.band))
            began = time.perf_counter()
            masks = finish(source, [rule], (1,), 0)
            found.setdefault(f"{way}: seconds", []).append(time.perf_counter() - began)
            for measured, tolerance in TOLERANCES.items():
                accuracy = contour_accuracy(masks.label_map == 1, truth, tolerance)
                found.setdefault(f"{way}: {measured}", []).append(accuracy)
    return found


def main() -> int:
    """Print the table; 1 if it cannot be made."""
    options = arguments()
    columns = [f"{way}: {name}" for name in (*TOLERANCES, "seconds") for way in options.ways.split(",")]
    print(f"{'sequence':<20}" + "".join(f"{name:>24}" for name in columns))
    everything: dict[str, dict[str, list[float]]] = {}
    try:
        folder = options.masks or options.root / "JPEGImages" / "480p"
        names = (
            options.sequences.split(",") if options.sequences else sorted(p.name for p in folder.iterdir())
        )
        if not options.masks and not options.coarse:
            raise OptionError("Give masks (--masks, of quality.py --save-masks), or --coarse 8.")
        for name in names:
            found = everything[name] = measure(options, name)
            means = [statistics.fmean(found[column]) for column in columns]
            print(f"{name:<20}" + "".join(f"{mean:>24.4f}" for mean in means), flush=True)
    except (TinctError, OSError) as error:
        print(f"edges: {error}", file=sys.stderr)
        return 1
    sequences = everything.values()
    means = [statistics.fmean(statistics.fmean(each[name]) for each in sequences) for name in columns]
    print(f"{'mean':<20}" + "".join(f"{mean:>24.4f}" for mean in means))
    if options.json:
        content = {"processor": platform.processor(), "band_px": options.band, "sequences": everything}
        options.json.write_text(json.dumps(content, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
