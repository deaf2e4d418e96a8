"""Scoring a streaming segmenter on DAVIS-2016: J and F per frame, per sequence, and over a split.

Source: Perazzi et al., CVPR 2016. The first frame's truth is given; all that is not background is
one object; the first and the last frame are not scored; a sequence's statistics come first, the
split's figure is their plain mean over the sequences.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from tinct.errors import DatasetError, NumericalError, OptionError, near_match
from tinct.masks import ObjectMasks
from tinct.metrics import contour_accuracy, decay, mean, recall, region_similarity
from tinct.segmenter import StreamingSegmenter
from tinct.shapes import BinaryMask, Image

OnFrame = Callable[[str, str, ObjectMasks], None]
"""Called with the sequence's name, the frame's name and the masks of every frame after the first."""


@dataclass(frozen=True)
class Statistics:
    """One measure's summary, of a sequence or of a split; NaN if no frame has a score."""

    mean: float
    recall: float
    decay: float

    @classmethod
    def of_frames(cls, values: Sequence[float]) -> Statistics:
        """The summary of per-frame scores."""
        scores = np.asarray(values, np.float64)
        return cls(mean(scores), recall(scores), decay(scores))

    @classmethod
    def of_sequences(cls, summaries: Sequence[Statistics]) -> Statistics:
        """The mean of every statistic over the sequences."""
        table = np.asarray([(s.mean, s.recall, s.decay) for s in summaries], np.float64)
        return cls(*(mean(column) for column in table.T))


@dataclass(frozen=True)
class SequenceScore:
    """The scores of one sequence.

    Args:
        name: The sequence.
        frame_names: The frames that were scored: all but the first and the last.
        region_similarity: J per scored frame.
        contour_accuracy: F per scored frame.
        wall_s: Seconds that each `step` took, the last frame's included.
        cpu_s: Processor seconds, of all threads together, of the same steps.
    """

    name: str
    frame_names: tuple[str, ...]
    region_similarity: tuple[float, ...]
    contour_accuracy: tuple[float, ...]
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]

    @property
    def region(self) -> Statistics:
        """Mean, recall and decay of J."""
        return Statistics.of_frames(self.region_similarity)

    @property
    def contour(self) -> Statistics:
        """Mean, recall and decay of F."""
        return Statistics.of_frames(self.contour_accuracy)

    @property
    def j_and_f(self) -> float:
        """(mean J + mean F) / 2."""
        return (self.region.mean + self.contour.mean) / 2


@dataclass(frozen=True)
class Scores:
    """The scores of a split: its sequences, and their means."""

    sequences: tuple[SequenceScore, ...]

    @property
    def region(self) -> Statistics:
        """Mean, recall and decay of J, averaged over the sequences."""
        return Statistics.of_sequences([s.region for s in self.sequences])

    @property
    def contour(self) -> Statistics:
        """Mean, recall and decay of F, averaged over the sequences."""
        return Statistics.of_sequences([s.contour for s in self.sequences])

    @property
    def j_and_f(self) -> float:
        """(mean J + mean F) / 2."""
        return (self.region.mean + self.contour.mean) / 2

    @property
    def wall_s_per_frame(self) -> float:
        """The median seconds of a step, over all frames of all sequences."""
        return statistics.median(seconds for s in self.sequences for seconds in s.wall_s)

    @property
    def cpu_s_per_frame(self) -> float:
        """The median processor seconds of a step, over all frames of all sequences."""
        return statistics.median(seconds for s in self.sequences for seconds in s.cpu_s)


def score_davis_2016(
    segmenter: StreamingSegmenter[Any],
    root: Path | str,
    split: str,
    *,
    sequences: Sequence[str] | None = None,
    every: int = 1,
    max_frames: int | None = None,
    progress: Callable[[SequenceScore], None] | None = None,
    on_frame: OnFrame | None = None,
) -> Scores:
    """Segment every sequence of a split from its first frame's truth, and score the masks.

    Args:
        segmenter: Any streaming segmenter; it is started anew for each sequence.
        root: The dataset: `ImageSets/2016/<split>.txt` (a name per line), `JPEGImages/480p/<name>`
            and `Annotations/480p/<name>`.
        split: The list's name, such as "val".
        sequences: Only these sequences of the split.
        every: See and score only each n-th frame: quicker, and harder. 1 is the benchmark.
        max_frames: Stop each sequence after this many frames (counted after `every`).
        progress: Called with each sequence's score as soon as it is known.
        on_frame: Called with each frame's masks, for example to save them.

    Raises:
        DatasetError: The dataset lacks a list, folder or file, or a first frame shows no object.
        OptionError: A sequence is not in the split, or a number is too small.
        MaskError: The segmenter returned masks of another size.
        NumericalError: It returned NaN or infinity.
    """
    if every < 1 or (max_frames is not None and max_frames < 3):
        raise OptionError(
            f"every = {every} and max_frames = {max_frames} came; every starts at 1, and max_frames at 3, "
            "because the first and the last frame are not scored."
        )
    listed = sequences_of(root, split)
    for name in sequences or ():
        if name not in listed:
            raise OptionError(f"Sequence {name!r} is not in split {split!r}. {near_match(name, listed)}")
    scores = []
    for name in listed if sequences is None else sequences:
        frames = frames_of(root, name, every, max_frames)
        scores.append(_score_sequence(segmenter, name, frames, on_frame))
        if progress is not None:
            progress(scores[-1])
    if not scores:
        raise DatasetError(f"Split {split!r} of {root} names no sequence; list one name per line.")
    return Scores(tuple(scores))


def sequences_of(root: Path | str, split: str) -> list[str]:
    """The names of a split's sequences, in the order of its list.

    Raises:
        DatasetError: There is no such list.
    """
    path = Path(root) / "ImageSets" / "2016" / f"{split}.txt"
    if not path.is_file():
        known = near_match(split, (p.stem for p in path.parent.glob("*.txt")))
        raise DatasetError(f"Split {split!r} has no list {path}. {known}")
    return path.read_text(encoding="utf-8").split()


def frames_of(
    root: Path | str, sequence: str, every: int = 1, max_frames: int | None = None
) -> list[tuple[Path, Path]]:
    """The (frame, truth) files of a sequence, in order: each n-th, and at most `max_frames` of these.

    Raises:
        DatasetError: A frame has no truth, or there are fewer than three frames.
    """
    pictures = sorted((Path(root) / "JPEGImages" / "480p" / sequence).glob("*.jpg"))[::every][:max_frames]
    folder = Path(root) / "Annotations" / "480p" / sequence
    pairs = [(picture, folder / f"{picture.stem}.png") for picture in pictures]
    for picture, truth in pairs:
        if not truth.is_file():
            raise DatasetError(f"Frame {picture} has no truth; {truth} was expected.")
    if len(pairs) < 3:
        raise DatasetError(
            f"Sequence {sequence!r} gives {len(pairs)} frames (every = {every}) under "
            f"{root}/JPEGImages/480p; at least 3 were expected: the first and the last are not scored."
        )
    return pairs


def read_frame(path: Path) -> Image:
    """Read one frame as RGB.

    Raises:
        DatasetError: The file is no readable image.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DatasetError(f"{path} cannot be read as an image; copy it anew from the dataset.")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def read_truth(path: Path) -> BinaryMask:
    """Read one annotation: brighter than 127 is the object; in a palette PNG, whatever is not index 0.

    Raises:
        DatasetError: The file is no readable image.
    """
    try:
        with PillowImage.open(path) as picture:
            indexed = picture.mode == "P"
            pixels = np.asarray(picture if indexed else picture.convert("L"))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as a mask ({error}); copy it anew.") from error
    return np.asarray(pixels > (0 if indexed else 127), np.bool_)


def _score_sequence(
    segmenter: StreamingSegmenter[Any],
    name: str,
    frames: Sequence[tuple[Path, Path]],
    on_frame: OnFrame | None,
) -> SequenceScore:
    names, region, contour, wall_s, cpu_s = [], [], [], [], []
    for (picture, truth_file), masks, wall, cpu in _steps(segmenter, frames):
        wall_s.append(wall)
        cpu_s.append(cpu)
        if on_frame is not None:
            on_frame(name, picture.stem, masks)
        if picture == frames[-1][0]:
            break
        truth = read_truth(truth_file)
        prediction = masks.label_map != 0
        names.append(picture.stem)
        region.append(region_similarity(prediction, truth))
        contour.append(contour_accuracy(prediction, truth))
    return SequenceScore(name, tuple(names), tuple(region), tuple(contour), tuple(wall_s), tuple(cpu_s))


def _steps(
    segmenter: StreamingSegmenter[Any], frames: Sequence[tuple[Path, Path]]
) -> Iterator[tuple[tuple[Path, Path], ObjectMasks, float, float]]:
    """The masks of every frame after the first, with the seconds (wall, processor) that they took."""
    first_picture, first_truth = frames[0]
    labels = read_truth(first_truth).astype(np.uint8)
    if not labels.any():
        raise DatasetError(f"{first_truth} shows no object; the first frame's truth must show one.")
    state = segmenter.start(read_frame(first_picture), labels)
    for pair in frames[1:]:
        frame = read_frame(pair[0])
        wall, cpu = time.perf_counter(), time.process_time()
        state, masks = segmenter.step(state, frame)
        # A user wants labels, so making them belongs to the frame's time; they are kept for the caller.
        _ = masks.label_map
        seconds = time.perf_counter() - wall, time.process_time() - cpu
        if not np.isfinite(masks.probs).all():
            raise NumericalError(
                f"The network gave NaN or infinity at {pair[0]}, where probabilities were expected; "
                "its weights are broken (in training: the step was too long)."
            )
        yield pair, masks, *seconds
