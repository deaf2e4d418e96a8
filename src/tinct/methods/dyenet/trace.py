"""The trace of a run of the loop: every decision as data, so that a person sees why.

Why an object was found in a frame, or not; which tracklet gave its mask; what was refused; and where two
objects looked so alike that an identity is in doubt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from tinct.methods.dyenet.linking import Contradiction, Link
from tinct.methods.dyenet.reid import Template
from tinct.methods.dyenet.tracklets import StartingPoint, Tracklet, Tubes

FORMAT = "tinct-explanation-1"
"""The `format` entry of a trace."""


class Outcome(StrEnum):
    """What was done with a starting point."""

    PROPAGATED = "propagated"
    COVERED = "its mask was known already"
    REFUSED = "refused"
    EMPTY = "the mask network saw nothing in its box"


@dataclass(frozen=True)
class Decision:
    """What was done with a starting point, and why.

    Attributes:
        start: The starting point.
        outcome: What was done.
        tracklet: The place of its tracklet, if it was propagated.
        contradiction: Why it was refused, if it was.
    """

    start: StartingPoint
    outcome: Outcome
    tracklet: int | None = None
    contradiction: Contradiction | None = None


@dataclass
class DecisionTrace:
    """What was decided, in order.

    Attributes:
        frame_names: The video's.
        object_ids: All objects.
        rho: The least similarity.
        doubt_margin: See `Options.doubt_margin`.
        decisions: Of all starting points.
        rounds: What was known after each round.
        without_proposals: The frames that had none.
        remarks: What else a person should know.
    """

    frame_names: Sequence[str]
    object_ids: tuple[int, ...]
    rho: float
    doubt_margin: float
    decisions: list[Decision] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    without_proposals: list[int] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def end_of_round(self, number: int, templates: Sequence[Template], tubes: Tubes) -> None:
        """Note what is known after a round; round 0 is that of the annotated masks.

        The share of masks retrieved is that of all (frame, object) that a starting point gave, annotated
        or found in a proposal, linked or covered; the ECCV paper counts these (25 % after one round).
        """
        pairs = max(1, len(self.frame_names) * len(self.object_ids))
        retrieved = {
            (d.start.frame, d.start.object_id)
            for d in self.decisions
            if d.outcome in (Outcome.PROPAGATED, Outcome.COVERED)
        }
        self.rounds.append(
            {
                "round": number,
                "starting_points": sum(d.start.round == number for d in self.decisions),
                "templates": {str(i): sum(t.object_id == i for t in templates) for i in self.object_ids},
                "retrieved_share": round(len(retrieved) / pairs, 4),
                "masks_share": round(sum(len(tube) for tube in tubes.values()) / pairs, 4),
            }
        )

    def as_json(self, tracklets: Sequence[Tracklet], links: Sequence[Link], tubes: Tubes) -> dict[str, Any]:
        """Everything, as JSON holds it; frames by their index."""
        return {
            "format": FORMAT,
            "frames": list(self.frame_names),
            "object_ids": list(self.object_ids),
            "rho": self.rho,
            "rounds": self.rounds,
            "starting_points": [self._decision(d) for d in self.decisions],
            "tracklets": [_tracklet(place, t) for place, t in enumerate(tracklets)],
            "links": [_link(link, tracklets[link.tracklet]) for link in links],
            "tubes": {str(i): _stretches(tubes, i) for i in self.object_ids},
            "without_proposals": self.without_proposals,
            "doubts": self._doubts(),
            "remarks": self.remarks,
        }

    def _doubts(self) -> list[dict[str, Any]]:
        """Which two objects were nearly as similar to the same boxes, in how many of those found."""
        found = [d.start for d in self.decisions if not d.start.annotated]
        pairs = Counter(
            tuple(sorted((start.object_id, start.runner_up_id)))
            for start in found
            if start.runner_up_id is not None and start.is_doubtful(self.doubt_margin)
        )
        return [
            {
                "object_ids": list(pair),
                "starting_points": count,
                "of": sum(start.object_id in pair for start in found),
            }
            for pair, count in sorted(pairs.items())
        ]

    def _decision(self, decision: Decision) -> dict[str, Any]:
        start = decision.start
        return {
            "round": start.round,
            "frame": start.frame,
            "object_id": start.object_id,
            "box": [round(edge, 1) for edge in start.box],
            "painted": start.annotated,
            "similarity": round(start.similarity, 4),
            "runner_up": None
            if start.runner_up_id is None
            else {"object_id": start.runner_up_id, "similarity": round(start.runner_up, 4)},
            "doubtful": start.is_doubtful(self.doubt_margin),
            "outcome": str(decision.outcome),
            "tracklet": decision.tracklet,
            "contradiction": _contradiction(decision.contradiction),
        }


def _tracklet(place: int, tracklet: Tracklet) -> dict[str, Any]:
    first, last = tracklet.span
    return {
        "tracklet": place,
        "object_id": tracklet.start.object_id,
        "round": tracklet.start.round,
        "start": tracklet.start.frame,
        "similarity": round(tracklet.start.similarity, 4),
        "first": first,
        "last": last,
        "stops": {"backward": str(tracklet.stops[0]), "forward": str(tracklet.stops[1])},
    }


def _link(link: Link, tracklet: Tracklet) -> dict[str, Any]:
    outcome = "refused" if not link.frames else "linked" if len(link.frames) == len(tracklet.masks) else "cut"
    return {
        "tracklet": link.tracklet,
        "outcome": outcome,
        "first": link.frames[0] if link.frames else None,
        "last": link.frames[-1] if link.frames else None,
        "contradiction": _contradiction(link.contradiction),
    }


def _contradiction(contradiction: Contradiction | None) -> dict[str, Any] | None:
    if contradiction is None:
        return None
    return asdict(contradiction) | {
        "kind": str(contradiction.kind),
        "amount": round(contradiction.amount, 4),
    }


def _stretches(tubes: Tubes, object_id: int) -> list[dict[str, int]]:
    """Which frames an object has masks on, and which tracklets gave them."""
    stretches: list[dict[str, int]] = []
    for frame, entry in sorted(tubes.get(object_id, {}).items()):
        last = stretches[-1] if stretches else None
        if last is not None and last["tracklet"] == entry.tracklet and last["last"] == frame - 1:
            last["last"] = frame
        else:
            stretches.append({"first": frame, "last": frame, "tracklet": entry.tracklet})
    return stretches
