"""A server with a quick stand-in for the networks, and what a browser would send to it."""

from __future__ import annotations

import io
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from tinct.errors import TinctError
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.app import make_app
from tinct.web.events import Events
from tinct.web.frames import FrameCache
from tinct.web.library import Library
from tinct.web.limits import Limits
from tinct.web.project import Project
from tinct.web.runner import Runner
from tinct.web.safety import Guard, known_hosts
from tinct.web.services import Services
from tinct.web.worker_process import WorkerProcess
from tinct.web.writer_locks import WriterLocks

H, W, FRAMES = 24, 32, 12
FAKE_WORKER = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
SMALL = Limits(upload_bytes=200_000, frames=50, pixels=100_000, body_bytes=50_000, frame_cache_bytes=10**6)


def frame_of(index: int, size: tuple[int, int] = (H, W)) -> np.ndarray:
    frame = np.full((*size, 3), 40, np.uint8)
    frame[..., 0] = 15 * index % 256
    frame[: size[0] // 2, :, 1] = 200
    return frame


def write_frames(folder: Path, count: int = FRAMES, size: tuple[int, int] = (H, W)) -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(frame_of(index, size)).save(folder / f"{index:03d}.png")
    return folder


def painting(*objects: int, size: tuple[int, int] = (H, W)) -> np.ndarray:
    """One column of pixels per object, from the left."""
    labels = np.zeros(size, np.uint8)
    for column, object_id in enumerate(objects):
        labels[2 : size[0] // 2, 2 * column + 1] = object_id
    return labels


def png(labels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(body: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(body)))


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; so long only on a machine that is very busy."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


class Tab:
    """One browser tab on one project."""

    def __init__(self, client: TestClient, project: str, name: str = "tab") -> None:
        self.client, self.project, self.name = client, project, name

    def call(self, method: str, path: str = "", status: int = 200, **more: Any) -> Any:
        """The JSON of an answer of that status."""
        headers = {"X-Tinct-Tab": self.name, **more.pop("headers", {})}
        answer = self.client.request(method, f"/api/projects/{self.project}{path}", headers=headers, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.headers.get("content-type") == "application/json" else answer.content

    def error(self, method: str, path: str, status: int, **more: Any) -> str:
        said = self.call(method, path, status, **more)
        assert list(said) == ["error"]
        return str(said["error"])

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = self.call("GET")
        return document

    def paint(self, index: int, labels: np.ndarray) -> dict[str, Any]:
        document: dict[str, Any] = self.call("PUT", f"/prompts/{index}", content=png(labels))
        return document

    def mask(self, index: int, **query: str) -> np.ndarray:
        return pixels(self.call("GET", f"/masks/{index}.png", params=query))

    def run(self, start: int = 0, direction: str = "forward", **settings: str) -> dict[str, Any]:
        """Run to the end; the document then."""
        self.call("POST", "/run", json={"start": start, "direction": direction, **settings})
        until(lambda: self.document()["run"]["status"] in ("done", "failed", "cancelled"))
        return self.document()


class Desk:
    """A server in this process, its worker in another."""

    def __init__(self, folder: Path, *videos: Path, limits: Limits = SMALL) -> None:
        self.library = Library(folder, limits)
        ids = [self.library.add_video(video) for video in videos]
        self.library.open_videos()
        self.events = Events()
        self.runner = Runner(FAKE_WORKER, 1, self.events)
        SHARED.serve(self.runner)
        frames = FrameCache(limits.frame_cache_bytes)
        self.services = Services(
            limits, self.library, self.runner, self.events, WriterLocks(self.events), frames
        )
        app = Guard(make_app(self.services, SegmenterConfig()), known_hosts("127.0.0.1"))
        self.client = TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False)
        self.tabs = [Tab(self.client, project) for project in ids]

    @property
    def tab(self) -> Tab:
        return self.tabs[0]

    def record_events(self, project: str) -> list[tuple[str, dict[str, Any]]]:
        """A list that fills with the events of a project."""
        found: list[tuple[str, dict[str, Any]]] = []
        publish = self.events.publish

        def record(to: str, kind: str, data: dict[str, Any] | None = None) -> None:
            if to == project:
                found.append((kind, json.loads(json.dumps(data or {}))))
            publish(to, kind, data)

        self.events.publish = record  # type: ignore[method-assign]
        return found

    def close(self) -> None:
        self.runner._follow_timer.cancel()
        for project in [project for tab in self.tabs if (project := self._open(tab.project))]:
            if self.runner.computes(project):
                self.runner._queue.clear()
                self.runner.cancel(project)
        until(lambda: not self.runner._stopping)
        self.library.close()

    def _open(self, project_id: str) -> Project | None:
        try:
            return self.library.get(project_id)
        except TinctError:
            return None


class SharedWorker:
    """One worker for all tests: starting one takes longer than most of them."""

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None
        self._tickets = itertools.count(1)

    def serve(self, runner: Runner) -> None:
        if self._worker is None:
            self._worker = WorkerProcess(FAKE_WORKER, 1, runner._on_message)
        self._worker._on_message = runner._on_message
        runner.worker, runner._tickets = self._worker, self._tickets

    def close(self) -> None:
        if self._worker is not None:
            process = self._worker._process
            self._worker.close()
            if process is not None:
                process.wait(30)
            for thread in threading.enumerate():
                if thread.name == "worker messages":
                    thread.join(30)


SHARED = SharedWorker()
