"""Server-sent events: what happens in a project, told to every tab that listens."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

MOST_WAITING = 2000
"""Events that wait for a slow tab; past that it is told to fetch the project again."""

ALIVE_S = 15.0
"""A line without meaning is sent so often, so that a closed tab is noticed."""

PROJECT_CHANGED: tuple[str, dict[str, Any]] = ("project", {})


class _Listener:
    """One open stream. Events come from any thread; its tab reads them in the server's loop."""

    def __init__(self, project: str, tab: str) -> None:
        self.project, self.tab = project, tab
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._came = asyncio.Event()

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            kind, data = PROJECT_CHANGED
        self._waiting.append((kind, data))
        with suppress(RuntimeError):  # the server is ending
            self._loop.call_soon_threadsafe(self._came.set)

    async def next(self) -> list[tuple[str, dict[str, Any]]]:
        """All that waits; nothing after `ALIVE_S`."""
        try:
            await asyncio.wait_for(self._came.wait(), ALIVE_S)
        except TimeoutError:
            return []
        self._came.clear()
        events = []
        while self._waiting:
            events.append(self._waiting.popleft())
        return events


class Events:
    """The streams that are open."""

    def __init__(self) -> None:
        self._listeners: list[_Listener] = []
        self._lock = threading.Lock()
        self._closed = False

    def tell(self, project: str, kind: str, data: dict[str, Any] | None = None) -> None:
        """Tell every tab that listens to a project; may be called from any thread."""
        with self._lock:
            for listener in self._listeners:
                if listener.project == project:
                    listener.tell(kind, data or {})

    def listens(self, project: str, tab: str) -> bool:
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
                yield b"".join(_line(*event) for event in events) or b": alive\n\n"
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        with self._lock:
            for listener in self._listeners:
                listener.tell("end", {})


def _line(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
