"""Scoring a segmenter on DAVIS-2016 while it segments: no mask touches the disk.

For training and benchmarks. Source: Perazzi et al., CVPR 2016. The first frame's truth is given; the
rest is the protocol "davis-2016" of `tinct.evaluation.protocols`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinct.data import sequences as data
from tinct.data.davis import Davis
from tinct.errors import DatasetError, MaskError, NumericalError, OptionError
from tinct.evaluation.completeness import scored_range
from tinct.evaluation.protocols import PROTOCOLS
from tinct.evaluation.results import Scores, SequenceScores
from tinct.evaluation.tracks import Rules, Tracks
from tinct.evaluation.truth import labels_to_score
from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter, segment_video
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.shapes import BACKGROUND, Image, LabelMap

RULES = Rules(PROTOCOLS["davis-2016"], ("J", "F"))

OnFrame = Callable[[str, str, ObjectMasks], None]
"""Called with the sequence's name, the frame's name and the masks of every frame after the first."""


@dataclass(frozen=True)
class Seconds:
    """What each step of a sequence took, the last frame's included; of a `VideoSegmenter` one mean.

    Attributes:
        wall: Seconds that passed.
        processor: Seconds of all threads together.
    """

    wall: tuple[float, ...]
    processor: tuple[float, ...]


def score_davis_2016(
    segmenter: StreamingSegmenter[Any] | VideoSegmenter,
    root: Path | str,
    split: str,
    *,
    sequences: Sequence[str] | None = None,
    every: int = 1,
    max_frames: int | None = None,
    progress: Callable[[SequenceScores, Seconds], None] | None = None,
    on_frame: OnFrame | None = None,
) -> Scores:
    """Segment every sequence of a split from its first frame's truth, and score the masks.

    Args:
        segmenter: Of either kind; it is started again for each sequence.
        root: The dataset: `ImageSets/2016/<split>.txt` (a name per line), `JPEGImages/480p/<name>`
            and `Annotations/480p/<name>`.
        split: The list's name, such as "val".
        sequences: Only these sequences of the split.
        every: See and score only each n-th frame: quicker, and harder. 1 is the benchmark.
        max_frames: Stop each sequence after this many frames (counted after `every`).
        progress: Called with each sequence's scores as soon as they are known, and what they took.
        on_frame: Called with each frame's masks, for example to save them.

    Returns:
        The scores, with every frame's; `run` holds the medians "seconds_per_frame" and
        "processor_seconds_per_frame".

    Raises:
        DatasetError: The dataset lacks a list, folder or file, or a first frame shows no object.
        OptionError: A sequence is not in the split, or a number is too small.
        MaskError: The segmenter returned masks of another size.
        NumericalError: It returned NaN or infinity.
    """
    _check_thinning(every, max_frames)
    scored: list[SequenceScores] = []
    seconds: list[Seconds] = []
    for sequence in Davis(Path(root), split, only=sequences, merge_objects=RULES.protocol.merged):
        scores, took = _score_sequence(segmenter, _thinned(sequence, every, max_frames), on_frame)
        scored.append(scores)
        seconds.append(took)
        if progress is not None:
            progress(scores, took)
    protocol = RULES.protocol
    return Scores(
        protocol=protocol.name,
        rule=protocol.rule,
        merged=protocol.merged,
        average_over=protocol.average_over,
        sequences=tuple(scored),
        settings={"split": split, "bound_th": RULES.bound_th, "every": every, "max_frames": max_frames},
        run={
            "seconds_per_frame": statistics.median(s for of in seconds for s in of.wall),
            "processor_seconds_per_frame": statistics.median(s for of in seconds for s in of.processor),
        },
    )


def _check_thinning(every: int, max_frames: int | None) -> None:
    if every < 1 or (max_frames is not None and max_frames < 3):
        raise OptionError(
            f"every = {every} and max_frames = {max_frames} came; every starts at 1, and max_frames at 3, "
            "because the first and the last frame are not scored."
        )


def _thinned(sequence: data.Sequence, every: int, max_frames: int | None) -> data.Sequence:
    """Every n-th frame of the beginning; DatasetError if none of them would be scored."""
    thinned = sequence.thinned(every, max_frames)
    if len(thinned) < 3:
        raise DatasetError(
            f"Sequence {sequence.name!r} gives {len(thinned)} frames (every = {every}); at least 3 were "
            "expected: the first and the last are not scored."
        )
    return thinned


def _score_sequence(
    segmenter: StreamingSegmenter[Any] | VideoSegmenter, sequence: data.Sequence, on_frame: OnFrame | None
) -> tuple[SequenceScores, Seconds]:
    tracks = Tracks(RULES, {})
    scored = scored_range(RULES.protocol, len(sequence))
    timed = _Timed(segmenter) if isinstance(segmenter, StreamingSegmenter) else _TimedWhole(segmenter)
    for index, masks in _results(timed, sequence):
        if index == 0:
            continue
        frame_name = sequence.frames[index].stem
        if on_frame is not None:
            on_frame(sequence.name, frame_name, masks)
        if index not in scored:
            break
        truth = labels_to_score(sequence.read_labels(index), RULES.protocol)
        prediction = (masks.label_map != BACKGROUND).view(np.uint8)
        tracks.meet(index, truth)
        tracks.score(index, frame_name, prediction, truth)
    scores = SequenceScores(sequence.name, tracks.scores(sequence.name), len(scored))
    return scores, Seconds(tuple(timed.wall), tuple(timed.processor))


def _results(
    segmenter: StreamingSegmenter[Any] | VideoSegmenter, sequence: data.Sequence
) -> Iterator[tuple[int, ObjectMasks]]:
    try:
        yield from segment_video(segmenter, _Frames(sequence), {0: sequence.prompts()[0]})
    except (MaskError, NumericalError) as error:
        raise type(error)(f"Sequence {sequence.name!r}: {error}") from error


class _Timed(StreamingSegmenter[Any]):
    """Another segmenter, and the seconds that each of its steps took; reading the frames is not counted."""

    def __init__(self, segmenter: StreamingSegmenter[Any]) -> None:
        self._segmenter = segmenter
        self.wall: list[float] = []
        self.processor: list[float] = []

    def start(self, frame: Image, labels: LabelMap) -> Any:
        return self._segmenter.start(frame, labels)

    def step(self, state: Any, frame: Image, labels: LabelMap | None = None) -> tuple[Any, ObjectMasks]:
        wall, processor = time.perf_counter(), time.process_time()
        state, masks = self._segmenter.step(state, frame, labels)
        # A user wants labels, so making them belongs to the frame's time; the masks cache them.
        _ = masks.label_map
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)
        return state, masks


class _TimedWhole(VideoSegmenter):
    """Another segmenter of whole videos, and the seconds that a frame took on average, with all reading."""

    def __init__(self, segmenter: VideoSegmenter) -> None:
        self._segmenter = segmenter
        self.wall: list[float] = []
        self.processor: list[float] = []

    def segment(self, video: Video, prompts: Mapping[int, LabelMap]) -> Iterator[tuple[int, ObjectMasks]]:
        wall, processor = time.perf_counter(), time.process_time()
        for index, masks in self._segmenter.segment(video, prompts):
            _ = masks.label_map
            self.wall = [(time.perf_counter() - wall) / len(video)]
            self.processor = [(time.process_time() - processor) / len(video)]
            yield index, masks


class _Frames(Video):
    """The frames of a sequence, which may be every n-th of its folder."""

    def __init__(self, sequence: data.Sequence) -> None:
        self._sequence = sequence
        height, width, _ = sequence.read_frame(0).shape
        self.size = height, width

    def __len__(self) -> int:
        return len(self._sequence)

    @property
    def names(self) -> Sequence[str]:
        """The files' stems."""
        return [file.stem for file in self._sequence.frames]

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return (self._sequence.read_frame(index) for index in range(start, stop))
