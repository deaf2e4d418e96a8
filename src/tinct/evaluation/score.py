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

import numpy as np

from tinct.data import davis
from tinct.data.davis import Davis
from tinct.errors import DatasetError, NumericalError, OptionError
from tinct.masks import ObjectMasks
from tinct.metrics import contour_accuracy, decay, mean, recall, region_similarity
from tinct.segmenter import StreamingSegmenter
from tinct.shapes import BACKGROUND

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
    scores = []
    for sequence in Davis(Path(root), split, only=sequences):
        thinned = sequence.thinned(every, max_frames)
        if len(thinned) < 3:
            raise DatasetError(
                f"Sequence {sequence.name!r} gives {len(thinned)} frames (every = {every}) of {root}; at "
                "least 3 were expected: the first and the last are not scored."
            )
        scores.append(_score_sequence(segmenter, thinned, on_frame))
        if progress is not None:
            progress(scores[-1])
    return Scores(tuple(scores))


def _score_sequence(
    segmenter: StreamingSegmenter[Any], sequence: davis.Sequence, on_frame: OnFrame | None
) -> SequenceScore:
    names, region, contour, wall_s, cpu_s = [], [], [], [], []
    for index, masks, wall, cpu in _steps(segmenter, sequence):
        frame_name = sequence.frames[index].stem
        wall_s.append(wall)
        cpu_s.append(cpu)
        if on_frame is not None:
            on_frame(sequence.name, frame_name, masks)
        if index == len(sequence) - 1:
            break
        truth = sequence.read_labels(index) != BACKGROUND
        prediction = masks.label_map != BACKGROUND
        names.append(frame_name)
        region.append(region_similarity(prediction, truth))
        contour.append(contour_accuracy(prediction, truth))
    return SequenceScore(
        sequence.name, tuple(names), tuple(region), tuple(contour), tuple(wall_s), tuple(cpu_s)
    )


def _steps(
    segmenter: StreamingSegmenter[Any], sequence: davis.Sequence
) -> Iterator[tuple[int, ObjectMasks, float, float]]:
    """The masks of every frame after the first, with the seconds (wall, processor) that they took."""
    labels = (sequence.read_labels(0) != BACKGROUND).astype(np.uint8)
    if not labels.any():
        raise DatasetError(
            f"{sequence.label_maps[0]} shows no object; the first frame's truth must show one."
        )
    state = segmenter.start(sequence.read_frame(0), labels)
    for index in range(1, len(sequence)):
        frame = sequence.read_frame(index)
        wall, cpu = time.perf_counter(), time.process_time()
        state, masks = segmenter.step(state, frame)
        # A user wants labels, so making them belongs to the frame's time; they are kept for the caller.
        _ = masks.label_map
        seconds = time.perf_counter() - wall, time.process_time() - cpu
        if not np.isfinite(masks.probs).all():
            raise NumericalError(
                f"The network gave NaN or infinity at {sequence.frames[index]}, where probabilities were "
                "expected; its weights are broken (in training: the step was too long)."
            )
        yield index, masks, *seconds
