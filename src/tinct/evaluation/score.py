"""Scoring a folder of predictions against a folder of annotations, under a protocol.

Every file is read once, one frame at a time: memory does not grow with the set. No network is
involved; this module and all that it imports need numpy, OpenCV and Pillow only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tinct.data.annotations import Annotations
from tinct.data.lists import known_sequences
from tinct.errors import DatasetError, OptionError
from tinct.evaluation.completeness import check_complete, scored_range
from tinct.evaluation.groups import Groups, find_groups
from tinct.evaluation.predictions import find_predictions, read_prediction
from tinct.evaluation.protocols import Protocol, compatibility_of, protocol_of
from tinct.evaluation.results import MEASURES, Scores, SequenceScores
from tinct.evaluation.tracks import Rules, Tracks
from tinct.evaluation.truth import find_truth, label_folder
from tinct.evaluation.workers import in_workers
from tinct.shapes import BACKGROUND, VOID, LabelMap

OnSequence = Callable[[SequenceScores, int, int], None]
"""Called with a sequence's scores as soon as they are known, how many are done, and how many there are."""

_WITHOUT_GROUPS = " (no meta.json of train tells which are seen: the mean is that of all objects)"


@dataclass(frozen=True)
class Task:
    """One sequence to score; it travels to a worker process.

    Attributes:
        truth: The annotations.
        predictions: Per frame name, the mask file.
        rules: What is scored, and how.
        groups: The group of each object id, where the protocol has groups.
    """

    truth: Annotations
    predictions: Mapping[str, Path]
    rules: Rules
    groups: Mapping[int, str] = field(default_factory=dict)


def score_folders(
    pred: Path,
    truth: Path,
    protocol: str,
    *,
    metrics: Sequence[str] | None = None,
    split: str | None = None,
    sequences: Collection[str] | None = None,
    bound_th: float = 0.008,
    compat: str | None = None,
    allow_missing: bool = False,
    workers: int = 1,
    progress: OnSequence | None = None,
) -> Scores:
    """Score predicted masks.

    Args:
        pred: The predictions, in one of the layouts that `find_predictions` understands.
        truth: The dataset's root or its annotations; see `find_truth`.
        protocol: One of `tinct.evaluation.protocols.PROTOCOLS`.
        metrics: Of "J", "F", "T"; by default those of the protocol.
        split: Only the sequences of this list.
        sequences: Only these.
        bound_th: The tolerance of F as a fraction of the diagonal, or in pixels from 1 on.
        compat: Reproduce the faults of a toolkit: "davis2017-evaluation".
        allow_missing: Score what is there instead of refusing a folder that lacks something.
        workers: How many processes share the sequences.
        progress: Told of every sequence.

    Raises:
        OptionError: An unknown protocol, metric or toolkit, or folders that cannot be meant.
        DatasetError: A folder, sequence, frame or list is missing, or there is too much.
        MaskError: A file is broken, of another size, or holds what no prediction may hold.
    """
    rules = Rules(protocol_of(protocol), (), bound_th, compatibility_of(compat))
    rules = replace(rules, measures=_checked_measures(metrics or rules.protocol.measures))
    _refuse_confused_folders(pred, truth)
    annotations = find_truth(truth, rules.protocol, split=split, sequences=sequences)
    predictions = find_predictions(pred)
    if len(annotations) == 1 and len(predictions) == 1 and sequences is None:
        # Two folders of one sequence each need not be called the same.
        predictions = {annotations[0].sequence: next(iter(predictions.values()))}
    chosen = split is not None or sequences is not None
    missing = check_complete(
        predictions, annotations, rules.protocol, chosen=chosen, allow_missing=allow_missing
    )
    groups = _groups(truth, rules.protocol, split)
    tasks = [
        Task(a, predictions[a.sequence], _rules_of(a.sequence, rules), groups.get(a.sequence, {}))
        for a in annotations
        if a.sequence not in missing
    ]
    without_groups = rules.protocol.average_over == "groups" and not groups
    return Scores(
        rules.protocol.name,
        rules.protocol.rule + (_WITHOUT_GROUPS if without_groups else ""),
        rules.protocol.merged,
        rules.protocol.average_over,
        _in_order(tasks, workers, progress),
        {"split": split, "bound_th": bound_th, "compat": compat, "missing_sequences": list(missing)},
    )


def score_sequence(task: Task) -> SequenceScores:
    """The scores of one sequence.

    Raises:
        DatasetError: The truth leaves nothing to score, or its file is broken.
        MaskError: A prediction is broken, or shows an object that the truth lacks.
    """
    _keep_freed_memory()
    tracks = Tracks(task.rules, task.groups)
    frames_scored, missing = 0, []
    for index, name, truth in _scored_truth(task, tracks):
        if name not in task.predictions:
            missing.append(name)
            tracks.skip()
            continue
        size = truth.shape[0], truth.shape[1]
        prediction = read_prediction(task.predictions[name], size, merged=task.rules.protocol.merged)
        tracks.score(index, name, prediction, truth)
        frames_scored += 1
    objects = tracks.scores(task.truth.sequence)
    if not objects:
        raise DatasetError(
            f"Sequence {task.truth.sequence!r} leaves nothing to score: of its {len(task.truth.frame_names)} "
            f"annotated frames and {len(task.predictions)} predicted ones, {task.rules.protocol.name} scores "
            f"{frames_scored}. A set whose first frames alone are annotated is scored by its server; "
            "`tinct pack` writes the file that it takes."
        )
    return SequenceScores(task.truth.sequence, objects, frames_scored, tuple(missing))


def _scored_truth(task: Task, tracks: Tracks) -> Iterator[tuple[int, str, LabelMap]]:
    """(index, name, truth) of every scored frame; the tracks meet the objects of the frames before too."""
    names = task.truth.frame_names
    scored = scored_range(task.rules.protocol, len(names))
    for index in range(scored.stop):
        truth = _without_void(task.truth.read(index), task.rules.protocol)
        tracks.meet(index, truth)
        if index in scored:
            yield index, names[index], truth


def _without_void(truth: LabelMap, protocol: Protocol) -> LabelMap:
    """The truth as the benchmarks' scorers take it: void is background; merged, all else is object 1."""
    if truth.max(initial=BACKGROUND) == VOID:
        truth = np.where(truth == VOID, np.uint8(BACKGROUND), truth)
    return (truth != BACKGROUND).view(np.uint8) if protocol.merged else truth


def _keep_freed_memory() -> None:
    """Let glibc keep the memory that a frame's arrays leave, for those of the next frame.

    It gives blocks above a threshold back to the system, which then clears them anew, frame after
    frame: a fifth of all processor time. Freeing one large block raises the threshold to its size.
    """
    np.empty(8 << 20, np.uint8)


def _in_order(tasks: Sequence[Task], workers: int, progress: OnSequence | None) -> tuple[SequenceScores, ...]:
    scored: dict[int, SequenceScores] = {}
    for index, scores in in_workers(score_sequence, tasks, workers):
        scored[index] = scores
        if progress is not None:
            progress(scores, len(scored), len(tasks))
    return tuple(scored[index] for index in sorted(scored))


def _groups(truth: Path, protocol: Protocol, split: str | None) -> Groups:
    return find_groups(label_folder(truth, protocol, split)) if protocol.average_over == "groups" else {}


def _rules_of(sequence: str, rules: Rules) -> Rules:
    """The rules without T where DAVIS-2016 leaves it out: strong occlusions are no lack of stability."""
    known = known_sequences("davis-2016").get(sequence)
    if rules.protocol.name != "davis-2016" or known is None or known.temporal_stability:
        return rules
    return replace(rules, measures=tuple(measure for measure in rules.measures if measure != "T"))


def _checked_measures(metrics: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in metrics if name not in MEASURES]
    if unknown:
        raise OptionError(
            f"There is no metric {', '.join(map(repr, unknown))}; choose of J (region similarity), "
            "F (contour accuracy) and T (temporal stability)."
        )
    return tuple(name for name in MEASURES if name in metrics)


def _refuse_confused_folders(pred: Path, truth: Path) -> None:
    """Refuse folders that are the same, or that were given in the wrong order."""
    if pred.resolve() == truth.resolve():
        raise OptionError(
            f"{pred} came as the predictions and as the truth, and would agree with itself. Give the folder "
            "of the predicted masks first, then that of the annotations."
        )
    swapped = [
        (truth, "holds a run of tinct") if _holds_run(truth) else None,
        (pred, "is a dataset's annotations") if _is_annotation(pred) and not _is_annotation(truth) else None,
    ]
    for found in filter(None, swapped):
        raise OptionError(
            f"{found[0]} {found[1]}; are the two folders swapped? The predictions come first, then the truth."
        )


def _holds_run(folder: Path) -> bool:
    return (folder / "run.json").is_file() or any(folder.glob("*/run.json"))


def _is_annotation(folder: Path) -> bool:
    """Whether a folder is, or lies in, what the benchmarks call their annotations."""
    return any(part in ("Annotations", "GroundTruth") for part in folder.resolve().parts[-3:]) or (
        (folder / "Annotations").is_dir()
    )
