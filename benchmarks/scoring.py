"""What a score costs: CPU seconds of J and F, peak memory, the gain of a second process, CPU seconds of T.

    python benchmarks/scoring.py --json scoring.json
    python benchmarks/scoring.py --quick

The data is generated into a temporary folder: 10 sequences of 60 frames, 854×480, three objects with
winding outlines that move and overlap, and predictions that are about right (J near 0.83, F near
0.77), all as palette PNGs. J and F are measured on `tinct score` as a user runs it: a new process, the
interpreter's start and all imports included. The official figures beside ours were measured once,
with such data on a two-core machine of the kind that we use: on other machines they are only a hint.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pictures

from speed import HEIGHT, WIDTH, in_fresh_process
from tinct.evaluation.score import score_folders
from tinct.io.masks import voc_palette
from tinct.io.plain_png import read_plain_png
from tinct.metrics.temporal import temporal_stability
from tinct.ops.allocator import keep_freed_memory
from tinct.shapes import LabelMap

OBJECTS = 3
HARMONICS = np.arange(2, 24)

# Runs a module as `python -m` does, and leaves its peak memory in a file (Linux: VmHWM, in KiB; elsewhere
# getrusage's figure, which may begin at the parent's).
RUN_AND_WRITE_PEAK = """
import atexit, runpy, sys
out, module, *sys.argv[1:] = sys.argv[1:]
def write_peak():
    try:
        line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
        peak = int(line.split()[1]) * 1024
    except OSError:
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with open(out, "w") as file:
        file.write(str(peak))
atexit.register(write_peak)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Size:
    """How much is generated, and how often each command runs; the table is about the full size."""

    sequences: int
    frames: int
    repeats: int
    pairs: int


FULL, QUICK = Size(sequences=10, frames=60, repeats=5, pairs=40), Size(2, 8, 1, 3)


@dataclass(frozen=True)
class Goal:
    """A line of the table: what the official toolkit needs, what tinct must reach, what it aims at."""

    key: str
    what: str
    official: str
    bar: str
    aim: str
    format: str


GOALS = (
    Goal("cpu_s", "J and F, CPU seconds", "20.8", "2.6", "1.0", "{:.2f}"),
    Goal("times_vos_benchmark", "times as fast as vos-benchmark (9.1 s)", "", "3.5", "9", "{:.1f}"),
    Goal("peak_mb", "peak memory, MB", "1921", "110", "60", "{:.0f}"),
    Goal("two_processes", "wall time of one process over that of two", "", "1.7", "1.95", "{:.2f}"),
    Goal("two_processes_at_work", "the same without the start, which is not shared", "", "", "", "{:.2f}"),
    Goal("temporal_cpu_s", "T, CPU seconds per object and pair", "0.24", "0.08", "0.012", "{:.4f}"),
    Goal("decoding_cpu_s", "for comparison: decoding the PNGs alone", "", "", "0.3", "{:.2f}"),
    Goal("pillow_cpu_s", "the same by Pillow", "", "", "", "{:.2f}"),
)

VOS_BENCHMARK_CPU_S = 9.1


def main() -> int:
    """Generate, measure, print."""
    options = arguments()
    size = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        predictions, truth = Path(folder, "predictions"), Path(folder, "truth")
        in_fresh_process(write_data, predictions, truth, size)
        figures = measure(predictions, truth, size)
    print(f"{'':<50}{'official':>10}{'bar':>8}{'aim':>8}{'here':>10}")
    for goal in GOALS:
        here = goal.format.format(figures[goal.key])
        print(f"{goal.what:<50}{goal.official:>10}{goal.bar:>8}{goal.aim:>8}{here:>10}")
    print(f"J {figures['J']:.3f}, F {figures['F']:.3f} over {figures['frames_scored']} frames")
    if options.quick:
        print("--quick: far too little data to compare with the goals.")
    if options.json is not None:
        goals = [asdict(goal) for goal in GOALS]
        report = {**figures, "size": asdict(size), "goals": goals, "python": platform.python_version()}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sequences of eight frames, each once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


def measure(predictions: Path, truth: Path, size: Size) -> dict[str, Any]:
    """Every figure of the table; medians over the repeats, one and two processes taking turns."""
    one, two = [], []
    for _ in range(size.repeats):
        one.append(run_score(predictions, truth, workers=1))
        two.append(run_score(predictions, truth, workers=2))
    cpu_s = statistics.median(run.cpu_s for run in one)
    wall_s = [statistics.median(run.wall_s for run in runs) for runs in (one, two)]
    scores = one[0].scores
    return {
        "cpu_s": cpu_s,
        "cpu_s_all": [run.cpu_s for run in one],
        "times_vos_benchmark": VOS_BENCHMARK_CPU_S / cpu_s if size == FULL else math.nan,
        "peak_mb": statistics.median(run.peak_mb for run in one),
        "wall_s": wall_s[0],
        "wall_s_two_processes": wall_s[1],
        "two_processes": wall_s[0] / wall_s[1],
        "temporal_cpu_s": in_fresh_process(temporal_cpu_s, predictions, size.pairs),
        "two_processes_at_work": in_fresh_process(gain_at_work, predictions, truth, size.repeats),
        "decoding_cpu_s": in_fresh_process(decoding_cpu_s, predictions, truth, read_plain_png),
        "pillow_cpu_s": in_fresh_process(decoding_cpu_s, predictions, truth, read),
        "J": scores["J"]["mean"],
        "F": scores["F"]["mean"],
        "frames_scored": scores["frames_scored"],
    }


@dataclass(frozen=True)
class Run:
    """One run of `tinct score`."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    scores: dict[str, Any]


def run_score(predictions: Path, truth: Path, workers: int) -> Run:
    """`tinct score` in a new process; CPU time is that of all its processes, memory that of the first."""
    peak, scores = truth.parent / "peak", truth.parent / "scores.json"
    command = [sys.executable, "-c", RUN_AND_WRITE_PEAK, peak, "tinct", "score", predictions, truth]
    command += ["--protocol", "davis-2017", "--workers", str(workers), "--json", scores]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall_s, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"`tinct score` failed:\n{done.stderr}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(cpu_s, wall_s, int(peak.read_text()) / 1e6, json.loads(scores.read_text()))


def gain_at_work(predictions: Path, truth: Path, repeats: int) -> float:
    """Wall time of one process over that of two, in an interpreter that has all it needs."""
    wall_s: dict[int, list[float]] = {1: [], 2: []}
    for workers in (1, 2) * repeats:
        begun = time.perf_counter()
        score_folders(predictions, truth, "davis-2017", workers=workers)
        wall_s[workers].append(time.perf_counter() - begun)
    return statistics.median(wall_s[1]) / statistics.median(wall_s[2])


def temporal_cpu_s(predictions: Path, pairs: int) -> float:
    """CPU seconds of T for one object and one pair of frames: the mean over some pairs and all objects."""
    files = sorted(sorted(predictions.iterdir())[0].glob("*.png"))[: pairs + 1]
    label_maps = [read(file) for file in files]
    cpu_s = []
    for earlier, later in itertools.pairwise(label_maps):
        for object_id in range(1, OBJECTS + 1):
            masks = earlier == object_id, later == object_id
            begun = time.process_time()
            temporal_stability(*masks)
            cpu_s.append(time.process_time() - begun)
    # The first call pays for what is loaded on first use.
    return statistics.mean(cpu_s[1:])


def decoding_cpu_s(predictions: Path, truth: Path, decode: Callable[[Path], Any]) -> float:
    """CPU seconds to read every PNG once, without the interpreter's start."""
    files = sorted([*predictions.glob("*/*.png"), *truth.glob("*/*.png")])
    keep_freed_memory()  # as a score does
    begun = time.process_time()
    for file in files:
        decode(file)
    return time.process_time() - begun


def read(file: Path) -> LabelMap:
    """A palette PNG's indices, by Pillow."""
    with Pictures.open(file) as picture:
        return np.asarray(picture, np.uint8)


def write_data(predictions: Path, truth: Path, size: Size) -> None:
    """Write all sequences of both folders."""
    palette = voc_palette().tobytes()
    for number in range(size.sequences):
        folders = [root / f"sequence-{number:02}" for root in (predictions, truth)]
        for folder in folders:
            folder.mkdir(parents=True)
        for index, label_maps in enumerate(sequence(number, size.frames)):
            for folder, labels in zip(folders, label_maps, strict=True):
                picture = Pictures.fromarray(labels)
                picture.putpalette(palette)
                picture.save(folder / f"{index:05}.png")


def sequence(seed: int, frames: int) -> Iterator[tuple[LabelMap, LabelMap]]:
    """(prediction, truth) of each frame; the prediction's outlines stray anew in every frame."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(0, 0.25, (OBJECTS, 2, HARMONICS.size)) / HARMONICS**1.1
    axes_px = np.stack([rng.uniform(40, 120, OBJECTS), rng.uniform(50, 110, OBJECTS)], axis=1)
    phases = rng.uniform(0, 6, OBJECTS)
    for index in range(frames):
        prediction, truth = np.zeros((2, HEIGHT, WIDTH), np.uint8)
        for k in range(OBJECTS):
            x = WIDTH * (k + 0.5) / OBJECTS + 60 * math.sin(index / 15 + phases[k])
            y = HEIGHT / 2 + 90 * math.cos(index / 11 + phases[k])
            cv2.fillPoly(truth, [outline((x, y), axes_px[k], waves[k])], k + 1)
            strayed = waves[k] + rng.normal(0, 0.1, waves[k].shape) / HARMONICS**0.7
            dx, dy = rng.normal(0, 3, 2)
            cv2.fillPoly(prediction, [outline((x + dx, y + dy), axes_px[k], strayed)], k + 1)
        yield prediction, truth


def outline(centre: tuple[float, float], axes_px: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """An ellipse's outline whose radius is a Fourier series: int32 [256, 2], (x, y) in pixels."""
    angles = np.linspace(0, 2 * math.pi, 256, endpoint=False)
    turns = HARMONICS[:, None] * angles
    radius = 1 + waves[0] @ np.cos(turns) + waves[1] @ np.sin(turns)
    rim = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    return (np.asarray(centre) + axes_px * rim).round().astype(np.int32)


if __name__ == "__main__":
    sys.exit(main())
