"""How sure the frames of a run are, for its record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tinct.errors import OutputError
from tinct.inference.confidence import frame_confidence, most_helpful_frame
from tinct.io.json_files import reading
from tinct.io.masks import ObjectMasks


@dataclass
class Confidences:
    """Measures of the frames that were computed so far; see `tinct.inference.confidence`.

    Attributes:
        margins: Frame index → how clearly its labels are told apart.
        agreements: Frame index → how well two runs agree, where they met.
    """

    margins: dict[int, float] = field(default_factory=dict)
    agreements: dict[int, float] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], frames: Collection[int]) -> Confidences:
        """What an earlier call left in `run.json`, of some frames; OutputError if it is malformed."""
        with reading("The confidence in run.json", "a list", "Choose another folder.", OutputError):
            values = enumerate(record.get("margin", ()))
            margins = {i: float(value) for i, value in values if value is not None}
            agreements = {int(i): float(value) for i, value in record.get("agreement", {}).items()}
        return cls(*({i: each[i] for i in each if i in frames} for each in (margins, agreements)))

    def add(self, index: int, masks: ObjectMasks, agreed: float | None) -> None:
        """Measure a frame; `agreed` is the agreement of two runs that met there."""
        self.margins[index] = round(frame_confidence(masks), 4)
        if agreed is not None:
            self.agreements[index] = round(agreed, 4)

    def record(self, frames: int, prompts: Collection[int]) -> dict[str, Any]:
        """For `run.json`: per frame (null where it is not computed yet), and which to paint next."""
        least = {i: min(margin, self.agreements.get(i, 1.0)) for i, margin in self.margins.items()}
        found: dict[str, Any] = {"margin": [self.margins.get(i) for i in range(frames)]}
        if self.agreements:
            found["agreement"] = {str(i): value for i, value in sorted(self.agreements.items())}
        return found | {"most_helpful_frame": most_helpful_frame(least, prompts)}
