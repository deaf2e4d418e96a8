"""Every run that was begun in a project: what it was to compute, and what became of it.

A run that is resumed after a pause, a kill or a correction is written down as a new one that continues
the old: it has a number of its own, and so each mask tells what its computation knew.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from tinct.errors import OptionError, near_match
from tinct.web.durable_log import DurableLog

Direction = Literal["forward", "backward", "both"]
Status = Literal["starting", "running", "paused", "done", "cancelled", "failed"]

ENDED: tuple[Status, ...] = ("done", "cancelled", "failed")
"""What a run does not come back from by itself."""


@dataclass(frozen=True)
class Settings:
    """With what a run computes; see `zoo.build_segmenter`."""

    method: str = "feelvos"
    preset: str = "default"
    fine_tune: str | None = None


@dataclass(frozen=True)
class Leg:
    """A stretch of frames that is computed in one go.

    Attributes:
        first: The first frame that is computed.
        last: The last one; before `first` where the leg goes backwards.
        direction: As `Session.run` takes it; `both` knows all painted frames.
    """

    first: int
    last: int
    direction: Direction

    @property
    def frames(self) -> range:
        """The frames in the order in which they come."""
        step = -1 if self.direction == "backward" else 1
        return range(self.first, self.last + step, step)


@dataclass(frozen=True)
class Plan:
    """A run as it was asked for.

    Attributes:
        number: From 1; never used again.
        root: The first run that this one continues; its own number if it continues none.
        state: The journal's state whose prompts it takes.
        start: The frame from which it was asked for.
        direction: As it was asked for.
        legs: What is computed, in this order.
        settings: With what.
    """

    number: int
    root: int
    state: int
    start: int
    direction: Direction
    legs: tuple[Leg, ...]
    settings: Settings = field(default_factory=Settings)

    @property
    def frames(self) -> list[int]:
        """Its frames in the order in which they are computed."""
        return [index for leg in self.legs for index in leg.frames]

    def knows(self, index: int) -> Direction:
        """Which painted frames the mask of a frame knows: those before it, after it, or all."""
        return next((leg.direction for leg in self.legs if index in leg.frames), "both")

    def without(self, finished: Container[int]) -> tuple[Leg, ...]:
        """The legs that remain once some of its frames are there: each from its first missing frame on."""
        missing = [(leg, next((i for i in leg.frames if i not in finished), None)) for leg in self.legs]
        return tuple(replace(leg, first=first) for leg, first in missing if first is not None)


def planned_legs(
    start: int, direction: Direction, frames: int, prompts: Sequence[int], *, streams: bool
) -> tuple[Leg, ...]:
    """How a run is computed.

    Args:
        start: The frame from which it is asked for.
        direction: Both ways means the whole video.
        frames: How many the video has.
        prompts: The painted frames.
        streams: Whether the method goes from frame to frame; one that sees the whole video knows no
            direction, and its masks know every painted frame.
    """
    last = frames - 1
    if not streams:
        wanted = {"forward": (start, last), "backward": (0, start), "both": (0, last)}[direction]
        return (Leg(*wanted, "both"),)
    if direction == "forward":
        return (Leg(start, last, "forward"),)
    if direction == "backward":
        return (Leg(start, 0, "backward"),)
    if len(prompts) > 1:
        return (Leg(0, last, "both"),)
    # From a single painted frame, two runs that show their masks at once give the same.
    first = prompts[0]
    backward = (Leg(first - 1, 0, "backward"),) if first else ()
    return (Leg(first, last, "forward"), *backward)


def checked_direction(text: str) -> Direction:
    """The direction of that name; another raises OptionError."""
    if text not in get_args(Direction):
        raise OptionError(f"There is no direction {text!r}. {near_match(text, get_args(Direction))}")
    return cast(Direction, text)


class RunLog:
    """The runs of a project.

    Attributes:
        plans: By number, in order.
    """

    def __init__(self, path: Path) -> None:
        self.plans: dict[int, Plan] = {}
        self._ends: dict[int, tuple[Status, str]] = {}
        self._log = DurableLog(path)
        for entry in self._log.entries:
            self._apply(entry)

    @property
    def latest(self) -> Plan | None:
        """The run that was begun last."""
        return self.plans[max(self.plans)] if self.plans else None

    def end_of(self, number: int) -> tuple[Status, str] | None:
        """(status, message) that was written down for a run; None if nothing was: it was cut short."""
        return self._ends.get(number)

    def begin(
        self,
        state: int,
        start: int,
        direction: Direction,
        legs: tuple[Leg, ...],
        settings: Settings,
        root: int | None = None,
    ) -> Plan:
        """Write a new run down; `root` is the first run that it continues.

        Raises:
            OutputError: It cannot be written.
        """
        number = len(self.plans) + 1
        plan = Plan(number, number if root is None else root, state, start, direction, legs, settings)
        self._write({"run": asdict(plan)})
        return plan

    def end(self, number: int, status: Status, message: str = "") -> None:
        """Write down what became of a run, or that it rests.

        Raises:
            OutputError: It cannot be written.
        """
        if self._ends.get(number) != (status, message):
            self._write({"end": number, "status": status, "message": message})

    def family(self, root: int) -> Iterator[int]:
        """The numbers of a run and of those that continue it."""
        return (number for number, plan in self.plans.items() if plan.root == root)

    def _write(self, entry: dict[str, Any]) -> None:
        self._log.append(entry)
        self._apply(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        if "run" in entry:
            run = entry["run"]
            legs = tuple(Leg(**leg) for leg in run["legs"])
            plan = Plan(**{**run, "legs": legs, "settings": Settings(**run["settings"])})
            self.plans[plan.number] = plan
        else:
            self._ends[entry["end"]] = (entry["status"], entry["message"])
