"""The progress of a run, as the page shows it: frames done, frames per second, time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tinct.inference.directions import Direction
from tinct.web.run_log import ENDED, RunLog, RunPlan, Status

_SPEED_WINDOW = 12
"""Number of newest frames over which the speed is measured."""

INTERRUPTED = "The server ended during this run. Every finished mask is here; resume to go on."


@dataclass
class RunState:
    """The state of a run.

    Attributes:
        plan: The plan that is computed now.
        total: Number of frames that were requested.
        done: Number of those that are finished.
        status: The status as the page shows it.
        stage: The current stage, such as `segment` or `fine-tune`.
        stage_done: Steps done and in all of a stage without frames; (0, 0) otherwise.
        message: Why it failed or is paused.
    """

    plan: RunPlan
    total: int
    done: int = 0
    status: Status = "starting"
    stage: str = ""
    stage_done: tuple[int, int] = (0, 0)
    message: str = ""
    start: int = 0
    direction: Direction = "forward"
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_SPEED_WINDOW))

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.status in ENDED

    def add_frame(self) -> None:
        """Count a finished frame."""
        self.done = min(self.done + 1, self.total)
        self.status, self.stage, self.stage_done = "running", "segment", (0, 0)
        self._times.append(time.monotonic())

    def reset_speed(self) -> None:
        """Forget the times of past frames, as a pause would distort the speed."""
        self._times.clear()

    @property
    def fps(self) -> float | None:
        """Frames per second of the newest frames; None until there are two."""
        if len(self._times) < 2:
            return None
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-6)

    def document(self) -> dict[str, Any]:
        """The state as JSON for the page."""
        fps = self.fps
        left = None if fps is None or self.status != "running" else (self.total - self.done) / fps
        return {
            "number": self.plan.number,
            "root": self.plan.root,
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


def state_after_restart(runs: RunLog, finished: Callable[[int], set[int]]) -> RunState | None:
    """The latest run when a server starts; one that was interrupted counts as paused.

    Args:
        runs: The runs of the project.
        finished: The frames of a run, given by its number, that have a mask.
    """
    plan = runs.latest
    if plan is None:
        return None
    root = runs.plans[plan.root]
    end = runs.end_of(plan.number)
    status, message = end if end is not None else ("paused", INTERRUPTED)
    total = len(root.frames)
    done = total if status == "done" else len(finished(root.number) & set(root.frames))
    return RunState(plan, total, done, status, message=message, start=root.start, direction=root.direction)
