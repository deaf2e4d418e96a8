"""Kill real runs at random moments, go on, and look for a finished mask that is lost, torn or another one.

    python benchmarks/kills.py --kills 1000 --seconds 1800

Each kind of run is made once undisturbed. Then it is begun, killed with SIGKILL after a random time, and
begun again, until it is complete. After every kill each file that is there must be that of the undisturbed
run, and none that was there before may be gone. Processes are forked from one that has the networks loaded,
so that most of the time goes into the runs themselves.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinct.runs.folder_lock import LockWarning

FRAMES, H, W = 30, 96, 128

Files = dict[str, bytes]
"""Name below a folder → content."""


@dataclass(frozen=True)
class KindOfRun:
    """One kind of work that is killed.

    Attributes:
        name: For the report.
        work: Does it into a folder, and goes on with what lies there.
        results: Where below that folder the files lie that are compared.
        appears_whole: They appear all at once, when all is done.
    """

    name: str
    work: Callable[[Path], None]
    results: str = "masks"
    appears_whole: bool = False


@dataclass
class Report:
    """What the kills did.

    Attributes:
        kills: How many hit a run before it was complete.
        completed: Runs that came to their end.
        faults: What was lost, torn or different, with the kind of run.
    """

    kills: int = 0
    completed: int = 0
    faults: list[str] = field(default_factory=list)


def clip() -> tuple[Any, dict[int, np.ndarray]]:
    """A textured video in which two squares move, and their mask in its first frame."""
    from tinct.io.video import Video

    draws = np.random.default_rng(0)
    ground = draws.integers(60, 140, (H, W, 3)).astype(np.uint8)
    frames, labels = [], np.zeros((H, W), np.uint8)
    for t in range(FRAMES):
        frame = ground.copy()
        frame[20:50, 10 + t : 40 + t], frame[40:80, 90 - t : 115 - t] = (200, 60, 40), (50, 80, 210)
        frames.append(frame)
    labels[20:50, 10:40], labels[40:80, 90:115] = 1, 7
    return Video.from_arrays(frames), {0: labels}


def segmenting(method: str, **options: Any) -> Callable[[Path], None]:
    """A run of a method over the clip, resumed if it was begun."""
    from tinct.runs.segment_to_folder import FolderOptions, segment_to_folder
    from tinct.zoo import build_segmenter

    video, prompts = clip()
    segmenter = build_segmenter(method, device="cpu", **options)

    def work(out: Path) -> None:
        import torch

        torch.manual_seed(0)
        options = FolderOptions(resume=True, overlay=False)
        segment_to_folder(segmenter, video, prompts, out, options, info={"method": method})

    return work


def exporting(to: str, run: Path) -> Callable[[Path], None]:
    """An export of a complete run."""
    from tinct.interchange.exports import LabelledVideo, export

    video, _ = clip()

    def work(out: Path) -> None:
        out.mkdir(exist_ok=True)
        if not (out / "export").exists():  # a folder is whole once it is there, and never written over
            export(LabelledVideo.of_run(run, video), to, out / "export")

    return work


def contents(folder: Path) -> Files:
    """The files below a folder that are not on their way to their place, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def run_and_kill(work: Callable[[Path], None], out: Path, after_s: float) -> bool:
    """Do the work in a process of its own, which is killed after a time; whether it was done before."""
    child = os.fork()
    if child == 0:
        status = 1
        warnings.simplefilter("ignore", LockWarning)  # every kill leaves a lock
        try:
            work(out)
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    end = time.monotonic() + after_s
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise RuntimeError(f"the run failed by itself, with status {status}")
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def faults_of(
    kind: KindOfRun, found: dict[str, bytes], before: dict[str, bytes], right: dict[str, bytes]
) -> list[str]:
    """What is wrong after a kill."""
    wrong = [
        f"{kind.name}: {name} is not as it should be" for name in found if found[name] != right.get(name)
    ]
    wrong += [f"{kind.name}: {name} was there, and is gone" for name in before if name not in found]
    if kind.appears_whole and found and len(found) < len(right):
        wrong.append(f"{kind.name}: {len(found)} of {len(right)} files appeared")
    return wrong


def kill_often(folder: Path, kinds: list[KindOfRun], kills: int, seconds: float, seed: int = 0) -> Report:
    """Kill runs of each kind in turn until there were `kills`, or the time is over."""
    report, draws, begun = Report(), random.Random(seed), time.monotonic()
    right, took = {}, {}
    for kind in kinds:
        out = folder / f"{kind.name} undisturbed".replace(" ", "-")
        start = time.monotonic()
        run_and_kill(kind.work, out, after_s=3600.0)
        took[kind.name], right[kind.name] = time.monotonic() - start, contents(out / kind.results)
    number = 0
    while report.kills < kills and time.monotonic() - begun < seconds:
        kind = kinds[number % len(kinds)]
        out, before, done = folder / f"run-{number}", {}, False
        while not done and report.kills < kills and time.monotonic() - begun < seconds:
            done = run_and_kill(kind.work, out, after_s=draws.uniform(0, 1.3) * took[kind.name])
            found = contents(out / kind.results)
            report.faults += faults_of(kind, found, before, right[kind.name])
            report.kills += not done
            before = found
        if done:
            report.completed += 1
            if before != right[kind.name]:
                report.faults.append(f"{kind.name}: the result is not that of an undisturbed run")
        number += 1
    return report


def kinds_of_runs(folder: Path) -> list[KindOfRun]:
    """The kinds that are killed by default."""
    first = folder / "exported"
    streaming = segmenting("feelvos", preset="fast")
    run_and_kill(streaming, first, after_s=3600.0)
    return [
        KindOfRun("FEELVOS, fast", streaming),
        KindOfRun("OSVOS, fine-tuned", segmenting("osvos", fine_tune="3")),
        KindOfRun("DyeNet", segmenting("dyenet")),
        KindOfRun("export of cut-outs", exporting("cutout-png", first), "export", appears_whole=True),
        KindOfRun("export of COCO", exporting("coco", first), "", appears_whole=True),
    ]


def main() -> int:
    """Print the report; 1 if there was a fault."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # a forked process has no other threads
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = kill_often(folder, kinds_of_runs(folder), chosen.kills, chosen.seconds, chosen.seed)
    print(*report.faults, sep="\n")
    kills, completed, faults = report.kills, report.completed, len(report.faults)
    print(f"seed {chosen.seed}: {kills} kills, {completed} runs completed, {faults} faults.")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
