"""Locks that let one tab at a time write in a project, so that two people do not overwrite each other."""

from __future__ import annotations

import threading
import time

from tinct.web.events import Events
from tinct.web.http_errors import CallError, ConflictError

GRACE_S = 5.0
"""Seconds after its last request for which a tab without an open stream keeps its lock, as in a reload."""


class WriterLocks:
    """The tab that holds the lock of each project."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._writers: dict[str, tuple[str, float]] = {}

    def writer(self, project: str) -> str | None:
        """The tab that holds the lock; None if there is none, or it was closed."""
        with self._lock:
            return self._live_writer(project)

    def acquire(self, project: str, tab: str, *, force: bool) -> None:
        """Give the lock to a tab.

        Raises:
            CallError: The tab has no id.
            ConflictError: Another open tab holds the lock, and `force` is not given.
        """
        if not tab or len(tab) > 100:
            raise CallError("A change came without the header X-Tinct-Tab, which names the tab; send it.")
        with self._lock:
            writer = self._live_writer(project)
            if writer not in (None, tab) and not force:
                raise ConflictError(
                    "This project is open for painting in another tab. Go on there, or take it over here."
                )
            self._writers[project] = (tab, time.monotonic())
        if writer != tab:
            self._events.publish(project, "project")

    def _live_writer(self, project: str) -> str | None:
        tab, last = self._writers.get(project, ("", -GRACE_S))
        if not tab:
            return None
        alive = time.monotonic() - last < GRACE_S or self._events.is_listening(project, tab)
        return tab if alive else None
