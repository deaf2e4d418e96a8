"""Clicks until a mask is good (NoC), against GrabCut and against a box alone, and the seconds of a click.

    python benchmarks/clicks.py --stills STILLS --davis DAVIS --json clicks.json
    python benchmarks/clicks.py --stills STILLS --photos 60 --rows click,grabcut
    python benchmarks/clicks.py --speed

NoC@85 and NoC@90 are the mean numbers of clicks until an object's IoU is 0.85 and 0.90, at most 20 (an object
that never comes so far counts 20). A click lies in what is wrong so far: in the middle of the largest error
("worst", the field's protocol) or anywhere ("random", with a seed). Photos are those that are held out of
training (`tinct.data.held_out`), evenly chosen, the largest object of each; of a sequence its middle frame.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from tinct.data.clicks import random_error_click, worst_error_click
from tinct.data.davis import Davis
from tinct.data.held_out import held_out
from tinct.data.static_images import StaticImages
from tinct.errors import DatasetError, OptionError
from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point, PromptableSegmenter
from tinct.shapes import VOID, BinaryMask, Float, Image, LabelMap
from tinct.zoo import build_promptable

MOST_CLICKS = 20
GOALS = (0.85, 0.90)
LEAST_SHARE = 0.002
"""Objects that take a smaller share of their picture are left out."""

SPEED_SIZE = (1280, 720)


@dataclass(frozen=True)
class Target:
    """One object of a picture.

    Attributes:
        name: Of the picture.
        frame: uint8 RGB.
        truth: The object.
        decided: Where the truth is known.
    """

    name: str
    frame: Image
    truth: BinaryMask
    decided: BinaryMask

    def overlap(self, found: BinaryMask) -> float:
        """The IoU over what is decided."""
        union = (found | self.truth) & self.decided
        return float((found & self.truth & self.decided).sum() / max(1, union.sum()))


@dataclass(frozen=True)
class Row:
    """One line of the table; `after` is the mean IoU after 1, 2, ... clicks, or of the box alone."""

    pictures: str
    segmenter: str
    protocol: str
    count: int
    noc: dict[str, float]
    never: dict[str, float]
    after: list[float]
    seconds: float


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stills", type=Path, help="folders of photos with masks")
    parser.add_argument("--davis", type=Path, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--split", default="train", help="a list in ImageSets/2016 (train)")
    parser.add_argument("--photos", type=int, default=60, help="that many held-out photos (60)")
    parser.add_argument("--rows", default="click,grabcut", help="segmenters (click,grabcut)")
    parser.add_argument("--protocols", default="worst,random,box", help="(worst,random,box)")
    parser.add_argument("--weights", type=Path, help="weights of click in place of the package's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--speed", action="store_true", help="only the seconds of a click at 1280×720")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    names = options.rows.split(",")
    segmenters = {name: build(name, options.weights) for name in names}
    about = (
        f"{platform.processor() or platform.machine()}, {options.threads} threads, torch {torch.__version__}"
    )
    if options.speed:
        results = {name: speed(segmenter) for name, segmenter in segmenters.items()}
        for name, found in results.items():
            first, further = (f"{found[key]:.3f} s ({found[f'{key}_cpu']:.3f})" for key in ("first", "next"))
            print(f"{name:<10}first click {first}, further ones {further}: wall time (of the processor)")
        print(about)
    else:
        results = {"rows": [asdict(row) for row in rows(options, segmenters)]}
    if options.json:
        options.json.write_text(json.dumps({"about": about, **results}, indent=1) + "\n")


def build(name: str, weights: Path | None) -> PromptableSegmenter:
    """A segmenter by its name; weights are those of `click`."""
    return build_promptable(name, weights=weights if name == "click" else None, device="cpu")


def rows(options: argparse.Namespace, segmenters: dict[str, PromptableSegmenter]) -> Iterator[Row]:
    """Every row of the table, printed as it comes."""
    sources: dict[str, Callable[[], Iterator[Target]]] = {}
    if options.stills:
        sources["photos"] = lambda: photo_targets(options.stills, options.photos)
    if options.davis:
        sources["sequences"] = lambda: sequence_targets(options.davis, options.split)
    if not sources:
        raise OptionError("Nothing to measure on; give --stills, --davis or --speed.")
    print(HEADER)
    for pictures, targets in sources.items():
        for protocol in options.protocols.split(","):
            for name, segmenter in segmenters.items():
                row = measure(pictures, name, protocol, segmenter, targets())
                print(line(row), flush=True)
                yield row


def photo_targets(stills: Path, most: int) -> Iterator[Target]:
    """The largest objects of held-out photos."""
    for photo in StaticImages(stills, only=held_out).thinned(most):
        target = largest_object(f"{photo.image.parent.parent.name}/{photo.image.stem}", *photo.read())
        if target is not None:
            yield target


def sequence_targets(root: Path, split: str) -> Iterator[Target]:
    """The middle frames of all sequences of a split."""
    for sequence in Davis(root, split, merge_objects=True):
        middle = sequence.annotated[len(sequence.annotated) // 2]
        frame, labels = sequence.read_frame(middle), sequence.read_labels(middle)
        target = largest_object(sequence.name, frame, labels)
        if target is not None:
            yield target


def largest_object(name: str, frame: Image, labels: LabelMap) -> Target | None:
    """The object with most pixels; None if it is too small to be clicked on."""
    counts = np.bincount(labels.ravel(), minlength=256)[1:VOID]
    if counts.max() < LEAST_SHARE * labels.size:
        return None
    return Target(name, frame, labels == counts.argmax() + 1, labels != VOID)


def measure(
    pictures: str,
    name: str,
    protocol: str,
    segmenter: PromptableSegmenter,
    targets: Iterator[Target],
) -> Row:
    """A segmenter on all targets by one protocol."""
    curves, seconds = [], []
    for number, target in enumerate(targets):
        if protocol == "box":
            curve = [target.overlap(answer(segmenter, target.frame, box_prompt(target), seconds) > 0.5)]
        else:
            curve = click_on(segmenter, target, protocol, np.random.default_rng(number), seconds)
        curves.append(curve)
    if not curves:
        raise DatasetError(f"None of the {pictures} holds an object of {LEAST_SHARE:.1%} of its picture.")
    return summary(pictures, name, protocol, curves, seconds)


def summary(
    pictures: str, name: str, protocol: str, curves: Sequence[Sequence[float]], seconds: Sequence[float]
) -> Row:
    """The means over all targets; a curve that ended early stays at its last IoU."""
    noc, never = {}, {}
    if protocol != "box":
        for goal in GOALS:
            reached = [next((i + 1 for i, iou in enumerate(c) if iou >= goal), None) for c in curves]
            noc[f"{goal:.2f}"] = statistics.fmean(MOST_CLICKS if n is None else n for n in reached)
            never[f"{goal:.2f}"] = reached.count(None) / len(reached)
    length = 1 if protocol == "box" else MOST_CLICKS
    after = [statistics.fmean(c[min(i, len(c) - 1)] for c in curves) for i in range(length)]
    return Row(pictures, name, protocol, len(curves), noc, never, after, statistics.median(seconds))


def click_on(
    segmenter: PromptableSegmenter,
    target: Target,
    protocol: str,
    random: np.random.Generator,
    seconds: list[float],
) -> list[float]:
    """The IoU after each click, until the highest goal is reached or `MOST_CLICKS` were made."""
    points: list[Point] = []
    found, curve = np.zeros(target.truth.shape, np.bool_), []
    while len(points) < MOST_CLICKS and (not curve or curve[-1] < max(GOALS)):
        if protocol == "random":
            click = random_error_click(target.truth, found, random, target.decided)
        else:
            click = worst_error_click(target.truth, found, target.decided)
        if click is None:
            break
        points.append(Point(*click))
        found = answer(segmenter, target.frame, ObjectPrompt(tuple(points)), seconds) > 0.5
        curve.append(target.overlap(found))
    return curve


def box_prompt(target: Target) -> ObjectPrompt:
    """The tight box."""
    rows, columns = np.flatnonzero(target.truth.any(1)), np.flatnonzero(target.truth.any(0))
    corners = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return ObjectPrompt(box=Box(*(float(edge) for edge in corners)))


def answer(
    segmenter: PromptableSegmenter, frame: Image, prompt: ObjectPrompt, seconds: list[float]
) -> Float[np.ndarray, "H W"]:
    """The object's probability; how long it took is added to `seconds`."""
    start = time.perf_counter()
    found = segmenter.propose(frame, FramePrompt({1: prompt}))[1]
    seconds.append(time.perf_counter() - start)
    return found


def speed(segmenter: PromptableSegmenter) -> dict[str, float]:
    """Median seconds of the first click on a 1280×720 picture, and of further ones; also the processor's."""
    random = np.random.default_rng(0)
    width, height = SPEED_SIZE
    taken: dict[str, list[float]] = {name: [] for name in ("first", "next", "first_cpu", "next_cpu")}
    for number in range(6):
        coarse = random.integers(0, 256, (9, 16, 3), np.uint8)
        frame = cv2.resize(coarse, SPEED_SIZE, interpolation=cv2.INTER_CUBIC)
        cv2.circle(frame, (width // 2, height // 2), 150, (230, 60, 40), -1)
        clicks = (Point(640, 360), Point(700, 420), Point(300, 200, inside=False))
        prompt = ObjectPrompt()
        for point in clicks:
            prompt = replace(prompt, points=(*prompt.points, point))
            which = "first" if len(prompt.points) == 1 else "next"
            start = time.process_time()
            answer(segmenter, frame, prompt, taken[which] if number else [])  # the first picture warms up
            if number:
                taken[f"{which}_cpu"].append(time.process_time() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


HEADER = (
    f"{'pictures':<11}{'segmenter':<11}{'clicks':<8}{'n':>4}"
    + "".join(f"{f'NoC@{goal:.0%}'[:-1]:>8}{'never':>7}" for goal in GOALS)
    + "".join(f"{f'IoU {n}':>8}" for n in (1, 2, 3, 5))
    + f"{'s':>8}"
)


def line(row: Row) -> str:
    """One row of the table."""
    goals = "".join(
        f"{row.noc[key]:>8.2f}{row.never[key]:>7.2f}" if row.noc else f"{'':>15}"
        for key in (f"{goal:.2f}" for goal in GOALS)
    )
    after = "".join(f"{row.after[n - 1]:>8.3f}" if n <= len(row.after) else f"{'':>8}" for n in (1, 2, 3, 5))
    about = f"{row.pictures:<11}{row.segmenter:<11}{row.protocol:<8}{row.count:>4}"
    return f"{about}{goals}{after}{row.seconds:>8.3f}"


if __name__ == "__main__":
    main()
