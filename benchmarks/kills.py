"""Kill real work at random moments, go on, and look for a finished file that is lost, torn or another one.

    python benchmarks/kills.py --kills 1000 --seconds 1800

Each kind of work is done once undisturbed. Then it is begun, killed with SIGKILL after a random time, and
begun again, until it is complete. After every kill each file that is there must be that of the undisturbed
work, and none that was there before may be gone. Processes are forked from one that has the networks loaded,
so that most of the time goes into the work itself; a part of them (`--whole`) are whole commands, which are
killed while they start, too.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kills_work import Work, works

SHARE_AT_FIRST, GROWTH = 0.4, 1.15
"""The first kill comes within so much of the time that the work takes; from kill to kill the time grows, so
that work that begins anew after each comes to its end, too."""

Files = dict[str, bytes]
"""Name below a folder → content."""


@dataclass
class Report:
    """What the kills did.

    Attributes:
        kills: How many hit a work before it was complete, by its name.
        completed: How often a work came to its end.
        faults: What was lost, torn or different, with the work's name.
    """

    kills: Counter[str] = field(default_factory=Counter)
    completed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def contents(folder: Path, ignored: tuple[str, ...] = ()) -> Files:
    """The files below a folder that are not on their way to their place, by name.

    Args:
        folder: It need not be there.
        ignored: Names of files and folders that are left out.
    """
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in files.items()
        if not any(part.startswith(".") or part in ignored for part in name.parts)
    }


def run_and_kill(work: Work, out: Path, after_s: float, *, whole: bool = False) -> bool:
    """Do the work in a process of its own, which is killed after a time; whether it was done before.

    Raises:
        RuntimeError: It failed by itself.
    """
    wait, kill = _command(work, out) if whole and work.words else _fork(work.do, out)
    end = time.monotonic() + after_s
    while time.monotonic() < end:
        status = wait()
        if status is not None:
            if status:
                raise RuntimeError(f"{work.name} failed by itself, with status {status}")
            return True
        time.sleep(0.002)
    kill()
    return False


def do_apart(work: Work, out: Path) -> None:
    """Do the work undisturbed, in a process of its own."""
    run_and_kill(work, out, after_s=3600.0)


def _fork(do: Callable[[Path], None], out: Path) -> tuple[Callable[[], int | None], Callable[[], None]]:
    """A fork of this process that does the work: how to ask for its exit status, how to kill it."""
    child = os.fork()
    if child == 0:
        status = 1
        warnings.simplefilter("ignore")  # every kill leaves a lock, and that is said
        try:
            do(out)
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)

    def wait() -> int | None:
        ended, status = os.waitpid(child, os.WNOHANG)
        return status if ended else None

    def kill() -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    return wait, kill


def _command(work: Work, out: Path) -> tuple[Callable[[], int | None], Callable[[], None]]:
    """The command that does the work: how to ask for its exit status, how to kill it."""
    words = [sys.executable, "-m", "tinct", *(str(out) if word == "OUT" else word for word in work.words)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill() -> None:
        process.kill()
        process.wait()

    return process.poll, kill


def faults_of(work: Work, found: Files, before: Files, right: Files) -> list[str]:
    """What is wrong after a kill."""
    wrong = [
        f"{work.name}: {name} is not as it should be" for name in found if found[name] != right.get(name)
    ]
    wrong += [f"{work.name}: {name} was there, and is gone" for name in before if name not in found]
    if work.appears_whole and found and len(found) < len(right):
        wrong.append(f"{work.name}: {len(found)} of {len(right)} files appeared")
    return wrong


def kill_often(
    folder: Path,
    kinds: list[Work],
    kills: int,
    seconds: float,
    seed: int = 0,
    *,
    whole_share: float = 0.0,
    listener: Callable[[str], Any] = lambda line: None,
) -> Report:
    """Kill each kind of work in turn until there were so many kills, or the time is over.

    Args:
        folder: For the results.
        kinds: The kinds of work.
        kills: How many.
        seconds: At most.
        seed: Of the moments.
        whole_share: Of how many of the works all processes are whole commands.
        listener: Called with a line for each fault, and for each work that came to its end.
    """
    report, draws, begun = Report(), random.Random(seed), time.monotonic()
    right, took = {}, {}
    for work in kinds:
        out = folder / f"{work.name} undisturbed".replace(" ", "-")
        for whole in (False, True)[: 2 if whole_share and work.words else 1]:
            start = time.monotonic()
            run_and_kill(work, out.with_name(f"{out.name}{whole:d}"), after_s=3600.0, whole=whole)
            took[work.name, whole] = time.monotonic() - start
        right[work.name] = contents(out.with_name(f"{out.name}0") / work.results, work.ignored)
    number = 0

    def goes_on() -> bool:
        return report.kills.total() < kills and time.monotonic() - begun < seconds

    while goes_on():
        work, out = kinds[number % len(kinds)], folder / f"out-{number}"
        whole, before, done = bool(work.words) and draws.random() < whole_share, Files(), False
        within_s = SHARE_AT_FIRST * took[work.name, whole]
        while not done and goes_on():
            after_s, within_s = draws.uniform(0, within_s), GROWTH * within_s
            done = run_and_kill(work, out, after_s, whole=whole)
            found = contents(out / work.results, work.ignored)
            faults = faults_of(work, found, before, right[work.name])
            if done and found != right[work.name]:
                faults.append(f"{work.name}: the result is not that of undisturbed work")
            report.faults += faults
            report.kills[work.name] += not done
            report.completed[work.name] += done
            for fault in faults:
                listener(f"{fault} (seed {seed}, work {number})")
            before = found
        number += 1
        listener(f"{report.kills.total()} kills in {time.monotonic() - begun:.0f} s")
    return report


def main() -> int:
    """Print the report; 1 if there was a fault."""
    import cv2
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", type=float, default=0.05, help="share of works that are whole commands")
    parser.add_argument("--work", action="append", help="only this kind of work; may be given several times")
    parser.add_argument("--quiet", action="store_true", help="print the end only")
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # a forked process has no other threads
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = [each for each in works(folder, do_apart) if each.name in (chosen.work or [each.name])]
        listener: Callable[[str], Any] = (lambda line: None) if chosen.quiet else print
        limits = chosen.kills, chosen.seconds, chosen.seed
        report = kill_often(folder, kinds, *limits, whole_share=chosen.whole, listener=listener)
    print(f"{'work':<24}{'kills':>7}{'completed':>11}")
    for kind in report.kills | report.completed:
        print(f"{kind:<24}{report.kills[kind]:>7}{report.completed[kind]:>11}")
    print(*report.faults, sep="\n")
    print(
        f"seed {chosen.seed}: {report.kills.total()} kills, {report.completed.total()} works completed, "
        f"{len(report.faults)} faults."
    )
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
