"""The computing process as the server sees it: started, sent commands, read from, replaced when it dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tinct.errors import WorkerError
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.run_log import settings_of

WorkerMessage = dict[str, Any]

PROCESS_ENDED = "worker-ended"
"""The last message of every process; the server makes it itself when the pipe closes."""

MAX_FAILURES = 3
"""Processes in a row that may end before they are ready; then none is started again."""


def worker_command(config: SegmenterConfig) -> list[str]:
    """The command line of the worker, which loads the segmenter of a config at once."""
    return [sys.executable, "-m", "tinct.web.worker", json.dumps(settings_of(config))]


class WorkerProcess:
    """One worker at a time; a new one is started whenever the old one ends.

    Args:
        command: What to start.
        threads: Processor threads that it may use.
        on_message: Called with every message of the worker, from a thread of this class.
    """

    def __init__(
        self, command: Sequence[str], threads: int, on_message: Callable[[WorkerMessage], None]
    ) -> None:
        self._command, self._threads, self._on_message = command, threads, on_message
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._failures = 0
        self._closed = False
        self.ready = threading.Event()

    def start(self) -> None:
        """Start the worker, unless it runs.

        Raises:
            WorkerError: It cannot be started.
        """
        with self._lock:
            if self._process is None and not self._closed:
                self._process = self._spawn()

    def send(self, message: WorkerMessage) -> None:
        """Send a command to the worker, which is started if need be.

        Raises:
            WorkerError: It cannot be started, or died.
        """
        self.start()
        with self._lock:
            pipe = None if self._process is None else self._process.stdin
            try:
                if pipe is None:
                    raise OSError("the server is ending")
                pipe.write(json.dumps(message) + "\n")
                pipe.flush()
            except OSError as error:
                raise WorkerError(f"The computing process cannot be reached ({error}); try again.") from error

    def kill(self) -> None:
        """End the worker at once, whatever it does; its last message is `PROCESS_ENDED`."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the worker, for good."""
        self._closed = True
        self.kill()

    def _spawn(self) -> subprocess.Popen[str]:
        threads = str(self._threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        below_normal = 0x00004000 if sys.platform == "win32" else 0
        try:
            process: subprocess.Popen[str] = subprocess.Popen(
                list(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=environment,
                # Ctrl-C is for the server, which then ends the worker.
                start_new_session=sys.platform != "win32",
                creationflags=below_normal,
            )
        except OSError as error:
            raise WorkerError(f"The computing process cannot be started: {error.strerror}.") from error
        threading.Thread(target=self._listen, args=(process,), name="worker messages", daemon=True).start()
        return process

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            message: WorkerMessage = json.loads(line)
            if message["event"] == "ready":
                self._failures = 0
                self.ready.set()
            self._on_message(message)
        code = process.wait()
        with self._lock:
            was_ready = self.ready.is_set()
            self.ready.clear()
            self._process = None
            self._failures = 0 if was_ready else self._failures + 1
            give_up = self._closed or self._failures >= MAX_FAILURES
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._on_message({"event": PROCESS_ENDED, "code": code})
        if not give_up:
            with suppress(WorkerError):
                self.start()
