"""The runs of a project: what each was to compute, and how it ended.

A run that is resumed after a pause, a kill or a correction is recorded as a new one that continues the
old: it has a number of its own, so that each mask shows which prompts its computation had.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tinct.errors import OptionError
from tinct.inference.directions import Direction
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.project_file import ProjectFile

Status = Literal["queued", "starting", "running", "paused", "done", "cancelled", "failed"]

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
    start: int,
    direction: Direction,
    within: range,
    prompts: Sequence[int],
    *,
    streams: bool,
) -> tuple[FramePass, ...]:
    """The passes by which a run is computed.

    Args:
        start: The frame at which the run is requested to start; the nearest one of `within` is taken.
        direction: The requested direction; `both` means all of `within`.
        within: The frames that may be computed: all of the video, or the stretch between its in and out.
        prompts: The annotated frames.
        streams: Whether the method streams from frame to frame; one that sees the whole video has no
            direction, and its masks depend on every prompt.
    """
    begin, last = within[0], within[-1]
    start = min(max(start, begin), last)
    if not streams:
        wanted = {"forward": (start, last), "backward": (begin, start), "both": (begin, last)}[direction]
        return (FramePass(*wanted, "both"),)
    if direction == "forward":
        return (FramePass(start, last, "forward"),)
    if direction == "backward":
        return (FramePass(start, begin, "backward"),)
    if len(prompts) > 1:
        return (FramePass(begin, last, "both"),)
    # From a single prompt, two streaming passes give the same masks, and give them sooner.
    forward = (FramePass(max(prompts[0], begin), last, "forward"),) if prompts[0] <= last else ()
    backward = (FramePass(min(prompts[0] - 1, last), begin, "backward"),) if prompts[0] > begin else ()
    return forward + backward


class RunLog:
    """The runs of a project.

    Attributes:
        plans: By number, in order.
    """

    def __init__(self, file: ProjectFile) -> None:
        self.plans: dict[int, RunPlan] = {}
        self._ends: dict[int, tuple[Status, str]] = {}
        self._file = file
        for row in file.rows("SELECT * FROM runs ORDER BY number"):
            number, root, state, start, direction, passes, settings, status, message = row
            in_order = tuple(FramePass(**values) for values in json.loads(passes))
            config = _config_of(json.loads(settings))
            self.plans[number] = RunPlan(number, root, state, start, direction, in_order, config)
            if status is not None:
                self._ends[number] = status, message

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
            OutputError: The file cannot be written.
        """
        number = len(self.plans) + 1
        plan = RunPlan(number, number if root is None else root, state, start, direction, passes, config)
        in_order = json.dumps([asdict(frame_pass) for frame_pass in passes])
        row = (number, plan.root, state, start, direction, in_order, json.dumps(settings_of(config)))
        with self._file.transaction() as db:
            db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, NULL, '')", row)
        self.plans[number] = plan
        return plan

    def end(self, number: int, status: Status, message: str = "") -> None:
        """Record how a run ended, or that it is paused.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._ends.get(number) != (status, message):
            with self._file.transaction() as db:
                db.execute(
                    "UPDATE runs SET status = ?, message = ? WHERE number = ?", (status, message, number)
                )
            self._ends[number] = status, message

    def family(self, root: int) -> Iterator[int]:
        """The numbers of a run and of those that continue it."""
        return (number for number, plan in self.plans.items() if plan.root == root)


def _config_of(settings: Mapping[str, Any]) -> SegmenterConfig:
    """A config of these three alone: a stranger's file names no other files."""
    return SegmenterConfig(settings["method"], preset=settings["preset"], fine_tune=settings["fine_tune"])


def settings_of(config: SegmenterConfig) -> dict[str, str | None]:
    """What people choose of a segmenter on the page, as JSON; `SegmenterConfig(**settings)` reads it."""
    return {"method": config.method, "preset": config.preset, "fine_tune": config.fine_tune}


def streams(config: SegmenterConfig) -> bool:
    """Whether the method streams from frame to frame; OptionError if it or its preset does not exist."""
    from tinct import zoo
    from tinct.errors import near_match

    record = zoo.method_record(config.method)
    presets = record.presets_of(config.variant or record.default_variant)
    if config.preset not in presets:
        raise OptionError(f"There is no preset {config.preset!r}. {near_match(config.preset, presets)}")
    if config.fine_tune not in (None, "none") and not record.fine_tunes:
        raise OptionError(
            f"{config.method} does not fine-tune; leave fine-tuning out, or take another method."
        )
    return record.streams
