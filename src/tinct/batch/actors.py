"""Tasks on a Ray cluster: actors that keep what they loaded, and other actors for those that die.

Ray finds the machines, starts the processes and says when one is gone. What is ours is the rule of a task
that costs processes: it is tried again, by another actor, a few times, and then it is set aside.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tinct._version import __version__
from tinct.batch.cluster import ray_module
from tinct.batch.secrets import redacted
from tinct.errors import OptionError, WorkerError
from tinct.io.processes import portable

Task = TypeVar("Task")
Result = TypeVar("Result")

START_ATTEMPTS = 10
"""Number of actors in a row that may die before they are ready, until we believe that none can start. It is
not few: a machine that goes away takes all that start there with it."""

_LOOK_S = 5.0
"""The cluster may have grown or shrunk after this time."""


@dataclass(frozen=True)
class ActorOptions:
    """What an actor takes of the cluster, and how many there are.

    Attributes:
        cpus: Of each actor; a fraction is a share of one.
        gpus: Of each actor; a fraction is a share of one.
        most: The maximum number of actors; None for as many as the cluster has room for.
        retries: How often a task is tried again whose actor or machine died.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    most: int | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        wrong = not (0 < self.cpus < math.inf and 0 <= self.gpus < math.inf)
        if wrong or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise OptionError(
                f"{self.cpus:g} processors and {self.gpus:g} GPUs per video came; give processors above 0, "
                "and GPUs as a fraction up to 1 (0.25: four videos share one) or a whole number."
            )
        if self.retries < 0 or (self.most is not None and self.most < 1):
            raise OptionError(
                f"retries = {self.retries} and at most {self.most} in flight came; give 0 or more, 1 or more."
            )


def outcomes_on_ray(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    options: ActorOptions | None = None,
    *,
    name: Callable[[Task], str] = str,
) -> Generator[tuple[int, Result | Exception], None, None]:
    """Call a function on every task, in actors; yield (index of the task, result or error) as each is done.

    A task that fails leaves the others alone: its error is its outcome. Closing the generator ends all
    actors.

    Args:
        function: Goes to every actor once, so that what it keeps (a network, say) is made once in each.
        tasks: What to call it on; read as they are needed.
        options: Of the actors.
        name: What to call a task in a message.

    Raises:
        WorkerError: Actors cannot start.
        OptionError: The cluster's machines have another version of tinct, or none.
    """
    pool = _ActorPool(ray_module(), function, iter(tasks), options or ActorOptions(), name)
    try:
        yield from pool.outcomes()
    finally:
        pool.stop()


class Caller:
    """The actor: a function, and what it keeps between calls."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def version(self) -> str:
        """Of tinct, on the actor's machine."""
        return __version__

    def call(self, task: Any) -> tuple[bool, Any]:
        """(whether there is a result, the result or the error)."""
        try:
            return True, self._function(task)
        except Exception as error:
            return False, portable(error, "the actor")


@dataclass
class _Job(Generic[Task]):
    """A task, its place among the tasks, and how many actors died of it."""

    index: int
    task: Task
    deaths: int = 0


class _ActorPool(Generic[Task, Result]):
    """The actors of one call of `outcomes_on_ray`: those that start, have a task, or wait for one."""

    def __init__(
        self,
        ray: Any,
        function: Callable[[Task], Result],
        tasks: Iterator[Task],
        options: ActorOptions,
        name: Callable[[Task], str],
    ) -> None:
        self._ray, self._options, self._name = ray, options, name
        self._function = ray.put(function)
        self._actor_class = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_restarts=0)(Caller)
        self._tasks = enumerate(tasks)
        self._next: deque[_Job[Task]] = deque()
        self._again: deque[_Job[Task]] = deque()
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, _Job[Task]]] = {}
        self._idle: list[Any] = []
        self._failed_starts = 0
        self._size, self._looked_s = 0, -math.inf

    def outcomes(self) -> Iterator[tuple[int, Result | Exception]]:
        """(index, result or error) of every task."""
        while self._work_left() or self._busy:
            while self._idle and self._work_left():
                actor, job = self._idle.pop(), self._next.popleft()
                self._busy[actor.call.remote(job.task)] = actor, job
            self._grow()
            done, _ = self._ray.wait([*self._busy, *self._starting], num_returns=1, timeout=_LOOK_S)
            for ref in done:
                if ref in self._starting:
                    self._take_in(ref)
                else:
                    yield from self._finish(ref)

    def _work_left(self) -> bool:
        """Whether a task waits for an actor; tasks that cost one wait behind all others."""
        if not self._next:
            for index, task in self._tasks:
                self._next.append(_Job(index, task))
                return True
            if self._again:
                self._next.append(self._again.popleft())
        return bool(self._next)

    def _grow(self) -> None:
        """Start actors while there is work for them and room in the cluster."""
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self._size, self._looked_s = self._room(), time.monotonic()
        while self._work_left() and len(self._starting) + len(self._busy) + len(self._idle) < self._size:
            actor = self._actor_class.remote(self._function)
            self._starting[actor.version.remote()] = actor

    def _room(self) -> int:
        """How many actors the cluster can hold; one at least, which makes a cluster that can grow do so."""
        if self._options.most is not None:
            return self._options.most
        has: dict[str, float] = self._ray.cluster_resources()
        room = has.get("CPU", 0) / self._options.cpus
        if self._options.gpus:
            room = min(room, has.get("GPU", 0) / self._options.gpus)
        return max(1, math.floor(room + 1e-9))

    def _take_in(self, ref: Any) -> None:
        """An actor is ready, or died before it was."""
        actor = self._starting.pop(ref)
        try:
            theirs = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            text = redacted(" ".join(str(error).split()))
            if "No module named" in text:
                raise OptionError(
                    "A machine of the Ray cluster lacks a package that this one has: install the same "
                    f"tinct[batch] there. ({text[-200:]})"
                ) from None
            if self._failed_starts >= START_ATTEMPTS:
                raise WorkerError(
                    f"{self._failed_starts} Ray actors died before they could begin: {text[:300]}"
                ) from None
            return
        if theirs != __version__:
            raise OptionError(
                f"A machine of the Ray cluster has tinct {theirs}, this one {__version__}; install one "
                "version on all."
            )
        self._failed_starts = 0
        self._idle.append(actor)

    def _finish(self, ref: Any) -> Iterator[tuple[int, Result | Exception]]:
        """A task is done, or its actor died of it or with its machine."""
        actor, job = self._busy.pop(ref)
        try:
            _, outcome = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            # One that cannot be reached may still run: its task must not run twice.
            self._kill(actor)
            job.deaths += 1
            if job.deaths <= self._options.retries:
                self._again.append(job)
            else:
                yield job.index, WorkerError(_set_aside(self._name(job.task), job.deaths, error))
            return
        except self._ray.exceptions.RayError as error:  # the task or its result cannot travel
            self._idle.append(actor)
            yield job.index, WorkerError(f"{self._name(job.task)}: {redacted(str(error).strip())[-300:]}")
            return
        self._idle.append(actor)
        yield job.index, outcome

    def stop(self) -> None:
        """End all actors."""
        for actor in [*self._starting.values(), *(actor for actor, _ in self._busy.values()), *self._idle]:
            self._kill(actor)

    def _kill(self, actor: Any) -> None:
        with suppress(Exception):  # Ray, or the machine, is gone already
            self._ray.kill(actor)


def _set_aside(name: str, deaths: int, error: Exception) -> str:
    """What to say of a task that ended every process that it was given to."""
    text = str(error).lower()
    if "running low on memory" in text:
        end = "memory ran out; give each video more room with --cpus-per-video or fewer --max-in-flight"
    elif "node has died" in text or "node died" in text:
        end = "the machine went away"
    else:
        end = "the process ended without a word, as after a crash in native code or when memory runs out"
    count = "Its process" if deaths == 1 else f"{deaths} processes in a row"
    return f"{count} died of {name}, which is set aside ({end})."
