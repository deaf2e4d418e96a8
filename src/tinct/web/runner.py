"""The run that the worker computes, and its progress as events for the pages.

One run computes at a time; those of other projects are queued. A run that is paused, or interrupted by a
killed server, is only recorded: its frames are on disk, and resuming it begins a new run for the frames that
are missing, or that the prompts of now would change.
"""

from __future__ import annotations

import base64
import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from tinct.errors import OptionError, TinctError
from tinct.inference.directions import Direction
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.events import Events
from tinct.web.http_errors import CallError, ConflictError
from tinct.web.mask_store import ComputedMask
from tinct.web.project import Project
from tinct.web.project_document import run_document
from tinct.web.run_log import Status, plan_passes, settings_of, streams
from tinct.web.run_state import RunState
from tinct.web.worker_process import PROCESS_ENDED, WorkerMessage, WorkerProcess

STOP_TIMEOUT_S = 0.7
"""Seconds that a cancelled worker has to end its current step before it is replaced."""

QUIET_S = 0.5
"""Seconds without a further stroke after which a run that is under way takes new prompts up."""

DIED = (
    "The computing process ended in the middle (out of memory, perhaps). Every finished mask is here. "
    "Resume to go on, or take a smaller video."
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _ActiveRun:
    """The run that was sent to the worker.

    Attributes:
        ticket: Identifies the command; unique within this server.
        project: The project that the run belongs to.
        command: The message that was sent.
    """

    ticket: int
    project: Project
    command: WorkerMessage


class Runner:
    """The runs of all projects of a server.

    Args:
        command: The command line that starts the worker.
        threads: Number of threads that the worker may use.
        events: Where progress is published.
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
        self._active: _ActiveRun | None = None
        self._queue: list[Project] = []
        self._follow_timer = threading.Timer(0, lambda: None)
        self._tickets = itertools.count(1)
        self._stopping: set[int] = set()  # tickets that were cancelled and have not ended yet
        self.worker = WorkerProcess(command, threads, self._on_message)

    def computes(self, project: Project) -> bool:
        """Whether the worker computes a run of the project."""
        return self._active is not None and self._active.project is project

    # What people ask for

    def begin(
        self,
        project: Project,
        start: int,
        direction: Direction,
        config: SegmenterConfig,
        within: range | None = None,
    ) -> None:
        """Begin a run, or queue it; the current one of the same project is cancelled.

        Args:
            project: The project.
            start: The frame to begin at.
            direction: Where to go from there.
            config: The segmenter.
            within: The frames that may be computed, one after the other; None for all.

        Raises:
            OptionError: `start` or `within` lies outside the video, or there is no such method or preset.
            CallError: No frame is annotated.
            OutputError: The run cannot be recorded.
        """
        within = range(project.info.frames) if within is None else within
        for index in (start, within.start, within.stop - 1):
            project.check_frame(index)
        if not within:
            raise OptionError(f"The frames {within.start} to {within.stop - 1} are none; put in before out.")
        in_order = streams(config)
        annotated = project.prompt_frames()
        if not annotated:
            raise CallError(
                "Nothing is painted yet, so there is nothing to look for. Paint an object on any frame, "
                "then run."
            )
        passes = plan_passes(start, direction, within, annotated, streams=in_order)
        with self._lock, project.lock:
            if self.computes(project) and project.run is not None:
                self._stop_worker()
                project.runs.end(project.run.plan.number, "cancelled")
            plan = project.runs.begin(project.journal.state, start, direction, passes, config)
            project.run = RunState(plan, len(plan.frames), start=start, direction=direction)
            self._submit(project)

    def resume(self, project: Project) -> None:
        """Resume the paused run; if prompts have changed, from the earliest frame that they change.

        Raises:
            ConflictError: No run is paused.
        """
        with self._lock, project.lock:
            run = project.run
            if run is None or run.status not in ("paused", "failed", "cancelled"):
                raise ConflictError("No run rests in this project, so none can go on. Begin one with run.")
            if project.journal.verdicts.get(run.plan.root) == "rejected":
                project.judge(run.plan.root, None)
            if self.computes(project) and not self._changed(project):
                self.worker.send({"do": "resume"})
                run.status = "running" if run.done else "starting"
                run.reset_speed()
                self._publish_run(project)
            else:
                self._begin_again(project)

    def follow_prompts(self, project: Project) -> None:
        """After a change of the project: a run that is under way begins again where its prompts changed.

        It does so when nothing more was changed for `QUIET_S`, since several strokes often make one change.
        """
        with self._lock, project.lock:
            if self.computes(project) and project.run is not None and self._changed(project):
                self._follow_timer.cancel()
                waiting = (project, project.run.plan.root)
                self._follow_timer = threading.Timer(QUIET_S, self._begin_again_quietly, args=waiting)
                self._follow_timer.daemon = True
                self._follow_timer.start()

    def _begin_again_quietly(self, project: Project, root: int) -> None:
        """Begin a run again that has gone on, or came to its end, since it was painted."""
        with self._lock, project.lock:
            run = project.run
            if run is None or run.plan.root != root or run.status not in ("starting", "running", "done"):
                return
            try:
                if self._changed(project):
                    self._begin_again(project)
            except TinctError as error:
                self._events.publish(project.id, "error", {"error": str(error)})

    def _changed(self, project: Project) -> list[int]:
        """The frames whose prompts differ from those of the project's run."""
        return [] if project.run is None else project.journal.prompts_changed_since(project.run.plan.state)

    def _begin_again(self, project: Project) -> None:
        """Go on with the project's run, as a new one for all frames that the prompts of now would change."""
        run = project.run
        assert run is not None
        changed = self._changed(project)
        if self.computes(project):
            self._stop_worker()
        root = project.runs.plans[run.plan.root]
        finished = project.finished_frames(root.number)
        passes = root.remaining_passes(finished)
        if not passes or not project.prompt_frames():
            self._finish(project, "done" if not passes else "cancelled")
            return
        plan = project.runs.begin(
            project.journal.state, passes[0].first, run.direction, passes, root.config, root.number
        )
        done = len(finished & set(root.frames))
        project.run = RunState(plan, run.total, done, start=run.start, direction=run.direction)
        if changed:
            frames = ", ".join(map(str, changed[:5])) + (" ..." if len(changed) > 5 else "")
            text = f"Painted since this run began: frame {frames}. It goes on from frame {passes[0].first}."
            self._events.publish(project.id, "notice", {"text": text})
        self._submit(project)

    def pause(self, project: Project) -> None:
        """Pause after the frame that is being computed; queued runs of other projects go first then.

        Raises:
            ConflictError: Nothing is being computed in this project.
        """
        with self._lock, project.lock:
            run = project.run
            if run is None or not self.computes(project):
                raise ConflictError("Nothing is being computed in this project, so nothing can be paused.")
            self.worker.send({"do": "pause"})
            run.status = "paused"
            run.reset_speed()
            project.runs.end(run.plan.number, "paused")
            self._publish_run(project)
        self._start_next()

    def cancel(self, project: Project) -> None:
        """End the run at once; its finished masks stay.

        Raises:
            ConflictError: No run is under way.
        """
        with self._lock, project.lock:
            run = project.run
            if run is None or run.ended:
                raise ConflictError("No run is under way in this project, so none can be cancelled.")
            if self.computes(project):
                self._stop_worker()
            self._finish(project, "cancelled")

    def close(self) -> None:
        """End the worker; the next server finds unfinished runs interrupted, and shows them as paused."""
        with self._lock:
            self._active = None
            self._queue.clear()
            self._follow_timer.cancel()
        self.worker.close()

    # The worker

    def _is_free(self) -> bool:
        """Whether another run may begin: the worker computes nothing, or is paused."""
        run = None if self._active is None else self._active.project.run
        return run is None or run.status == "paused"

    def _start_next(self) -> None:
        """Begin the run that was queued first, if the worker is free."""
        with self._lock:
            while self._queue and self._is_free():
                project = self._queue.pop(0)
                with project.lock:
                    if project.run is None or project.run.status != "queued":
                        continue
                    if self._changed(project):
                        self._begin_again(project)
                    else:
                        self._submit(project)

    def _stop_worker(self) -> None:
        """Cancel the worker's run; a worker in a long step is replaced after `STOP_TIMEOUT_S`."""
        assert self._active is not None
        ticket, self._active = self._active.ticket, None
        self._stopping.add(ticket)
        with suppress(TinctError):  # it has already ended
            self.worker.send({"do": "cancel", "ticket": ticket})
        timer = threading.Timer(STOP_TIMEOUT_S, self._kill_if_stopping, args=(ticket,))
        timer.daemon = True
        timer.start()

    def _kill_if_stopping(self, ticket: int) -> None:
        with self._lock:
            if ticket in self._stopping and self.worker.ready.is_set():
                self.worker.kill()

    def _submit(self, project: Project) -> None:
        """Send the project's run to the worker, or queue it."""
        run = project.run
        assert run is not None
        if not self._is_free():
            run.status = "queued"
            self._queue = [each for each in self._queue if each is not project] + [project]
            self._publish_run(project)
            return
        if self._active is not None:
            self._stop_worker()
        plan, ticket = run.plan, next(self._tickets)
        prompts = {index: base64.b64encode(png).decode() for index, png in project.prompt_pngs().items()}
        command: WorkerMessage = {
            "do": "run",
            "ticket": ticket,
            "run": plan.number,
            "video": str(project.video_path),
            "prompts": prompts,
            "states": str(project.scratch / "states"),
            "passes": [asdict(frame_pass) for frame_pass in plan.passes],
            "settings": settings_of(plan.config),
            "soft": project.file.meta("soft_masks") is True,
        }
        run.status = "starting"
        run.stage = "prepare" if self.worker.ready.is_set() else "load"
        self._active = _ActiveRun(ticket, project, command)
        self._send(self._active)
        self._publish_run(project)

    def _send(self, active: _ActiveRun) -> None:
        try:
            self.worker.send(active.command)
        except TinctError as error:
            self._active = None
            self._finish(active.project, "failed", str(error))

    def _on_message(self, message: WorkerMessage) -> None:
        """Called with every message of the worker, in order."""
        try:
            with self._lock:
                self._handle(message)
        except Exception:
            _LOG.exception("a message of the worker could not be handled: %s", message)

    def _handle(self, message: WorkerMessage) -> None:
        if message["event"] == PROCESS_ENDED:
            self._worker_ended()
            return
        if message["event"] == "ended":
            self._stopping.discard(message["ticket"])
        active = self._active
        if active is None or message.get("ticket") != active.ticket or active.project.run is None:
            return
        project, run = active.project, active.project.run
        if message["event"] == "frame":
            self._on_mask(project, run, message)
        elif message["event"] == "stage":
            if run.status == "starting":
                run.status = "running"
            run.stage, run.stage_done = message["stage"], (message["done"], message["total"])
            self._publish_run(project)
        elif message["event"] == "ended":
            self._active = None
            self._finish(project, message["status"], message["message"])

    def _worker_ended(self) -> None:
        killed_by_us, active = bool(self._stopping), self._active
        self._stopping.clear()
        if active is None:
            return
        if killed_by_us:  # the next run was queued behind the one that did not stop
            self._send(active)
            return
        self._active = None
        self._finish(active.project, "failed", DIED)

    def _on_mask(self, project: Project, run: RunState, message: WorkerMessage) -> None:
        """Store a finished mask; only then is it published."""
        objects = tuple((int(i), float(value)) for i, value in message["objects"].items())
        mask = ComputedMask(message["index"], run.plan.number, message["confidence"], objects)
        try:
            with project.lock:
                soft = {int(i): base64.b64decode(png) for i, png in message.get("soft", {}).items()}
                project.masks.add(mask, base64.b64decode(message["png"]), soft)
                status = run.status
                run.add_frame()
                if status == "paused":  # this frame was under way when the pause came
                    run.status = status
        except TinctError as error:  # a full disk
            self._stop_worker()
            self._finish(project, "failed", str(error))
            return
        self._on_frame(project, mask.index)
        frame = {"index": mask.index, "confidence": mask.confidence, "objects": dict(objects)}
        self._events.publish(project.id, "frame", frame)
        self._publish_run(project)

    def _finish(self, project: Project, status: Status, message: str = "") -> None:
        """Record how the project's run ended, and publish it."""
        with project.lock:
            run = project.run
            assert run is not None
            run.status, run.message, run.stage, run.stage_done = status, message, "", (0, 0)
            try:
                project.runs.end(run.plan.number, status, message)
            except TinctError as error:  # a full disk: the run will be found interrupted, its masks are there
                run.message = message or str(error)
        if status == "failed":
            self._events.publish(project.id, "error", {"error": run.message})
        self._publish_run(project)
        self._events.publish(project.id, "project")
        self._start_next()

    def _publish_run(self, project: Project) -> None:
        if project.run is not None:
            self._events.publish(project.id, "run", run_document(project))
