"""J and F of a segmenter on DAVIS-2016, with the seconds that each frame took.

    python benchmarks/quality.py --root DAVIS --split val --threads 2 --json quality.json

Every sequence is segmented from its first frame's truth; the first and the last frame are not
scored; the closing line is the plain mean over the sequences.
"""

from __future__ import annotations

import argparse
import ast
import platform
import re
import shlex
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tinct.errors import OptionError, OutputError, TinctError
from tinct.evaluation.live_score import Seconds, score_davis_2016
from tinct.evaluation.results import SequenceScores, Statistics, j_and_f, write_scores
from tinct.io.masks import ObjectMasks

HEADER = (
    f"{'sequence':<20}{'frames':>7}{'J':>8}{'recall':>8}{'decay':>8}{'F':>8}{'recall':>8}{'decay':>8}{'J&F':>8}"
    f"{'wall s':>9}{'cpu s':>9}"
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--split", default="val", help="a list in ImageSets/2016 (default: val)")
    parser.add_argument("--sequences", help="only these sequences of the split, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="see and score only each n-th frame")
    parser.add_argument("--max-frames", type=int, help="stop each sequence after this many frames")
    parser.add_argument("--method", default="feelvos")
    parser.add_argument("--variant", help="default: the method's own")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--weights", type=Path, help="a weights file in place of the package's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override an option")
    parser.add_argument("--fine-tune", help="auto, none, a number of steps, or seconds such as 60s")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write everything, per frame too, to this file")
    parser.add_argument("--save-masks", type=Path, help="write DIR/SEQUENCE/FRAME.png, 0 and 255")
    return parser.parse_args()


def overrides(pairs: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs; a value is a Python literal where it reads as one, else text."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise OptionError(f"--set {pair!r} came; give KEY=VALUE, such as memory_frames=5.")
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            options[key] = text
    return options


def save_mask(folder: Path, sequence: str, frame: str, masks: ObjectMasks) -> None:
    """Write one frame's foreground as the benchmark's own result files: grey, 0 and 255."""
    target = folder / sequence
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{frame}.png"
    if not cv2.imwrite(str(path), (masks.label_map != 0).astype(np.uint8) * 255):
        raise OutputError(f"{path} cannot be written; check the folder and the free space.")


def line(
    name: str, frames: int, statistics: Mapping[str, Statistics], wall_s: float, processor_s: float
) -> str:
    """One row of the table."""
    j, f = statistics["J"], statistics["F"]
    figures = (j.mean, j.recall, j.decay, f.mean, f.recall, f.decay, j_and_f(statistics))
    return (
        f"{name:<20}{frames:>7}"
        + "".join(f"{value:>8.3f}" for value in figures)
        + f"{wall_s:>9.4f}{processor_s:>9.4f}"
    )


def sequence_line(scores: SequenceScores, seconds: Seconds) -> str:
    """The row of one sequence, with the median seconds of its steps."""
    wall_s, processor_s = statistics.median(seconds.wall), statistics.median(seconds.processor)
    return line(scores.name, scores.frames_scored, scores.statistics, wall_s, processor_s)


def command() -> str:
    """The command line as anyone could repeat it: files and folders by their last name."""
    words = (re.sub(r"[^=]*/(?=.)", "", word.rstrip("/")) for word in sys.argv[1:])
    return shlex.join(["python", "benchmarks/quality.py", *words])


def run(options: argparse.Namespace) -> None:
    """Build the segmenter, score it, print the table, and write the JSON."""
    from tinct.zoo import build_segmenter

    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    changed = overrides(options.set)
    segmenter = build_segmenter(
        options.method,
        options.variant,
        options.preset,
        options.weights,
        options.device,
        fine_tune=options.fine_tune,
        **changed,
    )
    folder: Path | None = options.save_masks
    print(HEADER, flush=True)
    start = time.perf_counter()
    scores = score_davis_2016(
        segmenter,
        options.root,
        options.split,
        sequences=options.sequences.split(",") if options.sequences else None,
        every=options.every,
        max_frames=options.max_frames,
        progress=lambda *scored: print(sequence_line(*scored), flush=True),
        on_frame=None if folder is None else lambda name, frame, masks: save_mask(folder, name, frame, masks),
    )
    total_s = time.perf_counter() - start
    seconds = scores.run["seconds_per_frame"], scores.run["processor_seconds_per_frame"]
    print(line("mean", scores.frames_scored, scores.statistics, *seconds))
    print(f"{total_s:.1f} s in all, {options.threads} threads, torch {torch.__version__}")
    if options.json is not None:
        run_on = {
            "total_s": total_s,
            "command": command(),
            **{key: getattr(options, key) for key in ("split", "every", "max_frames", "method", "variant")},
            **{key: getattr(options, key) for key in ("preset", "device", "threads")},
            "weights": None if options.weights is None else options.weights.name,
            "overrides": changed,
            "fine_tuning": options.fine_tune,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        }
        write_scores(options.json, replace(scores, run={**scores.run, **run_on}), per_frame=True)


def main() -> int:
    """Run, and explain what went wrong in one line."""
    try:
        run(arguments())
    except (TinctError, OSError) as error:
        print(f"quality: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
