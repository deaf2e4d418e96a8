"""Whether predictions and truth go together: found out from names alone, before any file is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tinct.data.annotations import Annotations
from tinct.errors import DatasetError
from tinct.evaluation.protocols import Protocol

FIRST_NAMED = 5
"""A list of what is missing names this many, and counts the rest."""


def scored_range(protocol: Protocol, frames: int) -> range:
    """The indices of the frames that a protocol scores, of a sequence of so many."""
    return range(int(protocol.skips_first), frames - int(protocol.skips_last))


def check_complete(
    predictions: Mapping[str, Mapping[str, Path]],
    annotations: Sequence[Annotations],
    protocol: Protocol,
    *,
    chosen: bool,
    allow_missing: bool,
) -> tuple[str, ...]:
    """Compare what is there with what is to be scored, before any file is read.

    Args:
        predictions: As `find_predictions` gave them.
        annotations: The sequences to score.
        protocol: A frame that it skips may be missing.
        chosen: Whether the sequences were chosen by the caller, so that others are no surprise.
        allow_missing: Accept it.

    Returns:
        The sequences without any prediction.

    Raises:
        DatasetError: Something is missing or too much; all of it is listed.
    """
    names = [a.sequence for a in annotations]
    missing = tuple(name for name in names if name not in predictions)
    if len(missing) == len(names):
        raise DatasetError(
            f"None of the sequences to score ({_some(names)}) is among the predictions "
            f"({_some(list(predictions))}). Are the two folders swapped, or is it another split?"
        )
    if allow_missing:
        return missing
    extra = [] if chosen else sorted(set(predictions) - set(names))
    problems = []
    if missing:
        problems.append(f"{len(missing)} of {len(names)} sequences have no prediction: {_some(missing)}")
    if extra:
        problems.append(f"{len(extra)} predicted sequences have no truth: {_some(extra)}")
    problems += _frame_problems(predictions, [a for a in annotations if a.sequence in predictions], protocol)
    if problems:
        raise DatasetError(
            "Predictions and truth do not go together:\n  "
            + "\n  ".join(problems)
            + "\nAdd what is missing, choose a --split, or score what is there with --allow-missing."
        )
    return missing


def _frame_problems(
    predictions: Mapping[str, Mapping[str, Path]], annotations: Sequence[Annotations], protocol: Protocol
) -> list[str]:
    lacking, too_many = [], []
    for a in annotations:
        there = predictions[a.sequence]
        needed = [a.frame_names[i] for i in scored_range(protocol, len(a.frame_names))]
        lacking += [f"{a.sequence}/{name}" for name in needed if name not in there]
        if not protocol.starts_after_truth:
            too_many += [f"{a.sequence}/{name}" for name in sorted(set(there) - set(a.frame_names))]
    problems = []
    if lacking:
        problems.append(f"{len(lacking)} frames have no prediction: {_some(lacking)}")
    if too_many:
        hint = "; are the two folders swapped?" if not lacking else ""
        problems.append(f"{len(too_many)} predicted frames have no truth: {_some(too_many)}{hint}")
    return problems


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:FIRST_NAMED])
    return shown if len(names) <= FIRST_NAMED else f"{shown} and {len(names) - FIRST_NAMED} more"
