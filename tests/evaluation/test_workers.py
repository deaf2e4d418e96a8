from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tinct.errors import MaskError, WorkerError
from tinct.evaluation import workers as workers_module
from tinct.evaluation.workers import Failure, outcomes_of

SECONDS_TO_END = 20
"""What a process may take to end on a busy machine."""


@pytest.fixture(autouse=True)
def _workers_find_this_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A spawned process imports the functions below by the name that this module has here."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    yield
    assert not multiprocessing.active_children()


def halved(number: int) -> float:
    if number % 2:
        raise MaskError(f"{number} is odd")
    return number / 2


class Counter:
    """Counts its own calls: what a worker keeps from one task to the next."""

    calls = 0

    def __call__(self, task: int) -> tuple[int, int]:
        self.calls += 1
        return os.getpid(), self.calls


def killed_until_marked(task: tuple[Path, str]) -> str:
    """ "once" dies the first time, "always" dies every time; what else comes is given back."""
    folder, what = task
    mark = folder / what
    if what == "always" or (what == "once" and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return what


class FussyError(Exception):
    """Cannot be unpickled: it wants two arguments, and its state tells of one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def troublesome(task: str) -> Any:
    if task == "error":
        raise FussyError("one", "two")
    return {"lambda": lambda: 0, "fine": "fine"}[task]


def doubled_bytes(data: bytes) -> bytes:
    return data * 2


def deaf_unless_none(folder: Path | None) -> None:
    if folder is None:
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (folder / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("workers", [0, 1, 2, 9])
def test_every_task_gives_its_result(workers: int) -> None:
    results = dict(outcomes_of(halved, [8, 2, 0, 6], workers))
    assert results == {0: 4.0, 1: 1.0, 2: 0.0, 3: 3.0}


def test_without_tasks_nothing_happens() -> None:
    assert list(outcomes_of(halved, [], 2)) == []


def test_a_single_task_or_worker_needs_no_process() -> None:
    assert [pid for _, (pid, _) in outcomes_of(Counter(), [1], 2)] == [os.getpid()]
    assert [pid for _, (pid, _) in outcomes_of(Counter(), [1, 2], 1)] == [os.getpid()] * 2


def test_a_worker_keeps_what_its_function_made() -> None:
    seen: dict[int, list[int]] = {}
    for _, (pid, calls) in outcomes_of(Counter(), range(7), 2):
        seen.setdefault(pid, []).append(calls)
    assert os.getpid() not in seen
    assert len(seen) <= 2
    assert all(calls == list(range(1, len(calls) + 1)) for calls in seen.values())


def test_a_task_whose_worker_died_once_is_done_by_another(tmp_path: Path) -> None:
    tasks = [(tmp_path, what) for what in ("a", "once", "b", "c")]
    results = dict(outcomes_of(killed_until_marked, tasks, 2))
    assert results == {0: "a", 1: "once", 2: "b", 3: "c"}


def test_a_task_that_kills_two_workers_is_named_after_all_others_are_done(tmp_path: Path) -> None:
    tasks = [(tmp_path, what) for what in ("a", "always", "b", "c")]
    outcomes = dict(outcomes_of(killed_until_marked, tasks, 2, name=lambda task: f"sequence {task[1]}"))
    error = outcomes.pop(1).error
    assert isinstance(error, WorkerError)
    assert re.search(r"died of sequence always \(killed by SIGKILL\).*fewer workers", str(error))
    assert outcomes == {0: "a", 2: "b", 3: "c"}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_the_outcome_of_its_task_alone(workers: int) -> None:
    outcomes = dict(outcomes_of(halved, [2, 1, 3, 4], workers))
    failures = [outcomes.pop(index) for index in (1, 2)]
    assert outcomes == {0: 1.0, 3: 2.0}
    assert all(isinstance(failure, Failure) and isinstance(failure.error, MaskError) for failure in failures)
    assert [str(failure.error) for failure in failures] == ["1 is odd", "3 is odd"]
    if workers == 2:
        assert "in halved" in failures[0].error.__notes__[0]


def test_what_cannot_be_pickled_is_an_error_of_its_task_alone() -> None:
    outcomes = dict(outcomes_of(troublesome, ["error", "lambda", "fine"], 2))
    assert outcomes[2] == "fine"
    assert "FussyError: one" in str(outcomes[0].error)
    assert "lambda" in str(outcomes[1].error)


def test_tasks_and_results_larger_than_a_pipe_pass() -> None:
    tasks = [bytes([i]) * 3_000_000 for i in range(4)]
    results = dict(outcomes_of(doubled_bytes, tasks, 2))
    assert all(results[i] == task * 2 for i, task in enumerate(tasks))


def test_closing_ends_workers_that_ignore_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "GRACE_S", 0.2)
    tasks: list[Path | None] = [None, tmp_path, tmp_path]
    with closing(outcomes_of(deaf_unless_none, tasks, 2)) as results:
        assert next(results) == (0, None)
        wait_for(lambda: any(tmp_path.iterdir()))
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids
    assert not any(is_running(pid) for pid in pids)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_END
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether there is such a process, other than one that ended and that nobody asked about yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


SCRIPT = """
    import os, sys, time
    from tinct.evaluation.workers import outcomes_of

    def work(task):
        try:
            print(f"{os.getpid()}\\n", end="", flush=True)
            for _ in range(60_000):
                time.sleep(0.01)
        finally:
            print("saved\\n", end="", flush=True)

    if __name__ == "__main__":
        try:
            list(outcomes_of(work, range(4), 2))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def script(folder: Path, text: str) -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A process that a shell began in the background passes on that Ctrl-C means nothing to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("to_all", [True, False])
def test_ctrl_c_lets_workers_save_and_leaves_no_process(tmp_path: Path, to_all: bool) -> None:
    process = script(tmp_path, SCRIPT)
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    # A terminal sends it to every process of the group; `kill` to one.
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=SECONDS_TO_END)
    assert sorted(out.split()) == ["interrupted", "saved", "saved"]
    assert error == ""
    assert process.returncode == 0
    assert not any(is_running(pid) for pid in pids)


@pytest.mark.parametrize("at", ["_ready", "_call"])
def test_ctrl_c_the_moment_a_task_is_handed_out_ends_its_worker_too(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(ProcessPoolExecutor):
        def submit(self, function: Any, /, *args: Any, **named: Any) -> Any:
            future = super().submit(function, *args, **named)
            if function.__name__ == at:
                raise KeyboardInterrupt
            return future

    monkeypatch.setattr(workers_module, "ProcessPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(outcomes_of(time.sleep, [600.0, 600.0], 2))
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_leave_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = script(tmp_path, SCRIPT)
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.communicate(timeout=SECONDS_TO_END)
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def test_workers_that_cannot_start_are_explained(tmp_path: Path) -> None:
    unguarded = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    process = script(tmp_path, unguarded)
    _, error = process.communicate(timeout=3 * SECONDS_TO_END)
    assert "WorkerError: 3 worker processes died before they could begin (exit code 1)" in error
    assert process.returncode == 1


def test_workers_do_without_torch() -> None:
    code = "import sys, tinct.evaluation.workers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
