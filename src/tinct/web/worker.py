"""The process that computes: orders come as JSON lines on its standard input, news go out on its output.

    {"do": "run", "ticket": 5, "run": 3, "video": ..., "prompts": {"0": file, ...}, "masks": folder,
     "states": folder, "legs": [{"first": 0, "last": 249, "direction": "forward"}], "settings": {...}}
    {"do": "pause"}   {"do": "resume"}   {"do": "cancel", "ticket": 5}

    {"news": "ready"}                                       networks are loaded
    {"news": "stage", "ticket": 5, "stage": "fine-tune", "done": 20, "total": 200}
    {"news": "frame", "ticket": 5, "file": "000012.r3.0931.png"}   the mask lies on the disk
    {"news": "ended", "ticket": 5, "status": "done" | "cancelled" | "failed", "message": ...}

It ends by itself when its standard input does: when its server is gone.
"""

from __future__ import annotations

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
from tinct.fine_tuning.callbacks import fine_tuning_callback
from tinct.inference.callbacks import loop_callbacks
from tinct.web.mask_store import ComputedMask
from tinct.web.run_log import Leg, Settings

Order = dict[str, Any]
Build = Callable[[Settings], Any]
"""Makes a segmenter."""

KEPT_SEGMENTERS = 2
"""Networks that stay in memory, for runs with the same settings."""


class Cancelled(BaseException):
    """Not an error: nothing that catches errors may catch it."""


class Orders:
    """What comes on standard input, read by a thread of its own so that pause and cancel act at once."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self._waiting: deque[Order] = deque()
        self._changed = threading.Condition()
        self._paused = False
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._lines:
                with self._changed:
                    self._take(json.loads(line))
                    self._changed.notify_all()
        finally:
            # The server is gone, perhaps in the middle of a line: what is under way is of use to nobody.
            os._exit(0)

    def _take(self, order: Order) -> None:
        if order["do"] == "run":
            self._paused = False
            self._waiting.append(order)
        elif order["do"] == "cancel":
            self._cancelled.add(order["ticket"])
            self._paused = False
        else:
            self._paused = order["do"] == "pause"

    def next(self) -> Order:
        """The next run; waits for it."""
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            return self._waiting.popleft()

    def check(self, ticket: int) -> None:
        """Rest while runs are paused; raises Cancelled once that of the ticket is cancelled."""
        with self._changed:
            while self._paused and ticket not in self._cancelled:
                self._changed.wait()
            if ticket in self._cancelled:
                raise Cancelled


class Worker:
    """Runs one order after the other.

    Args:
        orders: What to do.
        tell: Sends news.
        build: Makes the segmenters.
    """

    def __init__(self, orders: Orders, tell: Callable[[dict[str, Any]], None], build: Build) -> None:
        self._orders, self._tell, self._build = orders, tell, build
        self._segmenters: dict[Settings, Any] = {}

    def segmenter(self, settings: Settings) -> Any:
        """A segmenter, perhaps from the run before."""
        if settings not in self._segmenters:
            while len(self._segmenters) >= KEPT_SEGMENTERS:
                self._segmenters.pop(next(iter(self._segmenters)))
            self._segmenters[settings] = self._build(settings)
        return self._segmenters[settings]

    def run(self, order: Order) -> None:
        """One run, to its end."""
        ticket = order["ticket"]

        def told(stage: str, done: int, total: int) -> None:
            self._tell({"news": "stage", "ticket": ticket, "stage": stage, "done": done, "total": total})
            self._orders.check(ticket)

        try:
            with (
                fine_tuning_callback(lambda news: told("fine-tune", *news.done_of_all)),
                loop_callbacks(told),
            ):
                told("prepare", 0, 0)
                with closing(self._masks(order)) as masks:
                    for mask in masks:
                        self._tell({"news": "frame", "ticket": ticket, "file": mask.name})
                        self._orders.check(ticket)
            self._end(ticket, "done")
        except Cancelled:
            self._end(ticket, "cancelled")
        except (TinctError, MemoryError, OSError) as error:
            self._end(ticket, "failed", str(error) or type(error).__name__)
        except Exception as error:
            traceback.print_exc()
            self._end(ticket, "failed", f"An error that tinct did not foresee: {error!r}. Please report it.")

    def _masks(self, order: Order) -> Generator[ComputedMask, None, None]:
        """Every mask of a run, as soon as it lies on the disk."""
        from tinct.inference.session import Session
        from tinct.io.mask_files import read_label_png
        from tinct.io.video import Video

        settings = Settings(**order["settings"])
        video = Video.open(Path(order["video"]))
        prompts = {int(index): read_label_png(file) for index, file in order["prompts"].items()}
        session = Session(self.segmenter(settings), video, prompts, folder=Path(order["states"]))
        masks = Path(order["masks"])
        for leg in (Leg(**values) for values in order["legs"]):
            for result in session.run(leg.first, leg.last + leg.frames.step, leg.direction):
                mask = ComputedMask(result.index, order["run"], result.confidence)
                mask.write(masks, result.masks.label_map)
                yield mask

    def _end(self, ticket: int, status: str, message: str = "") -> None:
        self._tell({"news": "ended", "ticket": ticket, "status": status, "message": message})


def main(build: Build, settings: Settings | None = None) -> None:
    """Serve orders for ever.

    Args:
        build: Makes the segmenters.
        settings: What is loaded before the first order comes; None for nothing.
    """
    news = _own_output()
    lock = threading.Lock()

    def tell(message: Mapping[str, Any]) -> None:
        with lock, suppress(BrokenPipeError):
            news.write(json.dumps(message) + "\n")
            news.flush()

    orders = Orders(sys.stdin)
    worker = Worker(orders, tell, build)
    if settings is not None:
        try:
            worker.segmenter(settings)
        except TinctError as error:
            tell({"news": "unready", "message": str(error)})
    import tinct.inference.session  # noqa: F401 - loaded now, so that the first run does not wait for it

    tell({"news": "ready"})
    while True:
        worker.run(orders.next())


def _own_output() -> IO[str]:
    """The pipe to the server; whatever else is printed goes to standard error instead."""
    news = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return news


def build_from_zoo(settings: Settings) -> Any:
    """A segmenter of the zoo, with the package's weights, warmed up."""
    from tinct import zoo

    segmenter = zoo.build_segmenter(settings.method, preset=settings.preset, fine_tune=settings.fine_tune)
    if not zoo.method_record(settings.method).fine_tunes:
        _warm_up(segmenter)
    return segmenter


def _warm_up(segmenter: Any) -> None:
    """Run a small frame through, so that the first mask does not wait for what libraries do once."""
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
    main(build_from_zoo, Settings(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else Settings())
