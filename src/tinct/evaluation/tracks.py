"""The objects of one sequence while it is scored: when each begins to count, and its values so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinct.errors import MaskError
from tinct.evaluation.protocols import Compatibility, Protocol
from tinct.evaluation.results import NAN, FrameScores, ObjectScores, Statistics
from tinct.io.masks import object_ids_of
from tinct.metrics import DEFAULT_BOUND_TH
from tinct.metrics.label_maps import score_objects
from tinct.metrics.temporal import ContourDescription, describe_contour, instability
from tinct.shapes import BinaryMask, LabelMap


@dataclass(frozen=True)
class Rules:
    """What is scored, and how.

    Attributes:
        protocol: Which frames and objects count.
        measures: Of "J", "F", "T".
        bound_th: The tolerance of F; see `tinct.metrics.contour_accuracy`.
        compatibility: The faults to reproduce, if any.
    """

    protocol: Protocol
    measures: tuple[str, ...]
    bound_th: float = DEFAULT_BOUND_TH
    compatibility: Compatibility | None = None

    @property
    def counts_in_first_frame(self) -> bool:
        """Whether the objects are those of frame 0, up to its highest id, and no others."""
        return self.compatibility is not None and self.compatibility.counts_in_first_frame

    @property
    def toolkit(self) -> str | None:
        """The toolkit whose faults are reproduced."""
        return None if self.compatibility is None else self.compatibility.name

    @property
    def t_steps(self) -> str | None:
        """Of which steps T is the mean (`Protocol.t_steps`); None if it is not measured."""
        if "T" not in self.measures:
            return None
        return (self.compatibility and self.compatibility.t_steps) or self.protocol.t_steps

    @property
    def angles_from_rows(self) -> bool:
        """Whether the shape contexts of T count angles as in the Matlab toolkit."""
        return self.compatibility is not None and self.compatibility.angles_from_rows

    @property
    def wraps_decay(self) -> bool:
        """Whether the decay of long sequences goes wrong as in the toolkit."""
        return self.compatibility is not None and self.compatibility.wraps_decay


@dataclass
class _Track:
    """One object's values so far, from its first scored frame on; the contour is the last one."""

    frame_names: list[str] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    contour: ContourDescription | None = None

    def add(self, measure: str, value: float) -> None:
        self.values.setdefault(measure, []).append(value)

    def step_to(self, contour: ContourDescription | None) -> float:
        """T of the step to this contour; NaN where it or the one before is None."""
        before, self.contour = self.contour, contour
        if before is None or self.contour is None:
            return NAN
        return instability(before, self.contour)


class Tracks:
    """The objects of a sequence as they turn up.

    Args:
        rules: What is scored, and how.
        groups: The group of each object id, where the protocol has groups.
    """

    def __init__(self, rules: Rules, groups: Mapping[int, str]) -> None:
        self._rules = rules
        self._groups = groups
        self._starts: dict[int, int] = {}
        self._true_ids: set[int] = set()
        self._predicted_first: dict[int, str] = {}
        self._tracks: dict[int, _Track] = {}
        self._given: dict[int, ContourDescription | None] = {}

    def meet(self, index: int, truth: LabelMap) -> None:
        """Learn which objects frame `index` of the truth shows, scored or not."""
        ids = self._ids_to_count(index, truth)
        self._true_ids.update(ids)
        for object_id in ids:
            self._starts.setdefault(object_id, index + int(self._rules.protocol.starts_after_truth))

    def start_from(self, given: LabelMap) -> None:
        """T of the first scored frame is that of the step from this one, whose label map was given."""
        self._given = {object_id: self._contour(given == object_id) for object_id in self._starts}

    def score(self, index: int, frame_name: str, prediction: LabelMap, truth: LabelMap) -> None:
        """Score the objects that have begun by frame `index`."""
        for object_id in object_ids_of(prediction):
            self._predicted_first.setdefault(object_id, frame_name)
            if not (self._rules.counts_in_first_frame or self._rules.protocol.starts_after_truth):
                self._starts.setdefault(object_id, index)
        ids = sorted(object_id for object_id, start in self._starts.items() if start <= index)
        measures = self._rules.measures
        region, contour = score_objects(
            prediction, truth, ids, contours="F" in measures, bound_th=self._rules.bound_th
        )
        for object_id, j, f in zip(ids, region.tolist(), contour.tolist(), strict=True):
            track = self._tracks.setdefault(object_id, _Track(contour=self._given.get(object_id)))
            track.frame_names.append(frame_name)
            if "J" in measures:
                track.add("J", j)
            if "F" in measures:
                track.add("F", f)
            if "T" in measures:
                track.add("T", track.step_to(self._contour(prediction == object_id)))

    def skip(self) -> None:
        """A frame has no prediction: the step over it is not scored either."""
        self._given.clear()
        for track in self._tracks.values():
            track.contour = None

    def end_with(self, frame_name: str, prediction: LabelMap) -> None:
        """Score the step to a last frame that J and F skip."""
        for object_id, track in self._tracks.items():
            track.frame_names.append(frame_name)
            track.add("T", track.step_to(self._contour(prediction == object_id)))

    def scores(self, sequence: str) -> tuple[ObjectScores, ...]:
        """The scores of every object of the truth, in the order of their ids.

        Raises:
            MaskError: A prediction shows an object that the truth never shows.
        """
        unknown = sorted(set(self._predicted_first) - self._true_ids)
        if unknown:
            shown = ", ".join(f"{i} (first in frame {self._predicted_first[i]})" for i in unknown)
            known = ", ".join(map(str, sorted(self._true_ids))) or "none"
            raise MaskError(
                f"The predictions of {sequence!r} show objects that the truth lacks: {shown}. The truth's "
                f"ids are {known}; give the objects these ids."
            )
        return tuple(
            self._object_scores(object_id, self._tracks[object_id])
            for object_id in sorted(self._true_ids & set(self._tracks))
        )

    def _contour(self, mask: BinaryMask) -> ContourDescription | None:
        return describe_contour(mask, from_rows=self._rules.angles_from_rows)

    def _ids_to_count(self, index: int, truth: LabelMap) -> tuple[int, ...]:
        if self._rules.protocol.merged:
            return (1,)
        if not self._rules.counts_in_first_frame:
            return object_ids_of(truth)
        return tuple(range(1, int(truth.max(initial=0)) + 1)) if index == 0 else ()

    def _object_scores(self, object_id: int, track: _Track) -> ObjectScores:
        statistics = {
            measure: Statistics.of_frames(values, wrap_at_256=self._rules.wraps_decay)
            for measure, values in track.values.items()
        }
        if "T" in statistics:
            statistics["T"] = Statistics(statistics["T"].mean)
        count = len(track.frame_names)
        values = {m: (*column, *[NAN] * (count - len(column))) for m, column in track.values.items()}
        frames = FrameScores(tuple(track.frame_names), values)
        return ObjectScores(object_id, statistics, frames, self._groups.get(object_id))
