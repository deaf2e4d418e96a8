"""Linking: tracklets become one tube per object, the surest first, unless they contradict (section 2.2).

The text says that a tracklet is merged with one of higher order "if there is no contradiction between
them", and not what a contradiction is. Here it is one of two things (inferred):

- with its own identity: on the frames that both have, the mean overlap (intersection over union) with
  the tube is below a half;
- with another identity: on some frame it covers more than half of a mask that another object's tube
  holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tinct.errors import OptionError, near_match
from tinct.methods.dyenet.tracklets import (
    Overlap,
    RoiMask,
    StartingPoint,
    Tracklet,
    TubeMask,
    Tubes,
    overlaps,
)

PREFERENCES = ("rank", "similar")


@dataclass(frozen=True)
class LinkingRules:
    """When tracklets contradict, and which mask is kept where they agree.

    Attributes:
        least_iou: With the own tube.
        most_share: Of another object's mask.
        trim: Beyond the paper: a tracklet that contradicts far from its starting point is cut there,
            not refused as a whole.
        prefer: Where several agreeing tracklets have a mask: "rank" keeps that of the more similar
            starting point; "similar" that whose own box on that frame is by more than `overrule_margin`
            more similar to the object's templates (beyond the paper).
        overrule_margin: Beyond the paper: where a tracklet lies elsewhere than its object's tube, and its
            mask's box is by more than this more similar to the object's templates than the tube's, it
            takes the tube's place on that frame: the tube has drifted. 0 never looks.

    Raises:
        OptionError: No such preference, or a share outside [0, 1].
    """

    least_iou: float = 0.5
    most_share: float = 0.5
    trim: bool = False
    prefer: str = "rank"
    overrule_margin: float = 0.0

    def __post_init__(self) -> None:
        if self.prefer not in PREFERENCES:
            raise OptionError(f"Unknown preference {self.prefer!r}. {near_match(self.prefer, PREFERENCES)}")
        if not (0 <= self.least_iou <= 1 and 0 <= self.most_share <= 1):
            raise OptionError(
                f"least_iou = {self.least_iou} and most_share = {self.most_share} came; they are shares, "
                "in [0, 1]."
            )

    @property
    def compares_masks(self) -> bool:
        """Whether the similarity of every mask of a tracklet is asked for, not of its start alone."""
        return self.overrule_margin > 0 or self.prefer == "similar"

    def is_more_alike(self, similarity: float | None, known: TubeMask) -> bool:
        """Whether a mask's box looks clearly more like the object than the known mask's."""
        if similarity is None or known.similarity is None:
            return False
        return similarity > known.similarity + self.overrule_margin


class Clash(StrEnum):
    """What kind of contradiction was found."""

    OWN = "it lies elsewhere than the object's own tube"
    OTHER = "it lies on another object"


@dataclass(frozen=True)
class Contradiction:
    """A contradiction, for the record.

    Attributes:
        kind: With the own tube, or with another object's.
        frame: The first one on which it shows, seen from the starting point.
        with_id: The object in whose tube it is.
        amount: The overlap, or the share covered.
    """

    kind: Clash
    frame: int
    with_id: int
    amount: float


@dataclass(frozen=True)
class Link:
    """What became of a tracklet.

    Attributes:
        tracklet: Its place in the list of all.
        frames: The frames that were linked; none if it was refused.
        contradiction: Why it was refused or cut, if it was.
    """

    tracklet: int
    frames: tuple[int, ...]
    contradiction: Contradiction | None = None


def linked(tracklets: Sequence[Tracklet], rules: LinkingRules) -> tuple[Tubes, list[Link]]:
    """Tubes of all tracklets, the best ranked first; annotated ones are never refused.

    Returns:
        The tubes of all objects, and what became of each tracklet, in the order of linking.
    """
    tubes: dict[int, dict[int, TubeMask]] = {t.start.object_id: {} for t in tracklets}
    order = sorted(range(len(tracklets)), key=lambda place: tracklets[place].start.rank)
    links = [join(tracklets[place], place, tubes, rules) for place in order]
    return tubes, links


def join(tracklet: Tracklet, place: int, tubes: dict[int, dict[int, TubeMask]], rules: LinkingRules) -> Link:
    """Put a tracklet into its object's tube, as far as nothing contradicts it.

    Args:
        tracklet: One that ranks below those whose masks the tubes hold.
        place: In the list of all tracklets.
        tubes: Are changed.
        rules: When tracklets contradict each other.
    """
    frames, contradiction, overruled = admitted(tracklet, tubes, rules)
    tube = tubes.setdefault(tracklet.start.object_id, {})
    for frame in frames:
        entry = tube.get(frame)
        similarity = tracklet.similarities.get(frame)
        if entry is None or frame in overruled or _prefers(tracklet.start, similarity, entry, frame, rules):
            tube[frame] = TubeMask(tracklet.masks[frame], place, tracklet.start, similarity)
    return Link(place, frames, contradiction)


def _prefers(
    new: StartingPoint, similarity: float | None, known: TubeMask, frame: int, rules: LinkingRules
) -> bool:
    """Whether the new tracklet's mask takes the place of the known one's, which ranks higher or alike."""
    if new.annotated == known.start.annotated and new.similarity == known.start.similarity:
        return abs(frame - new.frame) < abs(frame - known.start.frame)
    return rules.prefer == "similar" and rules.is_more_alike(similarity, known)


def admitted(
    tracklet: Tracklet, tubes: Tubes, rules: LinkingRules
) -> tuple[tuple[int, ...], Contradiction | None, frozenset[int]]:
    """The frames of a tracklet that may join its object's tube, and what contradicts the others.

    The third is on which frames it overrules the tube.
    """
    frames = tuple(sorted(tracklet.masks))
    if tracklet.start.annotated:
        return frames, None, frozenset()
    start = tracklet.start
    own = _overlaps_with_own(tracklet.masks, start.object_id, tubes)
    overruled = _overruled(tracklet.similarities, own, tubes.get(start.object_id, {}), rules)
    own = {frame: iou for frame, iou in own.items() if frame not in overruled}
    against_own, against_others = _disagreements(tracklet.masks, start.object_id, tubes, own, rules)
    if rules.trim:
        return *_trimmed(tracklet, frames, [*against_own, *against_others]), overruled
    mean = sum(own.values()) / len(own) if own else 1.0
    if mean < rules.least_iou:
        first = nearest_to(start.frame, list(own))
        return (), Contradiction(Clash.OWN, first, start.object_id, mean), frozenset()
    if against_others:
        return (), min(against_others, key=lambda c: _distance(tracklet, c)), frozenset()
    return frames, None, overruled


def _overruled(
    similarities: Mapping[int, float],
    own: Mapping[int, float],
    tube: Mapping[int, TubeMask],
    rules: LinkingRules,
) -> frozenset[int]:
    """The frames on which the tube lies elsewhere, and looks clearly less like the object."""
    if not rules.overrule_margin:
        return frozenset()
    return frozenset(
        frame
        for frame, iou in own.items()
        if iou < rules.least_iou and rules.is_more_alike(similarities.get(frame), tube[frame])
    )


def nearest_to(frame: int, frames: Sequence[int]) -> int:
    """The nearest of some frames; of two that are equally near, the earlier."""
    return min(frames, key=lambda other: (abs(other - frame), other))


def _distance(tracklet: Tracklet, contradiction: Contradiction) -> tuple[int, int, int]:
    away = abs(contradiction.frame - tracklet.start.frame)
    return away, contradiction.frame, contradiction.with_id


def _trimmed(
    tracklet: Tracklet, frames: tuple[int, ...], found: Sequence[Contradiction]
) -> tuple[tuple[int, ...], Contradiction | None]:
    """The frames around the starting point up to the first contradiction on either side."""
    if not found:
        return frames, None
    start, at = tracklet.start.frame, {c.frame for c in found}
    first = max((f for f in at if f <= start), default=frames[0] - 1)
    last = min((f for f in at if f >= start), default=frames[-1] + 1)
    return tuple(f for f in frames if first < f < last), min(found, key=lambda c: _distance(tracklet, c))


def _overlaps_with_own(masks: Mapping[int, RoiMask], own_id: int, tubes: Tubes) -> dict[int, float]:
    """The overlap with the own tube, on the frames that both have."""
    frames, overlap = _against(masks, tubes.get(own_id, {}))
    return {frame: o.iou for frame, o in zip(frames, overlap, strict=True)}


def _disagreements(
    masks: Mapping[int, RoiMask], own_id: int, tubes: Tubes, own: Mapping[int, float], rules: LinkingRules
) -> tuple[list[Contradiction], list[Contradiction]]:
    """Frame by frame, contradictions with the own tube (`own`: the overlaps) and with those of others."""
    against_own = [
        Contradiction(Clash.OWN, frame, own_id, iou) for frame, iou in own.items() if iou < rules.least_iou
    ]
    against_others = []
    for other_id in sorted(set(tubes) - {own_id}):
        frames, overlap = _against(masks, tubes[other_id])
        shares = {frame: o.share_of_second for frame, o in zip(frames, overlap, strict=True)}
        against_others += [
            Contradiction(Clash.OTHER, frame, other_id, share)
            for frame, share in shares.items()
            if share > rules.most_share
        ]
    return against_own, against_others


def _against(masks: Mapping[int, RoiMask], tube: Mapping[int, TubeMask]) -> tuple[list[int], list[Overlap]]:
    """The frames that both have, and how the masks overlap there."""
    frames = sorted(frame for frame in masks if frame in tube)
    return frames, overlaps([masks[f] for f in frames], [tube[f].mask for f in frames])


def is_covered(start: StartingPoint, tubes: Tubes, most_iou: float) -> bool:
    """Whether the object's tube has this very mask already, so that nothing is to be propagated.

    Args:
        start: Some starting point.
        tubes: What is known.
        most_iou: Above which two masks are one (inferred: 0.5; the text says "overlaps strongly").
    """
    entry = tubes.get(start.object_id, {}).get(start.frame)
    return entry is not None and overlaps([start.mask], [entry.mask])[0].iou > most_iou


def contradiction_at_start(start: StartingPoint, tubes: Tubes, rules: LinkingRules) -> Contradiction | None:
    """What a starting point's own mask contradicts among masks that rank higher, if anything.

    Linking would refuse such a tracklet after all the work of propagating it.
    """
    higher = {
        object_id: {start.frame: tube[start.frame]}
        for object_id, tube in tubes.items()
        if start.frame in tube and tube[start.frame].start.rank < start.rank
    }
    masks = {start.frame: start.mask}
    own = _overlaps_with_own(masks, start.object_id, higher)
    tube = higher.get(start.object_id, {})
    overruled = _overruled({start.frame: start.similarity}, own, tube, rules)
    own = {frame: iou for frame, iou in own.items() if frame not in overruled}
    against_own, against_others = _disagreements(masks, start.object_id, higher, own, rules)
    return next(iter([*against_own, *against_others]), None)
