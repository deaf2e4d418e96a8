"""The runs of a project: what each was to compute, and how it ended.

A run that is resumed after a pause, a kill or a correction is recorded as a new one that continues the
old: it has a number of its own, so that each mask shows which prompts its computation had.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tinct.inference.directions import Direction
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.durable_log import DurableLog

Status = Literal["starting", "running", "paused", "done", "cancelled", "failed"]

ENDED: tuple[Status, ...] = ("done", "cancelled", "failed")
"""Statuses of runs that go on only if someone resumes them."""


@dataclass(frozen=True)
class FramePass:
    """One pass over consecutive frames, forwards or backwards.

    Attributes:
        first: The first frame that is computed.
        last: The last one; before `first` in a backward pass.
        direction: As `Session.run` takes it; `both` uses the prompts of all frames.
    """

    first: int
    last: int
    direction: Direction

    @property
    def frames(self) -> range:
        """The frames in the order in which they are computed."""
        step = -1 if self.direction == "backward" else 1
        return range(self.first, self.last + step, step)


@dataclass(frozen=True)
class RunPlan:
    """A run as it was requested.

    Attributes:
        number: From 1; never used again.
        root: The first run that this one continues; its own number if it continues none.
        state: The journal's state whose prompts it uses.
        start: The frame at which it was requested to start.
        direction: The requested direction.
        passes: What is computed, in this order.
        config: The segmenter.
    """

    number: int
    root: int
    state: int
    start: int
    direction: Direction
    passes: tuple[FramePass, ...]
    config: SegmenterConfig = field(default_factory=SegmenterConfig)

    @property
    def frames(self) -> list[int]:
        """Its frames in the order in which they are computed."""
        return [index for frame_pass in self.passes for index in frame_pass.frames]

    def direction_at(self, index: int) -> Direction:
        """The direction in which a frame is computed, which decides on which prompts its mask depends."""
        return next(
            (frame_pass.direction for frame_pass in self.passes if index in frame_pass.frames), "both"
        )

    def remaining_passes(self, finished: Container[int]) -> tuple[FramePass, ...]:
        """The passes without their finished frames: each from its first missing frame on."""
        missing = [
            (frame_pass, next((i for i in frame_pass.frames if i not in finished), None))
            for frame_pass in self.passes
        ]
        return tuple(replace(frame_pass, first=first) for frame_pass, first in missing if first is not None)


def plan_passes(
    start: int, direction: Direction, frames: int, prompts: Sequence[int], *, streams: bool
) -> tuple[FramePass, ...]:
    """The passes by which a run is computed.

    Args:
        start: The frame at which the run is requested to start.
        direction: The requested direction; `both` means the whole video.
        frames: Number of frames of the video.
        prompts: The annotated frames.
        streams: Whether the method streams from frame to frame; one that sees the whole video has no
            direction, and its masks depend on every prompt.
    """
    last = frames - 1
    if not streams:
        wanted = {"forward": (start, last), "backward": (0, start), "both": (0, last)}[direction]
        return (FramePass(*wanted, "both"),)
    if direction == "forward":
        return (FramePass(start, last, "forward"),)
    if direction == "backward":
        return (FramePass(start, 0, "backward"),)
    if len(prompts) > 1:
        return (FramePass(0, last, "both"),)
    # From a single prompt, two streaming passes give the same masks, and give them sooner.
    first = prompts[0]
    backward = (FramePass(first - 1, 0, "backward"),) if first else ()
    return (FramePass(first, last, "forward"), *backward)


class RunLog:
    """The runs of a project.

    Attributes:
        plans: By number, in order.
    """

    def __init__(self, path: Path) -> None:
        self.plans: dict[int, RunPlan] = {}
        self._ends: dict[int, tuple[Status, str]] = {}
        self._log = DurableLog(path)
        for entry in self._log.entries:
            self._apply(entry)

    @property
    def latest(self) -> RunPlan | None:
        """The newest run."""
        return self.plans[max(self.plans)] if self.plans else None

    def end_of(self, number: int) -> tuple[Status, str] | None:
        """The recorded (status, message) of a run; None if there is none: the run was interrupted."""
        return self._ends.get(number)

    def begin(
        self,
        state: int,
        start: int,
        direction: Direction,
        passes: tuple[FramePass, ...],
        config: SegmenterConfig,
        root: int | None = None,
    ) -> RunPlan:
        """Record a new run; `root` is the first run that it continues.

        Raises:
            OutputError: The log cannot be written.
        """
        number = len(self.plans) + 1
        plan = RunPlan(number, number if root is None else root, state, start, direction, passes, config)
        self._write({"run": _plan_json(plan)})
        return plan

    def end(self, number: int, status: Status, message: str = "") -> None:
        """Record how a run ended, or that it is paused.

        Raises:
            OutputError: The log cannot be written.
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
            plan = _read_plan(entry["run"])
            self.plans[plan.number] = plan
        else:
            self._ends[entry["end"]] = (entry["status"], entry["message"])


def _plan_json(plan: RunPlan) -> dict[str, Any]:
    """The entry of a plan; the file calls the passes `legs`, and the config `settings`."""
    entry = {"legs" if name == "passes" else name: value for name, value in asdict(plan).items()}
    del entry["config"]
    return {**entry, "settings": settings_of(plan.config)}


def _read_plan(entry: dict[str, Any]) -> RunPlan:
    rest = {name: value for name, value in entry.items() if name not in ("legs", "settings")}
    passes = tuple(FramePass(**values) for values in entry["legs"])
    return RunPlan(**rest, passes=passes, config=SegmenterConfig(**entry["settings"]))


def settings_of(config: SegmenterConfig) -> dict[str, str | None]:
    """What people choose of a segmenter on the page, as JSON; `SegmenterConfig(**settings)` reads it."""
    return {"method": config.method, "preset": config.preset, "fine_tune": config.fine_tune}
