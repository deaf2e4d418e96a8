"""Scoring a folder of predictions against a folder of annotations, under a protocol.

Every file is read once, one frame at a time: memory does not grow with the set. No network is
involved; this module and all that it imports need numpy and Pillow only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from tinct.data.annotations import Annotations
from tinct.data.lists import known_sequences
from tinct.errors import DatasetError, OptionError, WorkerError
from tinct.evaluation.completeness import Mismatch, check_complete, check_distinct_folders, scored_range
from tinct.evaluation.failures import one_error
from tinct.evaluation.groups import Groups, find_groups
from tinct.evaluation.predictions import find_predictions, paired, read_prediction
from tinct.evaluation.protocols import Protocol, compatibility_of, protocol_of
from tinct.evaluation.results import ALL_STEPS, BETWEEN_SCORED, MEASURES, TO_SCORED, Scores, SequenceScores
from tinct.evaluation.tracks import Rules, Tracks
from tinct.evaluation.truth import find_truth, is_of_255, label_folder, labels_to_score
from tinct.evaluation.workers import Failure, outcomes_of
from tinct.metrics import DEFAULT_BOUND_TH
from tinct.metrics.boundary import tolerance_radius_px
from tinct.ops.allocator import keep_freed_memory
from tinct.shapes import LabelMap

OnSequence = Callable[[SequenceScores, int, int], None]
"""Called with a sequence's scores as soon as they are known, how many are done, and how many there are."""


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
    rules: Rules | str,
    *,
    split: str | None = None,
    sequences: Collection[str] | None = None,
    allow_missing: bool = False,
    resolution: str | None = None,
    workers: int = 1,
    progress: OnSequence | None = None,
) -> Scores:
    """Score predicted masks.

    Args:
        pred: The predictions, in one of the layouts that `find_predictions` understands.
        truth: The dataset's root or its annotations; see `find_truth`.
        rules: What is scored, and how (`scoring_rules`), or the name of a protocol alone.
        split: Only the sequences of this list.
        sequences: Only these.
        allow_missing: Score what is there instead of refusing folders that do not match.
        resolution: Of DAVIS, where the root is given: "480p", "1080p" or "Full-Resolution"; by default the
            first of these that is there.
        workers: How many processes share the sequences.
        progress: Called after every sequence.

    Raises:
        OptionError: An unknown protocol, or folders that cannot be meant.
        DatasetError: A folder, sequence, frame or list is missing, or there is too much.
        MaskError: A file is broken, of another size, or holds what no prediction may hold.
        WorkerError: Two workers died of a sequence; `finished` holds the scores of all others.
    """
    if isinstance(rules, str):
        rules = scoring_rules(rules)
    check_distinct_folders(pred, truth)
    annotations = find_truth(truth, rules.protocol, split=split, sequences=sequences, resolution=resolution)
    predictions = find_predictions(pred)
    if sequences is None:
        predictions = paired(predictions, annotations)
    mismatch = check_complete(
        predictions,
        annotations,
        rules.protocol,
        chosen=split is not None or sequences is not None,
        allow_missing=allow_missing,
    )
    groups = _groups(truth, rules.protocol, split)
    tasks = [
        Task(a, predictions[a.sequence], _rules_of(a.sequence, rules), groups.get(a.sequence, {}))
        for a in annotations
        if a.sequence in predictions
    ]
    return _scores_of(_score_all(tasks, workers, progress), rules, split, mismatch, known_groups=bool(groups))


def _scores_of(
    outcome: _Outcome, rules: Rules, split: str | None, mismatch: Mismatch, *, known_groups: bool
) -> Scores:
    """The scores of all sequences with what made them; an error if sequences failed or none has an object."""
    left_out = {
        "missing_sequences": mismatch.missing_sequences,
        "empty_sequences": [scores.name for scores in outcome.scored if not scores.objects],
        "failed_sequences": list(outcome.failures),
        "extra_sequences": mismatch.extra_sequences,
        "extra_frames": mismatch.extra_frames,
        **({"shifts": mismatch.shifts} if mismatch.shifts else {}),
    }
    steps = {} if rules.t_steps is None else {"t_steps": rules.t_steps}
    scores = Scores(
        protocol=rules.protocol.name,
        rule=_rule(rules, known_groups=known_groups),
        merged=rules.protocol.merged,
        average_over=rules.protocol.average_over,
        sequences=tuple(scores for scores in outcome.scored if scores.objects),
        settings={"split": split, "bound_th": rules.bound_th, "compat": rules.toolkit, **steps, **left_out},
    )
    count = len(outcome.scored) + len(outcome.failures)
    if outcome.failures:
        error = one_error(outcome.failures, f"{len(outcome.failures)} of {count} sequences failed.")
        if isinstance(error, WorkerError):
            error.finished = scores
        raise error
    if not scores.sequences:
        raise DatasetError(
            f"None of the {count} sequences has an object in the frames that {scores.protocol} scores and "
            "that were predicted; check that the truth holds label maps."
        )
    return scores


def scoring_rules(
    protocol: str,
    metrics: Sequence[str] | None = None,
    bound_th: float = DEFAULT_BOUND_TH,
    compat: str | None = None,
) -> Rules:
    """What is scored, and how.

    Args:
        protocol: One of `tinct.evaluation.protocols.PROTOCOLS`.
        metrics: Of "J", "F", "T"; by default those of the protocol.
        bound_th: The tolerance of F as a fraction of the diagonal, or in pixels from 1 on.
        compat: Reproduce the faults of a toolkit, one of `tinct.evaluation.protocols.COMPATIBILITIES`.

    Raises:
        OptionError: A name is unknown, `bound_th` is no tolerance, or the toolkit has no such protocol.
    """
    named, toolkit = protocol_of(protocol), compatibility_of(compat)
    if toolkit is not None and named.name not in toolkit.protocols:
        raise OptionError(
            f"{toolkit.name} has no protocol {named.name}; --compat goes with {', '.join(toolkit.protocols)}."
        )
    tolerance_radius_px(1, 1, bound_th)
    return Rules(named, _checked_measures(metrics or named.measures), bound_th, toolkit)


def score_sequence(task: Task) -> SequenceScores:
    """The scores of one sequence.

    Returns:
        Without objects if the truth shows none, or no frame was predicted.

    Raises:
        DatasetError: A file of the truth is broken.
        MaskError: A prediction is broken, or shows an object that the truth lacks.
    """
    keep_freed_memory()
    tracks = Tracks(task.rules, task.groups)
    frames_scored, missing, protocol = 0, [], task.rules.protocol
    takes_255 = cache(lambda: protocol.takes_255 and is_of_255(task.truth))
    for index, name, truth in _scored_truth(task, tracks):
        if name not in task.predictions:
            missing.append(name)
            tracks.skip()
            continue
        size = truth.shape[0], truth.shape[1]
        path = task.predictions[name]
        prediction = read_prediction(path, size, merged=protocol.merged, takes_255=takes_255)
        tracks.score(index, name, prediction, truth)
        frames_scored += 1
    last = task.truth.frame_names[-1]
    if task.rules.t_steps == ALL_STEPS and frames_scored and last in task.predictions:
        tracks.end_with(last, read_prediction(task.predictions[last], size, merged=protocol.merged))
    objects = tracks.scores(task.truth.sequence)
    return SequenceScores(task.truth.sequence, objects, frames_scored, tuple(missing))


def _scored_truth(task: Task, tracks: Tracks) -> Iterator[tuple[int, str, LabelMap]]:
    """(index, name, truth) of every scored frame; the tracks meet the objects of the frames before too."""
    names = task.truth.frame_names
    scored = scored_range(task.rules.protocol, len(names))
    for index in range(scored.stop):
        truth = labels_to_score(task.truth.read(index), task.rules.protocol)
        tracks.meet(index, truth)
        if index in scored:
            yield index, names[index], truth
        elif task.rules.t_steps in (ALL_STEPS, TO_SCORED):
            tracks.start_from(truth)


@dataclass(frozen=True)
class _Outcome:
    """What became of the sequences: scores in order, and the errors of those that have none."""

    scored: tuple[SequenceScores, ...]
    failures: Mapping[str, Exception]


def _score_all(tasks: Sequence[Task], workers: int, progress: OnSequence | None) -> _Outcome:
    scored: dict[int, SequenceScores] = {}
    failures: dict[int, Exception] = {}
    with closing(outcomes_of(score_sequence, tasks, workers, name=_name)) as outcomes:
        for index, outcome in outcomes:
            if isinstance(outcome, Failure):
                failures[index] = outcome.error
                continue
            scored[index] = outcome
            if progress is not None:
                progress(outcome, len(scored), len(tasks))
    return _Outcome(
        tuple(scored[index] for index in sorted(scored)),
        {tasks[index].truth.sequence: failures[index] for index in sorted(failures)},
    )


def _name(task: Task) -> str:
    return f"sequence {task.truth.sequence!r}"


def _rule(rules: Rules, *, known_groups: bool) -> str:
    """The protocol's rule, and what departs from it."""
    rule = rules.protocol.rule
    if rules.protocol.average_over == "groups" and not known_groups:
        rule += " (no meta.json of train says which are seen: the mean is that of all objects)"
    if rules.t_steps is not None and rules.protocol.t_steps == ALL_STEPS:
        rule += {
            ALL_STEPS: "; T is of all steps from frame to frame, the first and the last included",
            TO_SCORED: "; T is of all steps from frame to frame but the last",
            BETWEEN_SCORED: "; T is of all steps from frame to frame but the first and the last",
        }[rules.t_steps]
    if rules.counts_in_first_frame:
        rule += " (but objects are counted in the first frame, up to its highest id)"
    return rule


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
