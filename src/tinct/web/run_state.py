"""Where a run stands, as the page shows it: frames done, frames per second, time left."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tinct.web.run_log import ENDED, Direction, Plan, RunLog, Status

_SPEED_FRAMES = 12
"""The speed is that of the newest so many frames."""

CUT_SHORT = "The server ended during this run. Every finished mask is here; resume to go on."


@dataclass
class RunState:
    """A run on its way.

    Attributes:
        plan: What is computed now.
        total: How many frames the person asked for.
        done: How many of them are there.
        status: As the page shows it.
        stage: What is being done, such as `segment` or `fine-tune`.
        stage_done: How far the stage is, if it is none of frames; (0, 0) otherwise.
        message: Why it failed or rests.
    """

    plan: Plan
    total: int
    done: int = 0
    status: Status = "starting"
    stage: str = ""
    stage_done: tuple[int, int] = (0, 0)
    message: str = ""
    start: int = 0
    direction: Direction = "forward"
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_SPEED_FRAMES))

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED

    def frame_came(self) -> None:
        """One more frame is there."""
        self.done = min(self.done + 1, self.total)
        self.status, self.stage, self.stage_done = "running", "segment", (0, 0)
        self._times.append(time.monotonic())

    def rested(self) -> None:
        """The time until the next frame says nothing about the speed."""
        self._times.clear()

    @property
    def fps(self) -> float | None:
        """Frames per second of late; None until two are there."""
        if len(self._times) < 2:
            return None
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-6)

    def document(self) -> dict[str, Any]:
        """As the page receives it."""
        fps = self.fps
        left = None if fps is None or self.status != "running" else (self.total - self.done) / fps
        return {
            "number": self.plan.number,
            "status": self.status,
            "stage": self.stage,
            "stage_done": self.stage_done[0],
            "stage_total": self.stage_done[1],
            "direction": self.direction,
            "start": self.start,
            "done": self.done,
            "total": self.total,
            "fps": None if fps is None else round(fps, 2),
            "seconds_left": None if left is None else round(left, 1),
            "message": self.message,
        }


def state_after_restart(runs: RunLog, done: int) -> RunState | None:
    """The latest run as a server finds it that has just begun; one that was under way rests.

    Args:
        runs: Of the project.
        done: How many of the run's frames have a mask.
    """
    plan = runs.latest
    if plan is None:
        return None
    root = runs.plans[plan.root]
    end = runs.end_of(plan.number)
    status, message = end if end is not None else ("paused", CUT_SHORT)
    total = len(root.frames)
    return RunState(plan, total, done, status, message=message, start=root.start, direction=root.direction)
