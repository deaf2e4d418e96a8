"""Which run the worker computes, and what the pages are told of it.

One run computes at a time. A run that rests (paused, or cut short by a killed server) is only written
down: its frames are on disk, and resuming it begins a new run for the frames that are missing.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from tinct.errors import OptionError, TinctError
from tinct.web.events import Events
from tinct.web.http_errors import CallError, ConflictError
from tinct.web.mask_store import ComputedMask
from tinct.web.project import Project
from tinct.web.run_log import Direction, Settings, Status, planned_legs
from tinct.web.run_state import RunState
from tinct.web.worker_process import ENDED, News, WorkerProcess

PATIENCE_S = 0.7
"""A worker that was told to stop and is in a long step has so long; then it is replaced."""

DIED = (
    "The computing process ended in the middle (out of memory, perhaps). Every finished mask is here. "
    "Resume to go on, or take a smaller video."
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Hand:
    """What the worker has in hand.

    Attributes:
        ticket: Of the order; no other order of this server has it.
        project: Whose run it is.
        order: As it was given.
    """

    ticket: int
    project: Project
    order: dict[str, Any]


class Runner:
    """The runs of all projects of a server.

    Args:
        command: Starts the worker.
        threads: That it may use.
        events: Told of what happens.
        on_frame: Called with each finished frame.
    """

    def __init__(
        self,
        command: Sequence[str],
        threads: int,
        events: Events,
        on_frame: Callable[[Project, int], None] = lambda project, index: None,
    ) -> None:
        self._events, self._on_frame = events, on_frame
        self._lock = threading.RLock()
        self._hand: _Hand | None = None
        self._tickets = itertools.count(1)
        self._stopping: set[int] = set()  # tickets that were cancelled, and are not known to have ended
        self.worker = WorkerProcess(command, threads, self._take_news)

    def computes(self, project: Project) -> bool:
        """Whether the worker has a run of the project in hand."""
        return self._hand is not None and self._hand.project is project

    # What people ask for

    def begin(self, project: Project, start: int, direction: Direction, settings: Settings) -> None:
        """Begin a run; one of the same project that is under way ends.

        Raises:
            OptionError: `start` lies outside the video, or there are no such settings.
            CallError: Nothing is painted.
            ConflictError: Another project is being computed.
            OutputError: The run cannot be written down.
        """
        project.check_frame(start)
        streams = _streams(settings)
        painted = project.taught()
        if not painted:
            raise CallError(
                "Nothing is painted yet, so there is nothing to look for. Paint an object on any frame, "
                "then run."
            )
        legs = planned_legs(start, direction, project.about.frames, list(painted), streams=streams)
        with self._lock:
            self._make_room(project)
            with project.lock:
                plan = project.runs.begin(project.journal.state, start, direction, legs, settings)
                project.run = RunState(plan, len(plan.frames), start=start, direction=direction)
            self._give(project)

    def resume(self, project: Project) -> None:
        """Go on with the run that rests, with what is painted now.

        Raises:
            ConflictError: None rests, or another project is being computed.
        """
        with self._lock, project.lock:
            run = project.run
            if run is None or run.status not in ("paused", "failed", "cancelled"):
                raise ConflictError("No run rests in this project, so none can go on. Begin one with run.")
            if self.computes(project):
                self.worker.order({"do": "resume"})
                run.status = "running" if run.done else "starting"
                run.rested()
                self._tell(project)
                return
            root = project.runs.plans[run.plan.root]
            finished = project.finished_frames(root.number)
            legs = root.without(finished)
            if not legs:
                self._settle(project, "done")
                return
            self._make_room(project)
            plan = project.runs.begin(
                project.journal.state, legs[0].first, run.direction, legs, root.settings, root.number
            )
            project.run = RunState(
                plan, run.total, len(finished & set(root.frames)), start=run.start, direction=run.direction
            )
            self._give(project)

    def pause(self, project: Project) -> None:
        """Rest after the frame that is being computed.

        Raises:
            ConflictError: Nothing is being computed in this project.
        """
        with self._lock, project.lock:
            run = project.run
            if run is None or not self.computes(project):
                raise ConflictError("Nothing is being computed in this project, so nothing can be paused.")
            self.worker.order({"do": "pause"})
            run.status = "paused"
            run.rested()
            project.runs.end(run.plan.number, "paused")
            self._tell(project)

    def cancel(self, project: Project) -> None:
        """End a run at once; its finished masks stay.

        Raises:
            ConflictError: There is none.
        """
        with self._lock, project.lock:
            run = project.run
            if run is None or run.ended:
                raise ConflictError("No run is under way in this project, so none can be cancelled.")
            if self.computes(project):
                self._stop_worker()
            self._settle(project, "cancelled")

    def close(self) -> None:
        """End the worker; a run that is under way is found cut short by the next server, and rests."""
        with self._lock:
            self._hand = None
        self.worker.close()

    # The worker

    def _make_room(self, project: Project) -> None:
        """End or lay aside what the worker has in hand."""
        if self._hand is None:
            return
        other = self._hand.project
        run = other.run
        if other is not project and run is not None and run.status != "paused":
            raise ConflictError(
                f"{other.about.name} is being computed, and one video is computed at a time. Pause or "
                "cancel it first, or wait for its end."
            )
        self._stop_worker()
        if other is project:
            self._settle(other, "cancelled")

    def _stop_worker(self) -> None:
        """Take the worker's run out of its hands; a worker in a long step is replaced."""
        assert self._hand is not None
        ticket, self._hand = self._hand.ticket, None
        self._stopping.add(ticket)
        with suppress(TinctError):  # it has ended by itself
            self.worker.order({"do": "cancel", "ticket": ticket})
        timer = threading.Timer(PATIENCE_S, self._lose_patience, args=(ticket,))
        timer.daemon = True
        timer.start()

    def _lose_patience(self, ticket: int) -> None:
        with self._lock:
            if ticket in self._stopping and self.worker.ready.is_set():
                self.worker.kill()

    def _give(self, project: Project) -> None:
        """Hand the project's run to the worker."""
        run = project.run
        assert run is not None
        plan, ticket = run.plan, next(self._tickets)
        order: dict[str, Any] = {
            "do": "run",
            "ticket": ticket,
            "run": plan.number,
            "video": str(project.video_path),
            "prompts": {index: str(path) for index, path in project.taught().items()},
            "masks": str(project.masks.folder),
            "states": str(project.folder / "states"),
            "legs": [asdict(leg) for leg in plan.legs],
            "settings": asdict(plan.settings),
        }
        run.stage = "prepare" if self.worker.ready.is_set() else "load"
        self._hand = _Hand(ticket, project, order)
        self._send(self._hand)
        self._tell(project)

    def _send(self, hand: _Hand) -> None:
        try:
            self.worker.order(hand.order)
        except TinctError as error:
            self._hand = None
            self._settle(hand.project, "failed", str(error))

    def _take_news(self, news: News) -> None:
        """What the worker says, in the order in which it said it."""
        try:
            with self._lock:
                self._heard(news)
        except Exception:
            _LOG.exception("what the worker said could not be taken: %s", news)

    def _heard(self, news: News) -> None:
        if news["news"] == ENDED:
            self._worker_ended()
            return
        if news["news"] == "ended":
            self._stopping.discard(news["ticket"])
        hand = self._hand
        if hand is None or news.get("ticket") != hand.ticket or hand.project.run is None:
            return
        project, run = hand.project, hand.project.run
        if news["news"] == "frame":
            self._take_mask(project, run, news["file"])
        elif news["news"] == "stage":
            if run.status == "starting":
                run.status = "running"
            run.stage, run.stage_done = news["stage"], (news["done"], news["total"])
            self._tell(project)
        elif news["news"] == "ended":
            self._hand = None
            self._settle(project, news["status"], news["message"])

    def _worker_ended(self) -> None:
        killed_by_us, hand = bool(self._stopping), self._hand
        self._stopping.clear()
        if hand is None:
            return
        if killed_by_us:  # the next run was waiting behind the one that would not stop
            self._send(hand)
            return
        self._hand = None
        self._settle(hand.project, "failed", DIED)

    def _take_mask(self, project: Project, run: RunState, file: str) -> None:
        mask = ComputedMask.named(file)
        assert mask is not None, file
        with project.lock:
            project.masks.note(mask)
            status = run.status
            run.frame_came()
            if status == "paused":  # this frame was under way when the pause came
                run.status = status
        self._on_frame(project, mask.index)
        self._events.tell(project.id, "frame", {"index": mask.index, "confidence": mask.confidence})
        self._tell(project)

    def _settle(self, project: Project, status: Status, message: str = "") -> None:
        """Write down what became of the project's run, and tell."""
        with project.lock:
            run = project.run
            assert run is not None
            run.status, run.message, run.stage, run.stage_done = status, message, "", (0, 0)
            try:
                project.runs.end(run.plan.number, status, message)
            except (
                TinctError
            ) as error:  # a full disk: the run is found cut short later, and its masks are there
                run.message = message or str(error)
        if status == "failed":
            self._events.tell(project.id, "error", {"error": run.message})
        self._tell(project)
        self._events.tell(project.id, "project")

    def _tell(self, project: Project) -> None:
        if project.run is not None:
            self._events.tell(project.id, "run", project.run.document())


def _streams(settings: Settings) -> bool:
    """Whether the method goes from frame to frame; OptionError for settings that do not exist."""
    from tinct import zoo
    from tinct.errors import near_match

    record = zoo.method_record(settings.method)
    if settings.preset not in zoo.PRESETS:
        raise OptionError(
            f"There is no preset {settings.preset!r}. {near_match(settings.preset, zoo.PRESETS)}"
        )
    if settings.fine_tune not in (None, "none") and not record.fine_tunes:
        raise OptionError(
            f"{settings.method} does not fine-tune; leave fine-tuning out, or take another method."
        )
    return record.streams
