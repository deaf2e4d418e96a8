"""Server-sent events: what happens in a project, published to every open tab."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

MAX_QUEUED = 2000
"""Events queued for a slow tab; past that they give way to one that makes it fetch the project again."""

KEEP_ALIVE_S = 15.0
"""Seconds between keep-alive comments, by which a closed tab is noticed."""

PROJECT_CHANGED: tuple[str, dict[str, Any]] = ("project", {})


class _Listener:
    """One open stream. Events are put from any thread, and read in the server's event loop."""

    def __init__(self, project: str, tab: str) -> None:
        self.project, self.tab = project, tab
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[str, dict[str, Any]]] = deque()
        self._arrived = asyncio.Event()

    def put(self, kind: str, data: dict[str, Any]) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._queue.clear()
            kind, data = PROJECT_CHANGED
        self._queue.append((kind, data))
        with suppress(RuntimeError):  # the server is ending
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def next(self) -> list[tuple[str, dict[str, Any]]]:
        """All queued events; none if nothing came for `KEEP_ALIVE_S`."""
        try:
            await asyncio.wait_for(self._arrived.wait(), KEEP_ALIVE_S)
        except TimeoutError:
            return []
        self._arrived.clear()
        events = []
        while self._queue:
            events.append(self._queue.popleft())
        return events


class Events:
    """The open event streams of all projects."""

    def __init__(self) -> None:
        self._listeners: list[_Listener] = []
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, project: str, kind: str, data: dict[str, Any] | None = None) -> None:
        """Send an event to every open tab of a project; may be called from any thread."""
        with self._lock:
            for listener in self._listeners:
                if listener.project == project:
                    listener.put(kind, data or {})

    def is_listening(self, project: str, tab: str) -> bool:
        """Whether a tab has a stream of a project open."""
        with self._lock:
            return any(each.project == project and each.tab == tab for each in self._listeners)

    async def stream(self, project: str, tab: str) -> AsyncIterator[bytes]:
        """The events of a project as a browser's EventSource reads them."""
        listener = _Listener(project, tab)
        with self._lock:
            self._listeners.append(listener)
        try:
            yield b"retry: 1000\n\n"
            while not self._closed:
                events = await listener.next()
                yield b"".join(_sse_bytes(*event) for event in events) or b": alive\n\n"
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        with self._lock:
            for listener in self._listeners:
                listener.put("end", {})


def _sse_bytes(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
