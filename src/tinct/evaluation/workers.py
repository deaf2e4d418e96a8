"""Tasks shared by processes, safe against the end of any of them.

Each worker is a `ProcessPoolExecutor` of one process with one task at a time, so that the death of one (out
of memory, a crash in native code) costs the task in its hands and nothing else. Nothing here imports torch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, TypeVar

from tinct.errors import WorkerError
from tinct.io.processes import portable

Task = TypeVar("Task")
Result = TypeVar("Result")

GRACE_S = 5.0
"""What a worker has for saving its work once it is to stop; then it is killed."""

START_ATTEMPTS = 3
"""Number of workers in a row that may die before they are ready, until we believe that none can start."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Failure:
    """What became of a task that has no result.

    Attributes:
        error: What the task raised, with the worker's traceback as a note; a `WorkerError` if two
            workers died of the task.
    """

    error: Exception


def outcomes_of(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    *,
    name: Callable[[Task], str] = str,
) -> Generator[tuple[int, Result | Failure], None, None]:
    """Call a function on every task, in processes; yield (index of the task, outcome) as each is done.

    A task that fails leaves the others alone: its error is its outcome.

    Closing the generator, an exception in it, or Ctrl-C ends all processes: they have `GRACE_S`
    seconds for saving what they have. Use `contextlib.closing` where the loop's own body may raise.

    Args:
        function: Goes to every process once, so that what it keeps (a network, say) is made once in
            each. It and the tasks and results are pickled.
        tasks: What to call it on.
        workers: How many processes; with one, or with one task, all is done in this process.
        name: What to call a task in a message.

    Raises:
        WorkerError: Workers cannot start.
    """
    if min(workers, len(tasks)) <= 1:
        for index, task in enumerate(tasks):
            yield index, _outcome(function, task)
        return
    running: dict[Future[Any], _Worker] = {}
    alive: list[_Worker] = []
    waiting, died_once, failed_starts = deque(range(len(tasks))), set[int](), 0
    try:
        while waiting or running:
            starting = sum(worker.index is None for worker in running.values())
            while len(running) < workers and starting < len(waiting):
                worker = _Worker(function, alive)
                running[worker.ready] = worker
                starting += 1
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                worker = running.pop(future)
                had: int | None = worker.index
                worker.index = None
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    _end([worker])
                    alive.remove(worker)
                    if had is None:
                        failed_starts += 1
                        _check_starts(failed_starts, worker.end)
                    elif had in died_once:
                        yield had, Failure(_died_twice(name(tasks[had]), worker.end))
                    else:
                        died_once.add(had)
                        # Behind all others: when few are left, there is more memory for it.
                        waiting.append(had)
                    continue
                except Exception as error:  # the task or its result cannot be pickled
                    outcome = Failure(error)
                if waiting:
                    worker.index = waiting.popleft()
                    running[worker.executor.submit(_call, tasks[worker.index])] = worker
                else:
                    _end([worker])
                    alive.remove(worker)
                if had is not None:
                    yield had, outcome
                failed_starts = 0
    finally:
        _end(alive)


class _Worker:
    """An executor of one process, and the index of the task that it has; None before it is ready.

    Args:
        function: What its process calls.
        alive: It joins this list before there is a process: Ctrl-C may come at any moment, also when a worker
            waits for nothing that `running` knows.
    """

    process: BaseProcess | None = None

    def __init__(self, function: Callable[[Any], Any], alive: list[_Worker]) -> None:
        # A fork of a process with threads, as torch and OpenCV have them, may wait for ever.
        spawn = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(1, spawn, _begin, (function,))
        self.index: int | None = None
        alive.append(self)
        if sys.platform != "win32":
            # Spawning starts it, and then lets signals through; so it is started before they are blocked.
            resource_tracker.ensure_running()
        with _blocked_signals():
            self.ready = self.executor.submit(_ready)
            (self.process,) = self.executor._processes.values()

    @property
    def processes(self) -> list[BaseProcess]:
        """Its process, also if its start was interrupted; none if it was not started."""
        return list((self.executor._processes or {}).values()) if self.process is None else [self.process]

    @property
    def end(self) -> str:
        """How its process ended."""
        code = None if self.process is None else self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"


def _end(workers: Sequence[_Worker]) -> None:
    """Ask workers to leave, and kill those that do not."""
    processes = [process for worker in workers for process in worker.processes]
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:  # also after a second Ctrl-C
        for process in processes:
            process.kill()
            process.join()
        for worker in workers:
            worker.executor.shutdown(cancel_futures=True)


def _check_starts(failed: int, end: str) -> None:
    if failed >= START_ATTEMPTS:
        raise WorkerError(
            f"{failed} worker processes died before they could begin ({end}). A script "
            'must call this under `if __name__ == "__main__":`; or ask for one worker.'
        )


def _died_twice(name: str, end: str) -> WorkerError:
    return WorkerError(
        f"Two worker processes died of {name} ({end}), where a result was expected. Most often memory is "
        "short; ask for fewer workers."
    )


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Hold Ctrl-C back while a process starts: the new one holds it too, until it knows what to do then."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_function: Callable[[Any], Any] | None = None
"""In a worker: what it calls."""

_busy = False
"""In a worker: whether it has a task, which saves its work when it is interrupted."""


def _begin(function: Callable[[Any], Any]) -> None:
    """A worker's first act."""
    global _function
    _function = function
    # Before signals are let through: they are the main thread's, and wake it from whatever it waits for.
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


def _ready() -> None:
    """A worker that answers this can begin."""


def _call(task: Any) -> Any:
    """A worker's work; its end, if it is interrupted meanwhile."""
    global _busy
    assert _function is not None
    _busy = True
    try:
        outcome = _outcome(_function, task)
    except KeyboardInterrupt:
        _leave()
    finally:
        _busy = False
    if isinstance(outcome, Failure):
        return Failure(portable(outcome.error, "the worker process"))
    return outcome


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A terminal's Ctrl-C comes to all processes, and our parent's order follows; the second must not
    # cut short what the first began. (SIG_IGN would turn one that is under way into an error.)
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    if not _busy:
        _leave()
    raise KeyboardInterrupt


def _leave() -> None:
    """End this process: all is sent or saved, and Python's own end takes seconds where torch is loaded."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError, RuntimeError):
            stream.flush()
    os._exit(0)


def _leave_with_parent() -> None:
    """Stop this worker when its parent is gone, however that came about."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)


def _outcome(function: Callable[[Task], Result], task: Task) -> Result | Failure:
    try:
        return function(task)
    except Exception as error:
        return Failure(error)
