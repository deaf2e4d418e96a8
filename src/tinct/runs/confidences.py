"""How sure the frames of a run are, for its record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from tinct.inference.confidence import frame_confidence, most_helpful_frame
from tinct.io.masks import ObjectMasks


@dataclass
class Confidences:
    """Measures of the frames that were computed so far; see `tinct.inference.confidence`.

    Attributes:
        margins: Frame index → how clearly its labels are separated.
        agreements: Frame index → how well two runs agree, where they met.
    """

    margins: dict[int, float] = field(default_factory=dict)
    agreements: dict[int, float] = field(default_factory=dict)

    def add(self, index: int, masks: ObjectMasks, agreed: float | None) -> dict[str, Any]:
        """Measure a frame; `agreed` is the agreement of two runs that met there. Its journal entry."""
        self.margins[index] = round(frame_confidence(masks), 4)
        if agreed is not None:
            self.agreements[index] = round(agreed, 4)
        return self._entry(index)

    def entries(self) -> list[dict[str, Any]]:
        """The journal entries of all frames."""
        return [self._entry(index) for index in self.margins]

    def _entry(self, index: int) -> dict[str, Any]:
        entry = {"frame": index, "margin": self.margins[index]}
        return entry | ({"agreement": self.agreements[index]} if index in self.agreements else {})

    def take_entries(self, entries: Iterable[Mapping[str, Any]], frames: Collection[int]) -> None:
        """Add what journal entries say of some frames; those that say nothing possible are passed over."""
        for entry in entries:
            index, margin, agreed = (entry.get(key) for key in ("frame", "margin", "agreement"))
            if type(index) is int and index in frames and _is_share(margin):
                self.margins[index] = margin
                if _is_share(agreed):
                    self.agreements[index] = agreed

    def take_record(self, record: Any, frames: Collection[int]) -> None:
        """Add what an earlier call left in `run.json`; frames without a possible value are left out.

        Args:
            record: As `record` returned it.
            frames: Those of the video.
        """
        if not isinstance(record, dict):
            return
        margins, agreed = record.get("margin"), record.get("agreement", {})
        if isinstance(margins, list) and isinstance(agreed, dict):
            self.take_entries(
                (
                    {"frame": index, "margin": margin, "agreement": agreed.get(str(index))}
                    for index, margin in enumerate(margins)
                ),
                frames,
            )

    def covers(self, indices: Iterable[int]) -> bool:
        """Whether all these frames were measured."""
        return all(index in self.margins for index in indices)

    def record(self, frames: int, prompts: Collection[int]) -> dict[str, Any]:
        """For `run.json`: per frame (null where it is not computed yet), and which to paint next."""
        least = {i: min(margin, self.agreements.get(i, 1.0)) for i, margin in self.margins.items()}
        found: dict[str, Any] = {"margin": [self.margins.get(i) for i in range(frames)]}
        if self.agreements:
            found["agreement"] = {str(i): value for i, value in sorted(self.agreements.items())}
        return found | {"most_helpful_frame": most_helpful_frame(least, prompts)}


def _is_share(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
