"""The run that the worker computes, and its progress as events for the pages.

One run computes at a time. A run that is paused, or interrupted by a killed server, is only recorded:
its frames are on disk, and resuming it begins a new run for the missing frames.
"""

from __future__ import annotations

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
from tinct.web.run_log import Status, plan_passes, settings_of
from tinct.web.run_state import RunState
from tinct.web.worker_process import PROCESS_ENDED, WorkerMessage, WorkerProcess

STOP_TIMEOUT_S = 0.7
"""Seconds that a cancelled worker has to end its current step before it is replaced."""

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
        self._tickets = itertools.count(1)
        self._stopping: set[int] = set()  # tickets that were cancelled and have not ended yet
        self.worker = WorkerProcess(command, threads, self._on_message)

    def computes(self, project: Project) -> bool:
        """Whether the worker computes a run of the project."""
        return self._active is not None and self._active.project is project

    # What people ask for

    def begin(self, project: Project, start: int, direction: Direction, config: SegmenterConfig) -> None:
        """Begin a run; the current one of the same project is cancelled.

        Raises:
            OptionError: `start` lies outside the video, or there is no such method or preset.
            CallError: No frame is annotated.
            ConflictError: Another project is being computed.
            OutputError: The run cannot be recorded.
        """
        project.check_frame(start)
        streams = _streams(config)
        annotated = project.prompt_files()
        if not annotated:
            raise CallError(
                "Nothing is painted yet, so there is nothing to look for. Paint an object on any frame, "
                "then run."
            )
        passes = plan_passes(start, direction, project.info.frames, list(annotated), streams=streams)
        with self._lock:
            self._free_worker(project)
            with project.lock:
                plan = project.runs.begin(project.journal.state, start, direction, passes, config)
                project.run = RunState(plan, len(plan.frames), start=start, direction=direction)
            self._submit(project)

    def resume(self, project: Project) -> None:
        """Resume the paused run with the present prompts.

        Raises:
            ConflictError: No run is paused, or another project is being computed.
        """
        with self._lock, project.lock:
            run = project.run
            if run is None or run.status not in ("paused", "failed", "cancelled"):
                raise ConflictError("No run rests in this project, so none can go on. Begin one with run.")
            if self.computes(project):
                self.worker.send({"do": "resume"})
                run.status = "running" if run.done else "starting"
                run.reset_speed()
                self._publish_run(project)
                return
            root = project.runs.plans[run.plan.root]
            finished = project.finished_frames(root.number)
            passes = root.remaining_passes(finished)
            if not passes:
                self._finish(project, "done")
                return
            self._free_worker(project)
            plan = project.runs.begin(
                project.journal.state, passes[0].first, run.direction, passes, root.config, root.number
            )
            project.run = RunState(
                plan, run.total, len(finished & set(root.frames)), start=run.start, direction=run.direction
            )
            self._submit(project)

    def pause(self, project: Project) -> None:
        """Pause after the frame that is being computed.

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
        """End the worker; the next server finds the current run interrupted, and shows it as paused."""
        with self._lock:
            self._active = None
        self.worker.close()

    # The worker

    def _free_worker(self, project: Project) -> None:
        """Cancel or pause the run that the worker computes."""
        if self._active is None:
            return
        other = self._active.project
        run = other.run
        if other is not project and run is not None and run.status != "paused":
            raise ConflictError(
                f"{other.info.name} is being computed, and one video is computed at a time. Pause or "
                "cancel it first, or wait for its end."
            )
        self._stop_worker()
        if other is project:
            self._finish(other, "cancelled")

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
        """Send the project's run to the worker."""
        run = project.run
        assert run is not None
        plan, ticket = run.plan, next(self._tickets)
        command: WorkerMessage = {
            "do": "run",
            "ticket": ticket,
            "run": plan.number,
            "video": str(project.video_path),
            "prompts": {index: str(path) for index, path in project.prompt_files().items()},
            "masks": str(project.masks.folder),
            "states": str(project.folder / "states"),
            "legs": [asdict(frame_pass) for frame_pass in plan.passes],
            "settings": settings_of(plan.config),
        }
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
            self._on_mask(project, run, message["file"])
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

    def _on_mask(self, project: Project, run: RunState, file: str) -> None:
        mask = ComputedMask.from_name(file)
        assert mask is not None, file
        with project.lock:
            project.masks.add(mask)
            status = run.status
            run.add_frame()
            if status == "paused":  # this frame was under way when the pause came
                run.status = status
        self._on_frame(project, mask.index)
        self._events.publish(project.id, "frame", {"index": mask.index, "confidence": mask.confidence})
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

    def _publish_run(self, project: Project) -> None:
        if project.run is not None:
            self._events.publish(project.id, "run", project.run.document())


def _streams(config: SegmenterConfig) -> bool:
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
