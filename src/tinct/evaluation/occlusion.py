"""Scores of occlusion clips by phase: before an object disappears, and after it reappears.

J and F of every frame are those of the protocol "davis-2017". A phase is a subset of an object's frames;
its scores are the means over those frames, then over the objects. Frames in which an object is gone
belong to the phase "all" only, where two empty masks agree, as in every protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinct.data.occlusion.files import ClipTraces
from tinct.data.visibility import States, Visibility, disappearances
from tinct.errors import DatasetError, OptionError
from tinct.evaluation.results import ObjectScores, Scores, Statistics, j_and_f
from tinct.shapes import Bool, Float, Int

Sizes = Float[np.ndarray, "T"]
"""An object's size in every frame."""

Values = Float[np.ndarray, "S"]
"""A measure in every scored frame."""

PHASES: Mapping[str, str] = {
    "all": "all frames of all objects",
    "before": "of objects that reappear, the frames before they are gone for the first time",
    "after": "the frames after a reappearance",
    "after hidden": "those after the object was hidden behind something, the last time it was gone",
    "after outside": "those after it was outside the frame",
}
"""Phase → the frames that it holds."""


@dataclass(frozen=True)
class PhaseScores:
    """The scores of a method in one phase.

    Attributes:
        statistics: J and F: mean over the objects of the means over their frames; recall is the share of
            frames whose value is above 0.5. The decay is not defined.
        objects: Number of objects with frames in this phase.
        frames: Number of frames in this phase, over all objects.
    """

    statistics: Mapping[str, Statistics]
    objects: int
    frames: int

    @property
    def g(self) -> float:
        """G, the mean of J and F; NaN if the phase has no frames."""
        return j_and_f(self.statistics)


def phase_scores(scores: Scores, traces: ClipTraces) -> dict[str, PhaseScores]:
    """The scores of every phase of `PHASES`.

    Args:
        scores: Of occlusion clips under "davis-2017", with the values of every frame.
        traces: The visibility of every object, from `tinct.data.occlusion.files.read_visibility`.

    Raises:
        OptionError: The scores have no values per frame, or lack J or F.
        DatasetError: They are of other clips.
    """
    found: dict[str, list[dict[str, Statistics]]] = {phase: [] for phase in PHASES}
    frames = dict.fromkeys(PHASES, 0)
    for sequence in scores.sequences:
        for scored in sequence.objects:
            states, sizes = _trace_of(traces, sequence.name, scored.object_id)
            values, indices = _values(scored, sequence.name, len(states))
            for phase, flags in frames_of_phases(states, sizes).items():
                chosen = flags[indices]
                if chosen.any():
                    frames[phase] += int(chosen.sum())
                    found[phase].append({name: _statistics(of[chosen]) for name, of in values.items()})
    return {
        phase: PhaseScores(
            {name: Statistics.mean_of([entry[name] for entry in entries]) for name in ("J", "F")},
            len(entries),
            frames[phase],
        )
        for phase, entries in found.items()
    }


def frames_of_phases(states: States, sizes: Sizes) -> dict[str, Bool[np.ndarray, "T"]]:
    """The frames of one object that belong to each phase.

    Args:
        states: The object's visibility in every frame.
        sizes: The object's size in every frame.

    Returns:
        By phase, a flag per frame.
    """
    times = np.arange(len(states))
    gone = disappearances(states, sizes)
    back = states == Visibility.REAPPEARED
    last_kind = np.zeros(len(states), np.uint8)
    for disappearance in gone:
        last_kind[times > disappearance.last] = disappearance.kind
    first_gone = gone[0].first if gone and back.any() else 0
    before = (times < first_gone) & (states == Visibility.VISIBLE)
    return {
        "all": np.ones(len(states), np.bool_),
        "before": before,
        "after": back,
        "after hidden": back & (last_kind == Visibility.HIDDEN),
        "after outside": back & (last_kind == Visibility.OUTSIDE),
    }


def _trace_of(traces: ClipTraces, clip: str, object_id: int) -> tuple[States, Sizes]:
    if clip not in traces or object_id not in traces[clip]:
        raise DatasetError(
            f"Object {object_id} of {clip!r} was scored, but the visibility file does not know it; give the "
            "file that was written with these clips."
        )
    trace = traces[clip][object_id]
    return trace.states, trace.sizes


def _values(scored: ObjectScores, clip: str, frames: int) -> tuple[dict[str, Values], Int[np.ndarray, "S"]]:
    """Per measure the value of every scored frame, and the frames' indices, which are their names."""
    if scored.frames is None or not {"J", "F"} <= set(scored.frames.values):
        raise OptionError(
            f"The scores of {clip!r} lack the values of J and F per frame; give what `tinct evaluate` "
            "wrote, or `tinct score --json FILE --per-frame`."
        )
    indices = np.array([int(name) if name.isdigit() else frames for name in scored.frames.names])
    if (indices >= frames).any():
        raise DatasetError(
            f"{clip!r} was scored up to frame {scored.frames.names[-1]}, but its visibility is that of "
            f"{frames} frames; give the file that was written with these clips."
        )
    return {name: np.asarray(scored.frames.values[name]) for name in ("J", "F")}, indices


def _statistics(values: Values) -> Statistics:
    """Mean and recall; the decay is not defined, as the frames need not be consecutive."""
    of = Statistics.of_frames(values.tolist())
    return Statistics(of.mean, of.recall)
