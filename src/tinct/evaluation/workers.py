"""Tasks shared by processes, safe against the end of any of them.

Each process has a pipe of its own and one task at a time, so that the death of one (out of memory,
a crash in native code) costs the task in its hands and nothing else. Nothing here imports torch.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

from tinct.errors import WorkerError

Task = TypeVar("Task")
Result = TypeVar("Result")
StartMethod = Literal["fork", "spawn"]

GRACE_S = 5.0
"""What a worker has for saving its work once it is to stop; then it is killed."""

START_ATTEMPTS = 3
"""Number of workers in a row that may die before they are ready, until we believe that none can start."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_READY = "ready"


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
    context: StartMethod | None = None,
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
        context: How to start one. By default "fork" where that is quick and safe, else "spawn".
        name: What to call a task in a message.

    Raises:
        WorkerError: Workers cannot start.
    """
    if min(workers, len(tasks)) <= 1:
        for index, task in enumerate(tasks):
            yield index, _outcome(function, task)
        return
    pool = _WorkerPool(function, tasks, workers, context, name)
    try:
        yield from pool.outcomes()
    finally:
        pool.stop()


@dataclass
class _Worker:
    """A process, the pipe to it, and the index of the task that it has; None before it is ready."""

    process: BaseProcess
    pipe: Connection
    index: int | None = None

    def received(self) -> Any:
        """Its next message; EOFError if it died instead."""
        try:
            return self.pipe.recv()
        except OSError as error:
            raise EOFError from error


class _WorkerPool(Generic[Task, Result]):
    """The workers of one call of `outcomes_of`, and the tasks that none of them has taken yet."""

    def __init__(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        workers: int,
        context: StartMethod | None,
        name: Callable[[Task], str],
    ) -> None:
        self._function, self._tasks, self._size = function, tasks, workers
        self._context, self._name = context, name
        self._waiting = deque(range(len(tasks)))
        self._workers: list[_Worker] = []
        self._finishing: list[_Worker] = []
        self._cost_a_worker: set[int] = set()
        self._failed_starts = 0

    def outcomes(self) -> Iterator[tuple[int, Result | Failure]]:
        """(index, outcome) of every task."""
        while self._waiting or self._workers:
            starting = sum(worker.index is None for worker in self._workers)
            while len(self._workers) < self._size and starting < len(self._waiting):
                self._workers.append(_started(self._function, self._context))
                starting += 1
            for worker in self._responsive():
                try:
                    message = worker.received()
                except EOFError:
                    yield from self._remove_dead(worker)
                    continue
                index, worker.index = worker.index, None
                self._give_next(worker)
                if index is None:
                    self._failed_starts = 0
                else:
                    yield index, message

    def _responsive(self) -> list[_Worker]:
        """Those that sent something or died; waits for the first."""
        signs = {worker.pipe: worker for worker in self._workers}
        ends = {worker.process.sentinel: worker for worker in self._workers}
        ready = connection.wait([*signs, *ends])
        # A worker that is gone may have left its last result in the pipe; reading that shows it.
        return [w for w in self._workers if w.pipe in ready or w.process.sentinel in ready]

    def _give_next(self, worker: _Worker) -> None:
        """Give a free worker its next task, or let it go."""
        if self._waiting:
            worker.index = self._waiting.popleft()
            with suppress(OSError):  # it died just now: `_responsive` will say so
                worker.pipe.send((self._tasks[worker.index],))
            return
        self._workers.remove(worker)
        self._finishing.append(worker)
        with suppress(OSError):
            worker.pipe.send(())

    def _remove_dead(self, worker: _Worker) -> Iterator[tuple[int, Failure]]:
        """Remove a dead worker; its task waits for another one, unless it is the second."""
        self._workers.remove(worker)
        worker.process.join()
        end = _how_it_ended(worker.process.exitcode)
        _end([worker])
        if worker.index is None:
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                raise WorkerError(
                    f"{self._failed_starts} worker processes died before they could begin ({end}). A script "
                    'must call this under `if __name__ == "__main__":`; or ask for one worker.'
                )
        elif worker.index not in self._cost_a_worker:
            self._cost_a_worker.add(worker.index)
            # Behind all others: when few are left, there is more memory for it.
            self._waiting.append(worker.index)
        else:
            yield worker.index, Failure(_died_twice(self._name(self._tasks[worker.index]), end))

    def stop(self) -> None:
        """End every process that is left; those that were let go are on their way already."""
        for worker in self._workers:
            worker.process.terminate()
        _end([*self._workers, *self._finishing])


def _end(workers: Sequence[_Worker]) -> None:
    """Wait for processes that were asked to leave, and kill those that do not."""
    deadline = time.monotonic() + GRACE_S
    try:
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:  # also after a second Ctrl-C
        for worker in workers:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.process.close()
            worker.pipe.close()


def _died_twice(name: str, end: str) -> WorkerError:
    return WorkerError(
        f"Two worker processes died of {name} ({end}), where a result was expected. Most often memory is "
        "short; ask for fewer workers."
    )


def _how_it_ended(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"killed by signal {-exit_code}"


def _started(function: Callable[[Any], Any], context: StartMethod | None) -> _Worker:
    """A new worker; it says `_READY` when it is."""
    chosen: StartMethod = context or ("fork" if _fork_is_safe() else "spawn")
    processes: Any = multiprocessing.get_context(
        chosen
    )  # typeshed joins the two kinds to one without Process
    ours, theirs = processes.Pipe()
    process: BaseProcess = processes.Process(target=_work, args=(function, theirs), daemon=True)
    if chosen == "spawn":
        _start_resource_tracker()
    with _quiet_opencv(), _blocked_signals():
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _fork_is_safe() -> bool:
    """Whether a copy of this process would be whole: a fork takes the calling thread alone.

    OpenBLAS ends its threads before a fork, and OpenCV is made to. Torch's OpenMP, CUDA and FFmpeg
    do neither, and another Python thread may hold any lock.
    """
    strange = {"torch", "av"} & sys.modules.keys()
    return sys.platform == "linux" and not strange and threading.active_count() == 1


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV, if it is loaded, without threads here and in what is forked meanwhile."""
    cv2 = sys.modules.get("cv2")
    if cv2 is None:
        yield
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


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


def _start_resource_tracker() -> None:
    """Spawning starts it, and then lets signals through; so it is started before they are blocked."""
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()


def _work(function: Callable[[Any], Any], pipe: Connection) -> None:
    """A worker's life: a task in, its outcome out, until it is asked to go or its parent is gone."""
    try:
        # Before signals are let through: they are the main thread's, and wake it from whatever it waits for.
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        for number in _STOP_SIGNALS:
            signal.signal(number, _interrupt)
        if sys.platform != "win32":
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        pipe.send(_READY)
        while message := pipe.recv():
            _send(pipe, _outcome(function, *message, travels=True))
    except (KeyboardInterrupt, EOFError, OSError):
        pass
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # All is sent or saved, and Python's own end takes seconds where torch is loaded.
    os._exit(0)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A terminal's Ctrl-C comes to all processes, and our parent's order follows; the second must not
    # cut short what the first began. (SIG_IGN would turn one that is under way into an error.)
    for number in _STOP_SIGNALS:
        signal.signal(number, _pass_over)
    raise KeyboardInterrupt


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    pass


def _leave_with_parent() -> None:
    """Stop this worker when its parent is gone, however that came about."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)


def _outcome(function: Callable[[Task], Result], task: Task, *, travels: bool = False) -> Result | Failure:
    try:
        return function(task)
    except Exception as error:
        return Failure(_portable(error) if travels else error)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, in a form that surely arrives."""
    text = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"In the worker process:\n{text}")
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(text)
    return error


def _send(pipe: Connection, outcome: Any) -> None:
    try:
        pipe.send(outcome)
    except OSError:
        raise
    except Exception as error:  # the result cannot be pickled
        pipe.send(Failure(_portable(error)))
