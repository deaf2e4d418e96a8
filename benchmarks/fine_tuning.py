"""How J grows with the seconds that an object is fine-tuned for, on the sequences of a DAVIS-2016 list.

    python benchmarks/fine_tuning.py --root DAVIS --method osvos --json osvos.json --plot osvos.png

A point is written as soon as it is measured; the same command goes on from there. Seconds count
on the machine at hand, so that the steps that they were enough for are written beside them.

On a machine that has other work, give steps instead (`--steps 0,50,100,200,400`): J does not depend on the
load then. What a step takes is that of the quickest object, or what a quiet machine told
(`--seconds-per-step`); the plot has both axes.
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
from tinct.inference.callbacks import FineTuningProgress, callbacks
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.atomic import atomic_write
from tinct.zoo import build_segmenter, check_variant, resolve_weights

SECONDS = (0.0, 5.0, 15.0, 30.0, 60.0, 120.0)
"""Per object."""

UNITS = ("seconds", "steps")
"""In which the budget of a curve's points may be given."""

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
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", default=",".join(f"{s:g}" for s in SECONDS), help="per object")
    budget.add_argument("--steps", help="per object, in the place of seconds: 0,50,100,200,400")
    parser.add_argument(
        "--seconds-per-step",
        type=float,
        help="for the seconds beside --steps (default: what the quickest object took)",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True, help="the points, written as they are measured")
    parser.add_argument("--plot", type=Path, help="a PNG of the curve")
    return parser.parse_args(words)


def parse_budgets(text: str, unit: str = "seconds") -> list[float]:
    """`0,5,15` as numbers, increasing; steps are whole ones.

    Raises:
        OptionError: It is no list of numbers from 0 on.
    """
    try:
        budgets = sorted({float(word) if unit == "seconds" else int(word) for word in text.split(",")})
    except ValueError:
        budgets = [-1.0]
    if budgets[0] < 0:
        whole = "whole " if unit == "steps" else ""
        raise OptionError(f"--{unit} {text!r} came; give {whole}numbers from 0 on, such as 0,5,15.")
    return budgets


def fine_tune_of(budget: float, unit: str = "seconds") -> str:
    """A budget as `build_segmenter` takes it."""
    if not budget:
        return "none"
    return f"{budget:g}s" if unit == "seconds" else f"{budget:.0f}"


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What makes two points belong to one curve."""
    kept = ("method", "variant", "preset", "split", "sequences", "max_frames", "device", "threads")
    variant = check_variant(options.method, options.variant)
    weights = resolve_weights(options.method, variant, options.weights)[1]
    # Curves over seconds were written before there were others, and say nothing of their unit.
    unit = {} if options.steps is None else {"unit": "steps"}
    return {**{name: getattr(options, name) for name in kept}, "weights_sha256": weights, **unit}


def read_points(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points that are there already.

    Raises:
        OptionError: They belong to another curve.
    """
    if not path.exists():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    there: dict[str, Any] = content["settings"]
    differing = [name for name in {**settings, **there} if there.get(name) != settings.get(name)]
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
        "points": sorted(points, key=lambda point: point[settings.get("unit", "seconds")]),
    }
    with atomic_write(path) as part:
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
    """J and F of a list, each sequence's J, and what fine-tuning took.

    Returns:
        J, F, steps and seconds (medians over objects), seconds_per_step (of the quickest object; None
        without steps), diverged (objects), sequences (name → J).
    """
    ends: list[FineTuningProgress] = []

    def listen(news: FineTuningProgress) -> None:
        if news.finished:
            ends.append(news)

    with callbacks(fine_tuning=listen):
        scores = score_davis_2016(segmenter, root, split, sequences=sequences, max_frames=max_frames)
    return {
        "J": scores.statistics["J"].mean,
        "F": scores.statistics["F"].mean,
        "steps": statistics.median(news.steps for news in ends) if ends else 0,
        "seconds": statistics.median(news.seconds for news in ends) if ends else 0.0,
        "seconds_per_step": min((news.seconds / news.steps for news in ends), default=None),
        "diverged": sum(news.diverged for news in ends),
        "sequences": {s.name: s.statistics["J"].mean for s in scores.sequences},
    }


def step_seconds(options: argparse.Namespace, points: Sequence[Mapping[str, Any]]) -> float | None:
    """What a step takes: as was said, or as the quickest object had it; None if nothing was tuned."""
    if options.seconds_per_step is not None:
        return float(options.seconds_per_step)
    known = [point["seconds_per_step"] for point in points if point.get("seconds_per_step") is not None]
    return min(known, default=None)


def both_units(
    point: Mapping[str, Any], unit: str, seconds_per_step: float | None
) -> tuple[float | None, float]:
    """(seconds, steps) of a point; seconds of steps are reckoned, and None where nobody knows them."""
    if unit == "seconds":
        return point["seconds"], point["steps"]
    steps = point["steps"]
    return (0.0 if steps == 0 else None if seconds_per_step is None else steps * seconds_per_step), steps


def plot(
    path: Path,
    method: str,
    points: Sequence[Mapping[str, Any]],
    split: str,
    unit: str = "seconds",
    seconds_per_step: float | None = None,
) -> None:
    """The curve: the mean, each sequence behind it, and the paper's figure on its own data.

    Seconds are below and steps above, or the other way round if steps are the unit.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = sorted(points, key=lambda point: point[unit])
    budgets = [point[unit] for point in points]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in points[0]["sequences"]:
        curve = [point["sequences"][name] for point in points]
        axes.plot(budgets, curve, color="0.8", linewidth=1)
        axes.annotate(name, (budgets[-1], curve[-1]), color="0.5", fontsize=7, xytext=(4, 0),
                      textcoords="offset points", va="center")  # fmt: skip
    axes.plot(budgets, [point["J"] for point in points], "o-", color="C0", label=f"ours, mean on {split}")
    found = [
        r for r in published_results("davis-2016", "val") if r.method == PAPERS[method] and not r.ablation
    ]
    if found:
        label = f"the paper, DAVIS-2016 {found[0].split} (other sequences)"
        axes.axhline(found[0].measures["J"].mean, color="C1", linestyle="--", label=label)
    axes.set(xlabel=f"{unit} of fine-tuning per object", ylabel="J", title=PAPERS[method])
    above = axes.twiny()
    above.set_xlabel(UNITS[1 - UNITS.index(unit)])
    other = [both_units(point, unit, seconds_per_step)[unit == "seconds"] for point in points]
    for shown, labels in ((axes, budgets), (above, other)):
        shown.set_xscale("symlog", linthresh=min((b for b in budgets if b), default=1))
        shown.set_xticks(budgets, ["?" if label is None else f"{label:.3g}" for label in labels])
        shown.minorticks_off()
    above.set_xlim(axes.get_xlim())
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def run(options: argparse.Namespace) -> None:
    """Measure what is missing, print the table, write the JSON and the plot."""
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    unit = "seconds" if options.steps is None else "steps"
    budgets, settings = parse_budgets(getattr(options, unit), unit), settings_of(options)
    points = read_points(options.json, settings)
    print(f"{'seconds':>8}{'steps':>8}{'J':>8}{'F':>8}", flush=True)
    for budget in budgets:
        known = next((point for point in points if point[unit] == budget), None)
        if known is None:
            segmenter = build_segmenter(
                options.method,
                options.variant,
                options.preset,
                options.weights,
                options.device,
                fine_tune=fine_tune_of(budget, unit),
            )
            if not isinstance(segmenter, StreamingSegmenter):
                raise OptionError(
                    f"The preset {options.preset} of {options.method} sees whole videos; take default."
                )
            names = options.sequences.split(",") if options.sequences else None
            found = measure(
                segmenter, options.root, options.split, sequences=names, max_frames=options.max_frames
            )
            known = {**found, unit: budget}
            points.append(known)
            write_points(options.json, settings, points)
        seconds, steps = both_units(known, unit, step_seconds(options, points))
        shown = "?" if seconds is None else f"{seconds:.4g}"
        print(f"{shown:>8}{steps:>8g}{known['J']:>8.3f}{known['F']:>8.3f}", flush=True)
    if options.plot is not None:
        plot(options.plot, options.method, points, options.split, unit, step_seconds(options, points))


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
