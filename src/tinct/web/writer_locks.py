"""Which tab writes in a project: one at a time, so that no two people paint over each other."""

from __future__ import annotations

import threading
import time

from tinct.web.events import Events
from tinct.web.http_errors import CallError, ConflictError

GRACE_S = 5.0
"""A tab without an open stream is taken for alive so long after its last call: a reload is no farewell."""


class WriterLocks:
    """The writing tab of every project."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._writers: dict[str, tuple[str, float]] = {}

    def writer(self, project: str) -> str | None:
        """The tab that writes; None if none does, or it was closed."""
        with self._lock:
            return self._live(project)

    def claim(self, project: str, tab: str, *, force: bool) -> None:
        """Make a tab the writer.

        Raises:
            CallError: The tab has no id.
            ConflictError: Another live tab is the writer, and `force` is not given.
        """
        if not tab or len(tab) > 100:
            raise CallError(
                "A change came without the header X-Tinct-Tab, by which tabs are told apart; send it."
            )
        with self._lock:
            writer = self._live(project)
            if writer not in (None, tab) and not force:
                raise ConflictError(
                    "This project is open for painting in another tab. Go on there, or take it over here."
                )
            self._writers[project] = (tab, time.monotonic())
        if writer != tab:
            self._events.tell(project, "project")

    def _live(self, project: str) -> str | None:
        tab, last = self._writers.get(project, ("", -GRACE_S))
        if not tab:
            return None
        alive = time.monotonic() - last < GRACE_S or self._events.listens(project, tab)
        return tab if alive else None
