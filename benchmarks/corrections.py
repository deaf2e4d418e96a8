r"""What corrections gain, as in DAVIS's interactive track: a rough first mask, then one true frame at a time.

    python benchmarks/corrections.py --root DAVIS --split train --every 3 --out after.json
    python benchmarks/corrections.py --root DAVIS --folds runs/folds/base --out folds.json
    python benchmarks/corrections.py --compare before.json after.json

The first frame gets a rough mask: the truth with a wavering, shifted outline ("rough"), or the truth's
box ("box"). The video is run; one frame is annotated with its truth; it is run again, up to ROUNDS times.
Which frame: the one with the lowest J ("worst"), the one that tinct proposes ("proposed"), or any
("random"). Frames are scored by J as long as nobody annotated them. A gain compares two runs on the same
frames, those that neither has annotated; otherwise it would rise by leaving out the worst frame. Intervals
are those of `tinct compare`. With --each-frame, every frame is tried as the first correction, which says
what the proposed one gains against a random one without drawing any.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import platform
import re
import shlex
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from tinct.data.davis import Davis
from tinct.errors import OptionError, TinctError
from tinct.evaluation.compare import Comparison, compare
from tinct.evaluation.results import ObjectScores, Scores, SequenceScores, Statistics
from tinct.inference.confidence import most_helpful_frame
from tinct.inference.session import Session, SessionFrame
from tinct.io.atomic import atomic_write
from tinct.io.video import Video
from tinct.metrics.region import region_similarity
from tinct.shapes import BACKGROUND, Image, LabelMap
from tinct.zoo import build_segmenter

FIRST_MASKS = ("rough", "box")
CHOICES = ("worst", "proposed", "random")

LOWERED = 0.005
"""A round that lowers the mean J of its frames by more than this has done harm."""


@dataclass(frozen=True)
class Round:
    """One run of a clip.

    Attributes:
        annotated: The frames that were annotated when it ran.
        j: J of every frame.
    """

    annotated: tuple[int, ...]
    j: tuple[float, ...]

    def mean_j(self, without: Sequence[int]) -> float:
        """Mean J of the frames that are not among `without`."""
        return float(np.mean([value for index, value in enumerate(self.j) if index not in without]))


Rounds = Sequence[Round]


@dataclass(frozen=True)
class FirstRounds:
    """What each frame of a clip gains as the first correction.

    Attributes:
        proposed: The frame that tinct proposes; None if it proposes none.
        worst: The frame with the lowest J.
        gains: Frame → gain of mean J over the frames that are not annotated.
        confidences: Frame → how sure its masks were before.
        j: Frame → J before.
    """

    proposed: int | None
    worst: int
    gains: Mapping[int, float]
    confidences: Mapping[int, float]
    j: Mapping[int, float]


def rough_mask(truth: LabelMap, seed: int) -> LabelMap:
    """The mask of somebody in a hurry: the outline wavers and the whole lies a little aside.

    Args:
        truth: Of one object, not 0 where it is.
        seed: Of the draws.
    """
    draws, inside = np.random.default_rng(seed), (truth != BACKGROUND).astype(np.uint8)
    inwards_px = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    depth_px = inwards_px - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    radius_px = 3 * float(inwards_px[inside > 0].mean())  # of a disc
    cells = [max(2, round(2 * side / radius_px)) for side in truth.shape]
    waves = cv2.resize(draws.standard_normal(cells), truth.shape[::-1], interpolation=cv2.INTER_CUBIC)
    shift = draws.uniform(-0.15, 0.15, 2) * radius_px
    moved = cv2.warpAffine(
        depth_px + 0.15 * radius_px * waves.astype(np.float32),
        np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), truth.shape[::-1],
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    rough = (moved > 0).astype(np.uint8)
    return rough if rough.any() else inside


def box_mask(truth: LabelMap) -> LabelMap:
    """The box around the object, filled."""
    rows, columns = np.nonzero(truth != BACKGROUND)
    mask = np.zeros(truth.shape, np.uint8)
    mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1
    return mask


def correct_clip(session: Session, truths: Sequence[LabelMap], choice: str, rounds: int, seed: int) -> Rounds:
    """Run, annotate a frame, run again: the rounds, the one before any correction first."""
    draws, done = np.random.default_rng(seed), []
    while True:
        frames = list(session.run(direction="both"))
        j = [_j(frame, truths) for frame in frames]
        done.append(Round(tuple(session.prompts), tuple(j)))
        left = [i for i in range(len(truths)) if i not in session.prompts and truths[i].any()]
        if len(done) > rounds or len(left) < 3:
            return done
        if choice == "proposed":
            confidences = {frame.index: frame.confidence for frame in frames if frame.index in left}
            chosen = most_helpful_frame(confidences, session.prompts)
            if chosen is None:
                return done
        else:
            chosen = min(left, key=j.__getitem__) if choice == "worst" else int(draws.choice(left))
        session.correct(chosen, truths[chosen])


def each_first_frame(session: Session, truths: Sequence[LabelMap]) -> FirstRounds:
    """Every frame tried as the first correction of a session with one annotated frame."""
    before = list(session.run(direction="both"))
    (first,) = session.prompts
    j = {frame.index: _j(frame, truths) for frame in before}
    left = [i for i in j if i != first and truths[i].any()]
    gains = {}
    for chosen in left:
        session.correct(chosen, truths[chosen])
        scored = [f for f in session.run(direction="both") if f.index not in session.prompts]
        gains[chosen] = float(np.mean([_j(frame, truths) - j[frame.index] for frame in scored]))
        session.withdraw(chosen)
    confidences = {frame.index: frame.confidence for frame in before}
    proposed = most_helpful_frame({i: confidences[i] for i in left}, [first])
    return FirstRounds(proposed, min(left, key=j.__getitem__), gains, confidences, j)


def _j(frame: SessionFrame, truths: Sequence[LabelMap]) -> float:
    return region_similarity(frame.masks.label_map != BACKGROUND, truths[frame.index] != BACKGROUND)


def remember_encodings(segmenter: Any) -> Callable[[], None]:
    """Let a backend's `encode` remember frames, as rounds differ in matching alone; returns how to forget."""
    backend = getattr(segmenter, "backend", None)
    if not callable(encode := getattr(backend, "encode", None)):
        return lambda: None
    remembered: dict[bytes, Any] = {}

    def encode_once(frame: Image) -> Any:
        key = hashlib.blake2b(frame.tobytes()).digest()
        if key not in remembered:
            remembered[key] = encode(frame)
        return remembered[key]

    backend.encode = encode_once
    return remembered.clear


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every clip in every way that was asked for; written after each clip."""
    content: dict[str, Any] = {
        "command": command(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "tracks": {f"{first} {choice}": {} for first in options.first for choice in options.choose},
        "each_frame": {first: {} for first in options.first},
    }
    judged: list[tuple[str, Path | None]] = [(options.split, None)]
    if options.folds is not None:
        judged = [(f"fold{k}-dev", options.folds / f"fold{k}" / "video.safetensors") for k in range(3)]
    for split, weights in judged:
        segmenter = build_segmenter(
            options.method, None, options.preset, weights, "cpu", fine_tune=options.fine_tune
        )
        measure_split(segmenter, split, options, content)
    return content


def measure_split(segmenter: Any, split: str, options: argparse.Namespace, content: dict[str, Any]) -> None:
    """Measure the clips of one split with one segmenter."""
    forget = remember_encodings(segmenter)
    only = options.sequences.split(",") if options.sequences else None
    for clip in Davis(options.root, split, only=only, merge_objects=True):
        began = time.perf_counter()
        thinned = clip.thinned(options.every)
        forget()
        video = Video.from_arrays([thinned.read_frame(index) for index in range(len(thinned))])
        truths = [thinned.read_labels(index) for index in range(len(thinned))]
        seed = zlib.crc32(clip.name.encode())
        for first in options.first:
            mask = rough_mask(truths[0], seed) if first == "rough" else box_mask(truths[0])
            for choice in options.choose:
                session = Session(segmenter, video, {0: mask})
                rounds = correct_clip(session, truths, choice, options.rounds, seed)
                content["tracks"][f"{first} {choice}"][clip.name] = [vars(each) for each in rounds]
            if options.each_frame:
                tried = each_first_frame(Session(segmenter, video, {0: mask}), truths)
                content["each_frame"][first][clip.name] = vars(tried)
        print(f"{clip.name}: {len(thinned)} frames, {time.perf_counter() - began:.0f} s", flush=True)
        with atomic_write(options.out) as part:
            part.write_text(json.dumps(content) + "\n", encoding="utf-8")


def gain(rounds: Rounds, count: int) -> float:
    """What `count` corrections have gained in mean J, on the frames that nobody annotated."""
    last = rounds[min(count, len(rounds) - 1)]
    return last.mean_j(last.annotated) - rounds[0].mean_j(last.annotated)


def step_gains(clips: Mapping[str, Rounds]) -> list[float]:
    """What each round of each clip has gained over the one before, on the same frames."""
    return [
        after.mean_j(after.annotated) - before.mean_j(after.annotated)
        for rounds in clips.values()
        for before, after in itertools.pairwise(rounds)
    ]


def compared(
    a: Mapping[str, float], b: Mapping[str, float], names: tuple[str, str] = ("A", "B")
) -> Comparison:
    """Two values of every clip by the paired bootstrap of `tinct compare`."""
    return compare(_scores(a), _scores(b), measure="J", names=names)


def _scores(values: Mapping[str, float]) -> Scores:
    clips = (
        SequenceScores(name, (ObjectScores(1, {"J": Statistics(value)}),), 0)
        for name, value in sorted(values.items())
    )
    return Scores("corrections", "", merged=True, average_over="sequences", sequences=tuple(clips))


def interval(comparison: Comparison) -> str:
    """The difference and its interval, × 1000 (thousandths of J)."""
    low, high = (1000 * end for end in comparison.interval)
    return f"{1000 * comparison.difference:+.0f} ({low:+.0f} to {high:+.0f})"


def table(tracks: Mapping[str, Mapping[str, Rounds]]) -> str:
    """A row for each track: gains with their intervals, falls, and clips without gain; gains × 1000."""
    lines = [
        "| first mask, frame | J before | gain after 1 | after 3 | after 5 | rounds that lower J "
        "| clips without gain after 3 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, clips in tracks.items():
        before = float(np.mean([rounds[0].mean_j([0]) for rounds in clips.values()]))
        gains = [
            interval(compared(dict.fromkeys(clips, 0.0), {c: gain(r, count) for c, r in clips.items()}))
            for count in (1, 3, 5)
        ]
        steps = step_gains(clips)
        lowered = sum(each < -LOWERED for each in steps)
        without = [clip for clip, rounds in clips.items() if gain(rounds, 3) <= 0]
        lines.append(
            f"| {name} | {before:.3f} | {' | '.join(gains)} | {lowered} of {len(steps)} | "
            f"{len(without)} of {len(clips)}{': ' + ', '.join(without) if without else ''} |"
        )
    return "\n".join([*lines, "", "Gains × 1000, with 95 % intervals of a paired bootstrap over clips."])


def proposals(each_frame: Mapping[str, Mapping[str, FirstRounds]]) -> list[str]:
    """What the proposed frame gains as the first correction, against a random one and the worst one."""
    lines = []
    for first, clips in each_frame.items():
        if not clips:
            continue
        proposed = {c: 0.0 if of.proposed is None else of.gains[of.proposed] for c, of in clips.items()}
        others = {
            "a random one": {c: float(np.mean(list(of.gains.values()))) for c, of in clips.items()},
            "the worst": {c: of.gains[of.worst] for c, of in clips.items()},
            "the best": {c: max(of.gains.values()) for c, of in clips.items()},
        }
        for other, gains in others.items():
            comparison = compared(gains, proposed)
            lines.append(
                f"{first}: the proposed frame gains {1000 * comparison.means[1]:+.0f}, {other} "
                f"{1000 * comparison.means[0]:+.0f}; difference {interval(comparison)}"
            )
    return lines


def differences(a: Mapping[str, Mapping[str, Rounds]], b: Mapping[str, Mapping[str, Rounds]]) -> str:
    """What B gains more than A, paired by clip; J before is compared as well. Values × 1000."""
    lines = ["| first mask, frame | J before | gain after 1 | after 3 | after 5 |", "|---|---|---|---|---|"]
    for name in (name for name in a if name in b):
        clips = [clip for clip in a[name] if clip in b[name]]
        cells = [compared(*({clip: each[name][clip][0].mean_j([0]) for clip in clips} for each in (a, b)))]
        cells += [
            compared(*({clip: gain(each[name][clip], count) for clip in clips} for each in (a, b)))
            for count in (1, 3, 5)
        ]
        lines.append(f"| {name} | {' | '.join(map(interval, cells))} |")
    return "\n".join(lines)


def read_tracks(file: Path) -> dict[str, dict[str, Rounds]]:
    """The rounds of every track and clip, from what a run wrote."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {
        track: {
            clip: [Round(tuple(r["annotated"]), tuple(r["j"])) for r in rounds] for clip, rounds in of.items()
        }
        for track, of in content["tracks"].items()
    }


def read_each_frame(file: Path) -> dict[str, dict[str, FirstRounds]]:
    """What --each-frame wrote."""
    content = json.loads(file.read_text(encoding="utf-8"))

    def by_frame(values: Mapping[str, float]) -> dict[int, float]:
        return {int(index): value for index, value in values.items()}

    return {
        first: {
            clip: FirstRounds(
                of["proposed"], of["worst"], *(by_frame(of[key]) for key in ("gains", "confidences", "j"))
            )
            for clip, of in clips.items()
        }
        for first, clips in content["each_frame"].items()
    }


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, help="a dataset in the layout of DAVIS-2016")
    parser.add_argument("--split", default="train", help="a list in ImageSets/2016 (default: train)")
    parser.add_argument("--sequences", help="only these sequences of the split, separated by commas")
    parser.add_argument("--every", type=int, default=3, help="see only each n-th frame")
    parser.add_argument("--first", default=",".join(FIRST_MASKS), help="first masks (default: rough,box)")
    parser.add_argument("--choose", default=",".join(CHOICES), help="how frames are chosen (default: all)")
    parser.add_argument(
        "--folds", type=Path, help="trainings of cross_validation.py: each on what it left out, for --split"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each-frame", action="store_true", help="try every frame as the first correction")
    parser.add_argument("--method", default="feelvos")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--fine-tune", help="auto, none, a number of steps, or seconds such as 60s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="two files; nothing is run")
    options = parser.parse_args(words)
    options.first, options.choose = (
        [each for each in listed.split(",") if each] for listed in (options.first, options.choose)
    )
    for came, known in ((options.first, FIRST_MASKS), (options.choose, CHOICES)):
        if unknown := [each for each in came if each not in known]:
            raise OptionError(f"{unknown[0]!r} came; known are {', '.join(known)}.")
    if options.compare is None and (options.root is None or options.out is None):
        raise OptionError("Give --root and --out, or --compare and two files.")
    return options


def command() -> str:
    """The command line without private paths: files and folders by their last name."""
    words = (re.sub(r"[^=]*/(?=.)", "", word.rstrip("/")) for word in sys.argv[1:])
    return shlex.join(["python", "benchmarks/corrections.py", *words])


def run(options: argparse.Namespace) -> None:
    """Measure and print the tables, or compare two files."""
    if options.compare is not None:
        print(differences(*map(read_tracks, options.compare)))
        return
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    measure(options)
    tracks = read_tracks(options.out)
    print("\n".join([table(tracks), "", *proposals(read_each_frame(options.out))]))


def main() -> int:
    """Run, and explain an error in one line."""
    try:
        run(arguments())
    except (TinctError, OSError) as error:
        print(f"corrections: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
