"""The frames in which a result is worst, and their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinct.data.annotations import Annotations
from tinct.data.davis import RESOLUTIONS
from tinct.data.images import read_rgb
from tinct.errors import MaskError, TinctError
from tinct.evaluation.predictions import find_predictions, paired, read_prediction
from tinct.evaluation.protocols import Protocol
from tinct.evaluation.report.pictures import Frame, data_uri, error_picture, mask_picture
from tinct.evaluation.report.timeline import Timeline
from tinct.evaluation.truth import find_truth, label_folder, labels_to_score
from tinct.shapes import Image, LabelMap

PER_SEQUENCE = 2
"""Maximum number of frames of one sequence, so that the worst sequence does not fill the list."""

_APART = 8  # The frames of one sequence are at least its length divided by this apart.


@dataclass(frozen=True)
class WorstFrame:
    """One frame of a low score.

    Attributes:
        sequence: The name of its sequence.
        frame: The name of the frame.
        values: By measure, the mean over the objects of this frame.
    """

    sequence: str
    frame: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class PicturedFrame:
    """A frame of a low score with its pictures.

    Attributes:
        worst: The frame.
        pictures: (title, data URI) of the prediction, the truth and the errors.
        trouble: Why there are no pictures, if there are none.
        grey: Whether the background is grey because the frame was not found.
    """

    worst: WorstFrame
    pictures: tuple[tuple[str, str], ...] = ()
    trouble: str = ""
    grey: bool = False


@dataclass(frozen=True)
class Sources:
    """The sources of the pictures.

    Attributes:
        predictions: As for `find_predictions`.
        truth: As for `find_truth`.
        frames: A folder of frames per sequence, a dataset's root, or the frames of one sequence.
        split: The scored split, if it is known; it is the folder of the truth in YouTube-VOS.
    """

    predictions: Path
    truth: Path
    frames: Path | None = None
    split: str | None = None


def worst_frames(timelines: Sequence[Timeline], measure: str, count: int) -> tuple[WorstFrame, ...]:
    """The frames of the lowest scores, the lowest first.

    At most `PER_SEQUENCE` of a sequence, with a distance between them, to show different failures.

    Args:
        timelines: One per sequence.
        measure: The measure to sort by: "J", or "F" if there is no J.
        count: Maximum number of frames.
    """
    ordered = sorted(
        (float(value), number, index)
        for number, timeline in enumerate(timelines)
        for index, value in enumerate(timeline.frame_means(measure))
        if not np.isnan(value)
    )
    taken: dict[int, list[int]] = {}
    chosen: list[WorstFrame] = []
    for _, number, index in ordered:
        if len(chosen) >= count:
            break
        timeline, places = timelines[number], taken.setdefault(number, [])
        apart = max(2, len(timeline.frame_names) // _APART)
        if len(places) < PER_SEQUENCE and all(abs(index - place) >= apart for place in places):
            places.append(index)
            chosen.append(_worst_frame(timeline, index))
    return tuple(chosen)


def with_pictures(
    chosen: Sequence[WorstFrame], sources: Sources, protocol: Protocol
) -> Iterator[PicturedFrame]:
    """The chosen frames with their pictures, in the same order.

    A frame whose files cannot be read has the error instead of pictures.

    Raises:
        TinctError: The predictions or the truth cannot be found at all.
    """
    predictions = find_predictions(sources.predictions)
    # Of YouTube-VOS a split is a folder; elsewhere it chooses sequences, which the scores did already.
    split = sources.split if protocol.name == "youtube-vos" else None
    annotations = find_truth(sources.truth, protocol, split=split)
    beside = _image_folders(label_folder(sources.truth, protocol, split))
    folders = beside if sources.frames is None else [sources.frames]
    predictions = paired(predictions, annotations)
    truths = {of.sequence: of for of in annotations}
    for worst in chosen:
        try:
            truth = _truth(truths.get(worst.sequence), worst, protocol)
            path = predictions.get(worst.sequence, {}).get(worst.frame)
            if path is None:
                raise MaskError(f"{sources.predictions} holds no mask of this frame.")
            prediction = read_prediction(path, (truth.shape[0], truth.shape[1]), merged=protocol.merged)
            frame = _frame(folders, worst)
        except TinctError as error:
            yield PicturedFrame(worst, trouble=str(error))
            continue
        yield PicturedFrame(worst, _pictures(frame, prediction, truth, protocol.merged), grey=frame is None)


def find_frame(folder: Path, sequence: str, name: str) -> Path | None:
    """The image file of a frame, in the layouts of the datasets; None if there is none.

    Args:
        folder: A folder of frames per sequence, a dataset's root or its annotations, or the frames
            of one sequence.
        sequence: The name of the sequence.
        name: The name of the frame, without suffix.
    """
    for images in (folder, *_image_folders(folder)):
        for place in (images / sequence, images):
            for ending in (".jpg", ".jpeg", ".JPEG", ".png", ".bmp"):
                if (path := place / f"{name}{ending}").is_file():
                    return path
    return None


def _image_folders(folder: Path) -> list[Path]:
    """`JPEGImages` of the root that is or holds `folder`, and the resolutions in it."""
    found = []
    for root in (folder, *folder.resolve().parents[:2]):
        images = root / "JPEGImages"
        if images.is_dir():
            # A sequence's annotations at 480p go with its frames at 480p.
            found += [images / folder.name, *(images / of for of in RESOLUTIONS), images]
    return found


def _worst_frame(timeline: Timeline, index: int) -> WorstFrame:
    values = {measure: float(timeline.frame_means(measure)[index]) for measure in ("J", "F")}
    defined = {measure: value for measure, value in values.items() if not np.isnan(value)}
    return WorstFrame(timeline.sequence, timeline.frame_names[index], defined)


def _truth(annotations: Annotations | None, worst: WorstFrame, protocol: Protocol) -> LabelMap:
    if annotations is None or worst.frame not in annotations.frame_names:
        raise MaskError("The truth holds no annotation of this frame.")
    return labels_to_score(annotations.read(annotations.frame_names.index(worst.frame)), protocol)


def _frame(folders: Sequence[Path], worst: WorstFrame) -> Image | None:
    """The frame itself, from the first folder that has it; None if there is none."""
    found = (find_frame(folder, worst.sequence, worst.frame) for folder in folders)
    path = next((path for path in found if path is not None), None)
    return None if path is None else read_rgb(path)


def _pictures(
    frame: Frame | None, prediction: LabelMap, truth: LabelMap, merged: bool
) -> tuple[tuple[str, str], ...]:
    return (
        ("prediction", data_uri(mask_picture(frame, prediction, ids=not merged))),
        ("truth", data_uri(mask_picture(frame, truth, ids=not merged))),
        ("errors", data_uri(error_picture(frame, prediction, truth))),
    )
