"""The per-frame values of a sequence on one time axis for all of its objects."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinct.evaluation.results import ObjectScores, Scores, SequenceScores
from tinct.io.natural_order import natural_order
from tinct.shapes import Float64, holds_arrays


@holds_arrays
@dataclass(frozen=True, repr=False)
class Timeline:
    """The values of one sequence, frame by frame.

    Attributes:
        sequence: The name of the sequence.
        frame_names: The frames in which at least one object has a value, in order.
        objects: By object id and measure, float64 [T]: a value per frame, or NaN.
    """

    sequence: str
    frame_names: tuple[str, ...]
    objects: Mapping[int, Mapping[str, Float64[np.ndarray, "T"]]]

    def frame_means(self, measure: str) -> Float64[np.ndarray, "T"]:
        """The mean over the objects of every frame; NaN if no object has a value."""
        columns = [values[measure] for values in self.objects.values() if measure in values]
        if not columns:
            return np.full(len(self.frame_names), np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of frames that are NaN for every object
            return np.asarray(np.nanmean(columns, axis=0), np.float64)


def timelines(scores: Scores) -> tuple[Timeline, ...]:
    """A timeline for every sequence with per-frame values."""
    found = (_timeline(sequence) for sequence in scores.sequences)
    return tuple(timeline for timeline in found if timeline is not None)


def _timeline(sequence: SequenceScores) -> Timeline | None:
    frames = {name for of in sequence.objects if of.frames is not None for name in of.frames.names}
    names = natural_order(frames)
    if not names:
        return None
    position = {name: index for index, name in enumerate(names)}
    objects = {of.object_id: _columns(of, position) for of in sequence.objects if of.frames is not None}
    return Timeline(sequence.name, tuple(names), objects)


def _columns(scores: ObjectScores, position: Mapping[str, int]) -> dict[str, Float64[np.ndarray, "T"]]:
    columns: dict[str, Float64[np.ndarray, "T"]] = {}
    if scores.frames is None:
        return columns
    rows = [position[name] for name in scores.frames.names]
    for measure, values in scores.frames.values.items():
        columns[measure] = np.full(len(position), np.nan)
        columns[measure][rows] = values
    return columns
