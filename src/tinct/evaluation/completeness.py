"""Whether predictions and truth go together: found out from names alone, before any file is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinct.data.annotations import Annotations
from tinct.data.lists import first_names
from tinct.errors import DatasetError, OptionError
from tinct.evaluation.protocols import Protocol


@dataclass(frozen=True)
class Mismatch:
    """What predictions and truth do not share.

    Attributes:
        missing_sequences: Without any prediction.
        missing_frames: "sequence/frame", of the frames that are scored.
        extra_sequences: Predicted, without truth.
        extra_frames: "sequence/frame", predicted, without truth.
        shifts: Of sequences whose numbers are all off by the same: what to say.
    """

    missing_sequences: list[str] = field(default_factory=list)
    missing_frames: list[str] = field(default_factory=list)
    extra_sequences: list[str] = field(default_factory=list)
    extra_frames: list[str] = field(default_factory=list)
    shifts: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """Everything that is wrong in words, kind by kind."""
        kinds = (
            ("sequence(s) have no prediction", self.missing_sequences),
            ("predicted sequence(s) have no truth", self.extra_sequences),
            ("frame(s) have no prediction", self.missing_frames),
            ("predicted frame(s) have no truth", self.extra_frames),
        )
        lines = [f"{len(names)} {words}: {first_names(names)}" for words, names in kinds if names]
        if self.shifts:
            return [*lines, *self.shifts]
        if len(self.missing_frames) == len(self.extra_frames) > 0:
            lines.append("as many frames lack a prediction as a truth: are they numbered differently?")
        elif self.extra_frames and not self.missing_frames:
            lines.append("are the two folders swapped?")
        return lines


def scored_range(protocol: Protocol, frames: int) -> range:
    """The indices of the frames that a protocol scores, of a sequence with this number of frames."""
    return range(int(protocol.skips_first), frames - int(protocol.skips_last))


def check_complete(
    predictions: Mapping[str, Mapping[str, Path]],
    annotations: Sequence[Annotations],
    protocol: Protocol,
    *,
    chosen: bool,
    allow_missing: bool,
) -> Mismatch:
    """Compare what is there with what is to be scored, before any file is read.

    Args:
        predictions: As `find_predictions` gave them.
        annotations: The sequences to score.
        protocol: A frame that it skips may be missing.
        chosen: Whether the sequences were chosen by the caller, so that others are no surprise.
        allow_missing: Accept what does not match.

    Returns:
        What does not match; nothing unless `allow_missing`.

    Raises:
        DatasetError: Files are missing or too many; the message lists all. Or the truth has no frame
            that is scored.
    """
    if not any(len(scored_range(protocol, len(a.frame_names))) for a in annotations):
        raise DatasetError(
            f"No sequence has an annotated frame that {protocol.name} scores; where the first frames alone "
            "are annotated, the truth is not public. The benchmark's server scores such a set: `tinct pack` "
            "writes the file that it takes."
        )
    names = [a.sequence for a in annotations]
    if not set(names) & set(predictions):
        raise DatasetError(
            f"None of the sequences to score ({first_names(names)}) is among the predictions "
            f"({first_names(predictions)}). Are the two folders swapped, or is it another split?"
        )
    mismatch = _mismatch(predictions, annotations, protocol, chosen)
    if mismatch.lines and not allow_missing:
        raise DatasetError(
            "Predictions and truth do not go together:\n  "
            + "\n  ".join(mismatch.lines)
            + "\n"
            + (
                "Rename the files: --allow-missing would score frames against the truth of others."
                if mismatch.shifts
                else "Add what is missing, choose a --split, or score what is there with --allow-missing."
            )
        )
    return mismatch


def _mismatch(
    predictions: Mapping[str, Mapping[str, Path]],
    annotations: Sequence[Annotations],
    protocol: Protocol,
    chosen: bool,
) -> Mismatch:
    found = Mismatch()
    for a in annotations:
        if a.sequence not in predictions:
            found.missing_sequences.append(a.sequence)
            continue
        there = predictions[a.sequence]
        needed = [a.frame_names[i] for i in scored_range(protocol, len(a.frame_names))]
        found.missing_frames.extend(f"{a.sequence}/{name}" for name in needed if name not in there)
        # YouTube-VOS annotates every fifth frame of those that may be predicted.
        if not protocol.starts_after_truth:
            known = set(a.frame_names)
            found.extra_frames.extend(f"{a.sequence}/{name}" for name in there if name not in known)
            found.shifts.extend(_shift(a.sequence, list(there), a.frame_names))
    if not chosen:
        found.extra_sequences.extend(sorted(set(predictions) - {a.sequence for a in annotations}))
    return found


def _shift(sequence: str, predicted: Sequence[str], truth: Sequence[str]) -> list[str]:
    """What to say if all numbers of a sequence's predictions are off by the same; nothing otherwise."""
    ours, theirs = _numbers(predicted), _numbers(truth)
    if not ours or not theirs or ours <= theirs:
        return []
    first, first_truth = min(ours), min(theirs)
    by = first - first_truth
    if not {number - by for number in ours} <= theirs:
        return []
    return [
        f"{sequence}: are they numbered differently? The truth is numbered from {first_truth}; are the "
        f"predictions numbered from {first}?"
    ]


def _numbers(names: Sequence[str]) -> set[int]:
    """The numbers with which names end; none if one has no number."""
    found = [re.search(r"[0-9]+$", name) for name in names]
    return {int(match[0]) for match in found if match} if all(found) else set()


def check_distinct_folders(pred: Path, truth: Path) -> None:
    """Check that the folders are two, in the right order.

    Raises:
        OptionError: They are; the message says which came first.
    """
    if pred.resolve() == truth.resolve():
        raise OptionError(
            f"{pred} came as the predictions and as the truth, and would agree with itself. Give the folder "
            "of the predicted masks first, then that of the annotations."
        )
    swapped = [
        (truth, "holds a run of tinct") if _holds_run(truth) else None,
        (pred, "is a dataset's annotations") if _is_annotation(pred) and not _is_annotation(truth) else None,
    ]
    for folder, what in filter(None, swapped):
        raise OptionError(
            f"{folder} {what}; are the two folders swapped? The predictions come first, then the truth."
        )


def _holds_run(folder: Path) -> bool:
    return (folder / "run.json").is_file() or any(folder.glob("*/run.json"))


def _is_annotation(folder: Path) -> bool:
    """Whether a folder is a dataset's root or lies in its annotations: frames or lists lie beside them."""
    folder = folder.resolve()
    labels = next(
        (f for f in (folder, *folder.parents[:2]) if f.name in ("Annotations", "GroundTruth")), None
    )
    root = folder if labels is None else labels.parent
    return any((root / name).is_dir() for name in ("JPEGImages", "ImageSets"))
