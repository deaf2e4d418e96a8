"""The process that computes: it reads commands and writes messages, JSON lines on stdin and stdout.

    {"do": "run", "ticket": 5, "run": 3, "video": ..., "prompts": {"0": PNG, ...}, "states": folder,
     "passes": [{"first": 0, "last": 249, "direction": "forward"}], "settings": {...}}
    {"do": "pause"}   {"do": "resume"}   {"do": "cancel", "ticket": 5}

    {"event": "ready"}                                       networks are loaded
    {"event": "stage", "ticket": 5, "stage": "fine-tune", "done": 20, "total": 200}
    {"event": "frame", "ticket": 5, "index": 12, "confidence": 0.93, "objects": {"1": 0.95}, "png": PNG}
    {"event": "ended", "ticket": 5, "status": "done" | "cancelled" | "failed", "message": ...}

A PNG is a label map in Base64: only the server opens the project file. The process ends when its standard
input does, which is when its server is gone.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

from tinct.errors import TinctError
from tinct.inference.callbacks import callbacks
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.prompt_png import labels_of, png_of, soft_pngs
from tinct.web.run_log import FramePass

Command = dict[str, Any]
Build = Callable[[SegmenterConfig], Any]
"""Builds a segmenter."""

MAX_CACHED_SEGMENTERS = 2
"""Segmenters cached in memory, for runs with the same config."""


class Cancelled(BaseException):
    """Not an error: nothing that catches errors may catch it."""


class CommandQueue:
    """The commands of standard input, read in a thread of their own so that pause and cancel act at once."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self._waiting: deque[Command] = deque()
        self._changed = threading.Condition()
        self._paused = False
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._lines:
                with self._changed:
                    self._take(json.loads(line))
                    self._changed.notify_all()
        finally:
            # The server is gone, perhaps in the middle of a line: the current run is of no use.
            os._exit(0)

    def _take(self, command: Command) -> None:
        if command["do"] == "run":
            self._paused = False
            self._waiting.append(command)
        elif command["do"] == "cancel":
            self._cancelled.add(command["ticket"])
            self._paused = False
        else:
            self._paused = command["do"] == "pause"

    def next(self) -> Command:
        """Wait for the next run, and return its command."""
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            return self._waiting.popleft()

    def check(self, ticket: int) -> None:
        """Block while runs are paused; raise Cancelled if the run of this ticket is cancelled."""
        with self._changed:
            while self._paused and ticket not in self._cancelled:
                self._changed.wait()
            if ticket in self._cancelled:
                raise Cancelled


class Worker:
    """Executes one run after the other.

    Args:
        commands: The queue of commands.
        send: Sends a message to the server.
        build: Builds the segmenters.
    """

    def __init__(self, commands: CommandQueue, send: Callable[[dict[str, Any]], None], build: Build) -> None:
        self._commands, self._send, self._build = commands, send, build
        self._segmenters: list[tuple[SegmenterConfig, Any]] = []

    def segmenter(self, config: SegmenterConfig) -> Any:
        """The segmenter of a config, from the cache if it is there."""
        for cached, segmenter in self._segmenters:
            if cached == config:
                return segmenter
        # Before the new one is built, so that no more than these are in memory at any time.
        del self._segmenters[: 1 - MAX_CACHED_SEGMENTERS]
        segmenter = self._build(config)
        self._segmenters.append((config, segmenter))
        return segmenter

    def run(self, command: Command) -> None:
        """Execute one run to its end."""
        ticket = command["ticket"]

        def report(stage: str, done: int, total: int) -> None:
            self._send({"event": "stage", "ticket": ticket, "stage": stage, "done": done, "total": total})
            self._commands.check(ticket)

        try:
            with callbacks(report):
                report("prepare", 0, 0)
                with closing(self._frames(command)) as frames:
                    for frame in frames:
                        self._send({"event": "frame", "ticket": ticket, **frame})
                        self._commands.check(ticket)
            self._end(ticket, "done")
        except Cancelled:
            self._end(ticket, "cancelled")
        except (TinctError, MemoryError, OSError) as error:
            self._end(ticket, "failed", str(error) or type(error).__name__)
        except Exception as error:
            traceback.print_exc()
            self._end(ticket, "failed", f"An error that tinct did not foresee: {error!r}. Please report it.")

    def _frames(self, command: Command) -> Generator[dict[str, Any], None, None]:
        """What the server is to know of every frame of a run, as soon as it is computed."""
        from tinct.inference.confidence import object_confidences
        from tinct.inference.session import Session
        from tinct.io.video import Video

        config = SegmenterConfig(**command["settings"])
        video = Video.open(Path(command["video"]))
        pngs = {int(index): base64.b64decode(png) for index, png in command["prompts"].items()}
        prompts = {index: labels_of(png, video.size) for index, png in pngs.items()}
        session = Session(self.segmenter(config), video, prompts, folder=Path(command["states"]))
        for frame_pass in (FramePass(**values) for values in command["passes"]):
            for result in session.run(
                frame_pass.first, frame_pass.last + frame_pass.frames.step, frame_pass.direction
            ):
                sure = {i: round(value, 3) for i, value in object_confidences(result.masks).items()}
                soft = soft_pngs(result.masks) if command.get("soft") else {}
                yield {
                    "index": result.index,
                    "confidence": round(result.confidence, 3),
                    "objects": sure,
                    "png": base64.b64encode(png_of(result.masks.label_map, grey=False)).decode(),
                    "soft": {i: base64.b64encode(png).decode() for i, png in soft.items()},
                }

    def _end(self, ticket: int, status: str, message: str = "") -> None:
        self._send({"event": "ended", "ticket": ticket, "status": status, "message": message})


def main(build: Build, config: SegmenterConfig | None = None) -> None:
    """Execute commands for ever.

    Args:
        build: Builds the segmenters.
        config: The segmenter that is loaded before the first command comes; None for none.
    """
    output = _reserve_stdout()
    lock = threading.Lock()

    def send(message: Mapping[str, Any]) -> None:
        with lock, suppress(BrokenPipeError):
            output.write(json.dumps(message) + "\n")
            output.flush()

    commands = CommandQueue(sys.stdin)
    worker = Worker(commands, send, build)
    if config is not None:
        try:
            worker.segmenter(config)
        except TinctError as error:
            send({"event": "unready", "message": str(error)})
    import tinct.inference.session  # noqa: F401 - loaded now, so that the first run does not wait for it

    send({"event": "ready"})
    while True:
        worker.run(commands.next())


def _reserve_stdout() -> IO[str]:
    """The pipe to the server; everything else that is printed goes to standard error."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def build_from_zoo(config: SegmenterConfig) -> Any:
    """The segmenter of a config, warmed up."""
    from tinct import zoo

    segmenter = config.build()
    if not zoo.method_record(config.method).fine_tunes:
        _warm_up(segmenter)
    return segmenter


def _warm_up(segmenter: Any) -> None:
    """Run a small frame through, so that the first mask does not wait for one-time initialisation."""
    import numpy as np

    from tinct.inference.segmenter import segment_video
    from tinct.io.video import Video

    frame, labels = np.zeros((96, 160, 3), np.uint8), np.zeros((96, 160), np.uint8)
    labels[30:60, 40:90] = 1
    for _ in segment_video(segmenter, Video.from_arrays([frame, frame]), {0: labels}):
        pass


if __name__ == "__main__":
    with suppress(AttributeError, OSError):  # not every system has it
        os.nice(5)
    main(build_from_zoo, SegmenterConfig(**(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})))
