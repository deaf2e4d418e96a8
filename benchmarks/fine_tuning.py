"""How J grows with the seconds that an object is fine-tuned for, on the sequences of a DAVIS-2016 list.

    python benchmarks/fine_tuning.py --root DAVIS --method osvos --json osvos.json --plot osvos.png

A point is written as soon as it is measured; the same command goes on from there. Seconds count
on the machine at hand, so that the steps that they were enough for are written beside them.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from tinct.errors import OptionError, TinctError
from tinct.evaluation.live_score import score_davis_2016
from tinct.evaluation.published import published_results
from tinct.files import written_whole
from tinct.segmenter import StreamingSegmenter
from tinct.tuning_news import TuningNews, tuning_told_to
from tinct.zoo import build_segmenter, check_variant, resolve_weights

SECONDS = (0.0, 5.0, 15.0, 30.0, 60.0, 120.0)
"""Per object."""

PAPERS = {"osvos": "OSVOS", "masktrack": "MaskTrack", "maskrnn": "MaskRNN"}
"""What `published.json` calls the methods."""


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--split", default="dev", help="a list in ImageSets/2016 (default: dev)")
    parser.add_argument("--sequences", help="only these sequences of the split, separated by commas")
    parser.add_argument("--max-frames", type=int, help="stop each sequence after this many frames")
    parser.add_argument("--method", choices=sorted(PAPERS), required=True)
    parser.add_argument("--variant", help="default: the method's own")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--weights", type=Path, help="a weights file in place of the package's")
    parser.add_argument("--seconds", default=",".join(f"{s:g}" for s in SECONDS), help="per object")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True, help="the points, written as they are measured")
    parser.add_argument("--plot", type=Path, help="a PNG of the curve")
    return parser.parse_args(words)


def parse_seconds(text: str) -> list[float]:
    """`0,5,15` as numbers, increasing.

    Raises:
        OptionError: It is no list of numbers from 0 on.
    """
    try:
        seconds = sorted({float(word) for word in text.split(",")})
    except ValueError:
        seconds = [-1.0]
    if seconds[0] < 0:
        raise OptionError(f"--seconds {text!r} came; give numbers from 0 on, such as 0,5,15.")
    return seconds


def fine_tune_of(seconds: float) -> str:
    """Seconds as `build_segmenter` takes them."""
    return f"{seconds:g}s" if seconds else "none"


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What makes two points belong to one curve."""
    kept = ("method", "variant", "preset", "split", "sequences", "max_frames", "device", "threads")
    variant = check_variant(options.method, options.variant)
    weights = resolve_weights(options.method, variant, options.weights)[1]
    return {**{name: getattr(options, name) for name in kept}, "weights_sha256": weights}


def read_points(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points that are there already.

    Raises:
        OptionError: They belong to another curve.
    """
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    differing = [name for name, value in settings.items() if content["settings"].get(name) != value]
    if differing:
        raise OptionError(
            f"{path} holds another curve (it differs in {', '.join(differing)}); name another file."
        )
    points: list[dict[str, Any]] = content["points"]
    return points


def write_points(path: Path, settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:
    """Write all points, the machine and the command, as a whole."""
    content = {
        "settings": settings,
        "command": command(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "points": sorted(points, key=lambda point: point["seconds"]),
    }
    with written_whole(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def command() -> str:
    """The command line as anyone could repeat it: files and folders by their last name."""
    words = (re.sub(r"[^=]*/(?=.)", "", word.rstrip("/")) for word in sys.argv[1:])
    return shlex.join(["python", "benchmarks/fine_tuning.py", *words])


def measure(
    segmenter: StreamingSegmenter[Any],
    root: Path,
    split: str,
    *,
    sequences: Sequence[str] | None = None,
    max_frames: int | None = None,
) -> dict[str, Any]:
    """J and F of a list, each sequence's J, and the steps that fine-tuning took (median over objects)."""
    ends: list[TuningNews] = []

    def listen(news: TuningNews) -> None:
        if news.finished:
            ends.append(news)

    with tuning_told_to(listen):
        scores = score_davis_2016(segmenter, root, split, sequences=sequences, max_frames=max_frames)
    return {
        "J": scores.statistics["J"].mean,
        "F": scores.statistics["F"].mean,
        "steps": statistics.median(news.steps for news in ends) if ends else 0,
        "diverged": sum(news.diverged for news in ends),
        "sequences": {s.name: s.statistics["J"].mean for s in scores.sequences},
    }


def plot(path: Path, method: str, points: Sequence[Mapping[str, Any]], split: str) -> None:
    """The curve: the mean, each sequence behind it, and the paper's figure on its own data."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = sorted(points, key=lambda point: point["seconds"])
    seconds = [point["seconds"] for point in points]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in points[0]["sequences"]:
        curve = [point["sequences"][name] for point in points]
        axes.plot(seconds, curve, color="0.8", linewidth=1)
        axes.annotate(name, (seconds[-1], curve[-1]), color="0.5", fontsize=7, xytext=(4, 0),
                      textcoords="offset points", va="center")  # fmt: skip
    axes.plot(seconds, [point["J"] for point in points], "o-", color="C0", label=f"ours, mean on {split}")
    found = [
        r for r in published_results("davis-2016", "val") if r.method == PAPERS[method] and not r.ablation
    ]
    if found:
        label = f"the paper, DAVIS-2016 {found[0].split} (other sequences)"
        axes.axhline(found[0].measures["J"].mean, color="C1", linestyle="--", label=label)
    axes.set(xlabel="seconds of fine-tuning per object", ylabel="J", title=PAPERS[method])
    axes.set_xscale("symlog", linthresh=5)
    axes.set_xticks(seconds, [f"{s:g}" for s in seconds])
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def run(options: argparse.Namespace) -> None:
    """Measure what is missing, print the table, write the JSON and the plot."""
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    seconds, settings = parse_seconds(options.seconds), settings_of(options)
    points = read_points(options.json, settings)
    print(f"{'seconds':>8}{'steps':>8}{'J':>8}{'F':>8}", flush=True)
    for budget in seconds:
        known = next((point for point in points if point["seconds"] == budget), None)
        if known is None:
            segmenter = build_segmenter(
                options.method,
                options.variant,
                options.preset,
                options.weights,
                options.device,
                fine_tune=fine_tune_of(budget),
            )
            if not isinstance(segmenter, StreamingSegmenter):
                raise OptionError(
                    f"The preset {options.preset} of {options.method} sees whole videos; take default."
                )
            names = options.sequences.split(",") if options.sequences else None
            found = measure(
                segmenter, options.root, options.split, sequences=names, max_frames=options.max_frames
            )
            known = {"seconds": budget, **found}
            points.append(known)
            write_points(options.json, settings, points)
        print(f"{budget:>8g}{known['steps']:>8g}{known['J']:>8.3f}{known['F']:>8.3f}", flush=True)
    if options.plot is not None:
        plot(options.plot, options.method, points, options.split)


def main() -> int:
    """Run, and explain what went wrong in one line."""
    try:
        run(arguments())
    except (TinctError, OSError) as error:
        print(f"fine_tuning: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
