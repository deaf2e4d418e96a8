"""The scores of a set of predictions, as data: what tables, reports and comparisons are made from.

Three levels: an object of a sequence, a sequence, and the whole. Each holds its statistics per
measure: "J" (region similarity), "F" (contour accuracy), "T" (temporal instability). `Scores` goes
to JSON and comes back unchanged; all values are fractions from 0 to 1, and NaN becomes null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinct.errors import OptionError
from tinct.io.atomic import atomic_write
from tinct.io.json_files import parse_json, reading
from tinct.io.regular_files import read_regular
from tinct.metrics import decay, mean, recall

MEASURES = ("J", "F", "T")
"""In the order of every table. Of T only the mean is defined, and lower is better."""

NAN = float("nan")

ALL_STEPS, TO_SCORED, BETWEEN_SCORED = "all", "to scored frames", "between scored frames"
"""`Scores.settings["t_steps"]`: the steps of which T is the mean; files without it are of the last kind."""

LEFT_OUT = {
    "missing_sequences": "Without prediction",
    "empty_sequences": "Without an object to score",
    "failed_sequences": "Not scored, because workers died",
    "extra_sequences": "Without truth",
    "extra_frames": "Predicted frames without truth",
}
"""The keys of `Scores.settings` that list what is in no mean, and their words."""


@dataclass(frozen=True)
class Statistics:
    """One measure's summary, of an object, a sequence or a whole set; NaN where it is undefined."""

    mean: float
    recall: float = NAN
    decay: float = NAN

    @classmethod
    def of_frames(cls, values: Sequence[float], *, wrap_at_256: bool = False) -> Statistics:
        """The summary of per-frame values of J or F; `wrap_at_256` as in `tinct.metrics.decay`."""
        scores = np.asarray(values, np.float64)
        if not scores.size:
            return cls(NAN)
        return cls(mean(scores), recall(scores), decay(scores, wrap_at_256=wrap_at_256))

    @classmethod
    def mean_of(cls, summaries: Sequence[Statistics], *, keep_nan: bool = False) -> Statistics:
        """The plain mean of every statistic over objects or sequences.

        Args:
            summaries: Of the objects or sequences.
            keep_nan: One NaN makes the mean NaN; otherwise it is left out.
        """
        table = np.asarray([(s.mean, s.recall, s.decay) for s in summaries], np.float64).reshape(-1, 3)
        return cls(*(float(column.mean()) if keep_nan else mean(column) for column in table.T))


@dataclass(frozen=True)
class FrameScores:
    """The values of single frames.

    Attributes:
        names: The scored frames, in order; where T is of all steps, the last frame too.
        values: Per measure one value per frame. T of a frame is that of the step towards it; NaN
            where there is none.
    """

    names: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class ObjectScores:
    """The scores of one object of a sequence.

    Attributes:
        object_id: As in the truth; 1 where all objects are merged.
        statistics: Per measure.
        frames: Their values frame by frame, if they were recorded.
        group: "seen" or "unseen", where a protocol separates them.
    """

    object_id: int
    statistics: Mapping[str, Statistics]
    frames: FrameScores | None = None
    group: str | None = None


@dataclass(frozen=True)
class SequenceScores:
    """The scores of one sequence: those of its objects, and their mean.

    Attributes:
        name: The sequence.
        objects: In the order of their ids.
        frames_scored: How many frames were compared.
        missing_frames: Frames that had no prediction and were left out.
    """

    name: str
    objects: tuple[ObjectScores, ...]
    frames_scored: int
    missing_frames: tuple[str, ...] = ()

    @property
    def statistics(self) -> dict[str, Statistics]:
        """Per measure, the mean over the objects."""
        return _mean_over([scores.statistics for scores in self.objects])


@dataclass(frozen=True)
class Scores:
    """The scores of a whole set under a protocol.

    Attributes:
        protocol: Its name, such as "davis-2017".
        rule: What it skips and how it averages, in words.
        merged: Whether all objects count as one.
        average_over: "sequences", "objects" or "groups" (the objects of each group, then the groups).
        sequences: In the order of their names.
        settings: What else shaped the figures: `bound_th`, `compat`, `t_steps`, the lists of `LEFT_OUT`, ...
        run: What made the predictions and what it cost, if that is known: method, variant, preset,
            seconds_per_frame, peak_memory_mb, ...
    """

    protocol: str
    rule: str
    merged: bool
    average_over: str
    sequences: tuple[SequenceScores, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def statistics(self) -> dict[str, Statistics]:
        """Per measure, the mean that the protocol takes."""
        if self.average_over == "sequences":
            return _mean_over([sequence.statistics for sequence in self.sequences])
        if self.groups:
            return _mean_over(list(self.groups.values()))
        # The toolkit that can be imitated takes a plain mean, which one undefined decay makes NaN.
        keep_nan = self.settings.get("compat") is not None
        return _mean_over([scores.statistics for scores in self._objects], keep_nan=keep_nan)

    @property
    def groups(self) -> dict[str, dict[str, Statistics]]:
        """Per group ("seen", "unseen") and measure, the mean over its objects; empty without groups."""
        if self.average_over != "groups":
            return {}
        names = sorted({scores.group for scores in self._objects if scores.group is not None})
        return {
            name: _mean_over([scores.statistics for scores in self._objects if scores.group == name])
            for name in names
        }

    @property
    def measures(self) -> tuple[str, ...]:
        """Those that were computed, in the order of `MEASURES`."""
        return tuple(self.statistics)

    @property
    def j_and_f(self) -> float:
        """(mean J + mean F) / 2; NaN unless both were computed."""
        return j_and_f(self.statistics)

    @property
    def frames_scored(self) -> int:
        """Frames compared, over all sequences."""
        return sum(sequence.frames_scored for sequence in self.sequences)

    @property
    def _objects(self) -> list[ObjectScores]:
        return [scores for sequence in self.sequences for scores in sequence.objects]

    def to_records(self) -> list[dict[str, Any]]:
        """The scores as flat rows, one per object of a sequence and measure, for `pandas.DataFrame`.

        Returns:
            Rows of `protocol`, `sequence`, `object_id` (1 where all objects are merged), `group` (None
            without groups), `measure` ("J", "F" or "T"), and its `mean`, `recall` and `decay` over the
            frames: fractions from 0 to 1, NaN where they are undefined.
        """
        return [
            {
                "protocol": self.protocol,
                "sequence": sequence.name,
                "object_id": scores.object_id,
                "group": scores.group,
                "measure": measure,
                "mean": of.mean,
                "recall": of.recall,
                "decay": of.decay,
            }
            for sequence in self.sequences
            for scores in sequence.objects
            for measure, of in scores.statistics.items()
        ]

    def to_json(self, *, per_frame: bool = False) -> dict[str, Any]:
        """The scores as JSON values; `per_frame` adds the value of every frame, where it is known."""
        content: dict[str, Any] = {"protocol": self.protocol, **_statistics_json(self.statistics)}
        if self.groups:
            content["groups"] = {name: _statistics_json(of) for name, of in self.groups.items()}
        content["sequences"] = {s.name: _sequence_json(s, self.merged, per_frame) for s in self.sequences}
        content["frames_scored"] = self.frames_scored
        content["objects_scored"] = len(self._objects)
        content["rule"] = self.rule
        content["merged"] = self.merged
        content["average_over"] = self.average_over
        content["settings"] = dict(self.settings)
        content["run"] = dict(self.run)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Scores:
        """The scores that `to_json` gave.

        Raises:
            OptionError: Something else came.
        """
        try:
            sequences = tuple(
                _sequence_from(name, content["merged"], entry) for name, entry in content["sequences"].items()
            )
            scores = cls(
                content["protocol"],
                content["rule"],
                content["merged"],
                content["average_over"],
                sequences,
                dict(content["settings"]),
                dict(content["run"]),
            )
            recorded = content.get("frames_scored", scores.frames_scored)
            if recorded != scores.frames_scored:
                raise ValueError(f"{recorded} frames are said to be scored, of {scores.frames_scored}")
            _check_means(content, scores.statistics, "the set")
            for sequence in sequences:
                _check_means(content["sequences"][sequence.name], sequence.statistics, sequence.name)
            return scores
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise OptionError(
                f"These are not scores of tinct ({type(error).__name__}: {error}); give a JSON file that "
                "`tinct score --json` or `tinct evaluate` wrote."
            ) from error


def j_and_f(statistics: Mapping[str, Statistics]) -> float:
    """(mean J + mean F) / 2; NaN unless both are there."""
    if "J" not in statistics or "F" not in statistics:
        return NAN
    return (statistics["J"].mean + statistics["F"].mean) / 2


def write_scores(path: Path, scores: Scores, *, per_frame: bool = False) -> None:
    """Write the scores as a JSON file, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    text = json.dumps(scores.to_json(per_frame=per_frame), indent=1, allow_nan=False)
    with atomic_write(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_scores(path: Path) -> Scores:
    """The scores in a JSON file.

    Raises:
        OptionError: There is no such file, or it holds something else; the message names it.
    """
    try:
        with reading(path, "scores", "Give a JSON file that `tinct score --json` wrote.", OptionError):
            return Scores.from_json(parse_json(read_regular(path)))
    except OptionError as error:
        raise error if str(path) in str(error) else OptionError(f"{path}: {error}") from error


def _mean_over(
    tables: Sequence[Mapping[str, Statistics]], *, keep_nan: bool = False
) -> dict[str, Statistics]:
    """Per measure the mean over the tables that hold it."""
    return {
        measure: Statistics.mean_of([t[measure] for t in tables if measure in t], keep_nan=keep_nan)
        for measure in MEASURES
        if any(measure in table for table in tables)
    }


def number_or_none(value: float) -> float | None:
    """A value for JSON, which has no NaN."""
    return None if math.isnan(value) else value


def _statistics_json(statistics: Mapping[str, Statistics]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for measure, of in statistics.items():
        content[measure] = {"mean": number_or_none(of.mean)}
        if measure != "T":
            content[measure] |= {"recall": number_or_none(of.recall), "decay": number_or_none(of.decay)}
    if "J" in statistics and "F" in statistics:
        content["JF_mean"] = number_or_none(j_and_f(statistics))
    return content


def _object_json(scores: ObjectScores, per_frame: bool) -> dict[str, Any]:
    content = _statistics_json(scores.statistics)
    if scores.group is not None:
        content["group"] = scores.group
    if per_frame and scores.frames is not None:
        values = {
            measure: [number_or_none(value) for value in column]
            for measure, column in scores.frames.values.items()
        }
        content["per_frame"] = {"frames": list(scores.frames.names), **values}
    return content


def _sequence_json(sequence: SequenceScores, merged: bool, per_frame: bool) -> dict[str, Any]:
    if merged:
        content = _object_json(sequence.objects[0], per_frame)
    else:
        content = _statistics_json(sequence.statistics)
        content["objects"] = {str(o.object_id): _object_json(o, per_frame) for o in sequence.objects}
    content["frames_scored"] = sequence.frames_scored
    if sequence.missing_frames:
        content["missing_frames"] = list(sequence.missing_frames)
    return content


def _value(number: float | None) -> float:
    return NAN if number is None else float(number)


def _check_means(entry: Any, statistics: Mapping[str, Statistics], name: str) -> None:
    """ValueError if means that stand in a file are not those of its objects: it was changed."""
    for measure, of in statistics.items():
        recorded = _value(entry[measure]["mean"]) if measure in entry else of.mean
        if not math.isclose(recorded, of.mean, abs_tol=1e-6) and not math.isnan(recorded + of.mean):
            raise ValueError(
                f"the mean {measure} of {name} is {recorded:g} there, and {of.mean:g} by its objects"
            )


def _object_from(object_id: int, entry: Any) -> ObjectScores:
    statistics = {
        measure: Statistics(**{name: _value(number) for name, number in entry[measure].items()})
        for measure in MEASURES
        if measure in entry
    }
    frames = None
    if "per_frame" in entry:
        recorded = entry["per_frame"]
        columns = {m: tuple(_value(number) for number in recorded[m]) for m in MEASURES if m in recorded}
        frames = FrameScores(tuple(recorded["frames"]), columns)
    return ObjectScores(object_id, statistics, frames, entry.get("group"))


def _sequence_from(name: str, merged: bool, entry: Any) -> SequenceScores:
    objects = {"1": entry} if merged else entry["objects"]
    return SequenceScores(
        name,
        tuple(_object_from(int(number), scores) for number, scores in objects.items()),
        int(entry["frames_scored"]),
        tuple(entry.get("missing_frames", ())),
    )
