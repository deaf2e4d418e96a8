"""A server of `tinct app` in a process of its own, and what a page in a browser would ask of it."""

from __future__ import annotations

import http.client
import io
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GONE = (OSError, EOFError, ValueError, http.client.HTTPException)
"""What a call raises whose server was killed in the middle."""


class ServerProcess:
    """A server that can be killed. A context manager, at whose end it is killed if it still lives.

    Args:
        command: Starts it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.began = time.perf_counter()
        self.process = subprocess.Popen(list(command), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError(f"The server said {line!r} instead of its address.")
        self.address = line[line.index("http://") :].partition("#")[0].strip().rstrip("/")
        self.listening_s = time.perf_counter() - self.began

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


class Page:
    """One tab on one project.

    Args:
        address: Of the server.
        project: None for the first one.
    """

    def __init__(self, address: str, project: str | None = None, tab: str = "bench") -> None:
        self.address, self.tab = address, tab
        self.project = project or self._first_project()
        self.events: list[tuple[float, str, dict[str, Any]]] = []

    def _first_project(self) -> str:
        while True:
            first = self.json("GET", "/api/projects")[0]
            if first["status"] != "opening":
                return str(first["id"])
            time.sleep(0.02)

    def raw(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of an answer.

        Raises:
            urllib.error.HTTPError: The server refuses; its `error` is a note.
            OSError: The server is gone.
        """
        headers = {"X-Tinct-Tab": self.tab, "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                whole: bytes = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                error.add_note(error.read().decode())
            raise
        return whole

    def json(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> Any:
        """The JSON of an answer."""
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        return json.loads(self.raw(method, path, sent))

    def call(self, method: str, path: str = "", body: dict[str, Any] | bytes | None = None) -> Any:
        """The JSON of an answer below the project's address."""
        return self.json(method, f"/api/projects/{self.project}{path}", body)

    def paint(self, index: int, labels: np.ndarray) -> dict[str, Any]:
        """Paint a frame; the document afterwards."""
        buffer = io.BytesIO()
        Image.fromarray(labels).save(buffer, "PNG")
        document: dict[str, Any] = self.call("PUT", f"/prompts/{index}", buffer.getvalue())
        return document

    def mask(self, index: int, of: str = "shown") -> np.ndarray:
        """A frame's label map."""
        path = f"/api/projects/{self.project}/masks/{index}.png?of={of}"
        return np.array(Image.open(io.BytesIO(self.raw("GET", path))))

    def listen(self) -> None:
        """Note all events with their times, in a thread that ends with the server."""
        open_now = threading.Event()

        def note() -> None:
            path = f"{self.address}/api/projects/{self.project}/events?tab={self.tab}"
            kind = ""
            try:
                with urllib.request.urlopen(path) as stream:
                    open_now.set()
                    for line in stream:
                        word, _, rest = line.decode().strip().partition(": ")
                        if word == "event":
                            kind = rest
                        elif word == "data":
                            self.events.append((time.perf_counter(), kind, json.loads(rest)))
            except GONE:
                open_now.set()

        threading.Thread(target=note, daemon=True).start()
        open_now.wait(30)

    def frames(self) -> list[tuple[float, int]]:
        """(time, index) of every finished frame that was told."""
        return [(when, data["index"]) for when, kind, data in list(self.events) if kind == "frame"]


def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds; RuntimeError if it does not in time."""
    end = time.perf_counter() + seconds
    while not true():
        if time.perf_counter() > end:
            raise RuntimeError(f"It did not come within {seconds} s.")
        time.sleep(0.005)


def app_command(video: Path, projects: Path, *options: str) -> list[str]:
    """`tinct app` without a browser, on a free port."""
    words = ["app", str(video), "--projects", str(projects), "--no-browser", "--port", "0", *options]
    return [sys.executable, "-m", "tinct", *words]


def report(found: Mapping[str, Any], bars: Mapping[str, float], digits: int, path: Path | None) -> None:
    """Print figures beside their bars, and write them as JSON where a path is given."""
    for name, value in found.items():
        bar = f"   (bar {bars[name]:g})" if name in bars else ""
        print(f"{name:20} {round(value, digits) if isinstance(value, float) else value}{bar}")
    if path is not None:
        path.write_text(json.dumps(found, indent=1))
