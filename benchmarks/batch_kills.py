"""Kill parts of a batch at random moments, and look for a finished video that is lost, changed or doubled.

    python benchmarks/batch_kills.py --kills 100

A small Ray cluster runs on this machine: a head without processors and two machines of one each. A driver
segments tiny clips there with a stub. Until enough was killed, one of these dies at a random moment: an
actor, any process of Ray's workers, a whole machine (another one joins), or the driver (it is started again
with `resume`). One clip always ends its process; it must be set aside and stop nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "kits"))

KINDS = ("actor", "actor", "actor", "actor", "worker", "worker", "machine", "driver", "driver")
"""What dies, as often as it stands here."""

RETRIES = 8
"""More than random kills are likely to hit one video."""


def drive(clips: str, out: str, address: str) -> None:
    """The driver's process."""
    from batch_kit import still

    from tinct.batch import ActorOptions, VideoOptions
    from tinct.batch.cluster import ray_cluster
    from tinct.batch.manifest import Manifest
    from tinct.batch.run import segment_batch

    with ray_cluster(address):
        options = VideoOptions(out, segmenter=still)
        segment_batch(Manifest.open(clips), options, ActorOptions(retries=RETRIES), resume=True)


class Killing:
    """A cluster, a driver on it, and what was killed.

    Args:
        folder: For clips and outputs.
        videos: Number of clips, beside the one that ends its process.
        seed: Of what dies when.
        pause_s: Between two kills, on average.
    """

    def __init__(self, folder: Path, videos: int, seed: int, pause_s: float) -> None:
        from batch_kit import make_clip

        from tinct.batch.cluster import ray_module

        ray_module()
        from ray.cluster_utils import Cluster

        self.folder, self.draws, self.videos = folder, random.Random(seed), videos
        self.pause_s = pause_s
        self.kills: Counter[str] = Counter()
        self.faults: list[str] = []
        for index in range(videos):
            make_clip(folder / "clips", f"clip{index:04}", 6)
        make_clip(folder / "clips", "poison", 6, value=13)
        path = [str(HERE.parent / "tests/kits"), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
        os.environ.setdefault("STILL_SECONDS", "0.05")
        small = {"object_store_memory": 80 * 2**20}
        self.cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
        )
        self.machine = {"num_cpus": 1, **small}
        for _ in range(2):
            self.cluster.add_node(**self.machine)

    def round(self, number: int, until: int) -> None:
        """One batch from its start to its end, with kills until there are enough."""
        out = self.folder / f"out{number}"
        driver, before = self.start(out), self.finished(out)
        while driver.poll() is None:
            time.sleep(self.draws.uniform(0, 2 * self.pause_s))
            if sum(self.kills.values()) < until and driver.poll() is None:
                kind = self.draws.choice(KINDS)
                self.kills[kind] += self.kill(kind, driver)
                if kind == "driver":
                    driver.wait()
                    driver = self.start(out)
            now = self.finished(out)
            self.faults += [
                f"round {number}: {name} was lost or changed"
                for name in before
                if now.get(name) != before[name]
            ]
            before = now
        if driver.returncode:
            self.faults.append(f"round {number}: the driver failed: {driver.communicate()[1][-500:]}")
        else:
            self.check(number, out)

    def start(self, out: Path) -> subprocess.Popen[str]:
        """A driver, which goes on with what is in `out`."""
        words = [
            sys.executable,
            __file__,
            "--drive",
            str(self.folder / "clips"),
            str(out),
            self.cluster.address,
        ]
        return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def finished(self, out: Path) -> dict[str, bytes]:
        """The results that are there, by video."""
        return {path.parent.name: path.read_bytes() for path in out.glob("videos/*/result.json")}

    def kill(self, kind: str, driver: subprocess.Popen[str]) -> int:
        """Kill something of a kind; 0 if there is none."""
        if kind == "driver":
            driver.kill()
            return 1
        if kind == "machine":
            machine = self.draws.choice(sorted(self.cluster.worker_nodes, key=id))
            self.cluster.remove_node(machine, allow_graceful=False)
            self.cluster.add_node(**self.machine)
            return 1
        pids = self.workers("ray::Caller" if kind == "actor" else "ray::")
        if not pids:
            return 0
        os.kill(self.draws.choice(pids), signal.SIGKILL)
        return 1

    def workers(self, name: str) -> list[int]:
        """The processes of our own machines whose name begins like this."""
        import psutil

        pids = []
        for node in self.cluster.worker_nodes:
            raylet = node.all_processes["raylet"][0].process.pid
            try:
                for child in psutil.Process(raylet).children(recursive=True):
                    if " ".join(child.cmdline()).startswith(name):
                        pids.append(child.pid)
            except psutil.Error:
                continue
        return pids

    def check(self, number: int, out: Path) -> None:
        """The table and the outputs at the end of a round."""
        import numpy as np
        from batch_kit import table

        from tinct.io.mask_files import read_mask

        rows = table(out)
        if len(rows) != self.videos + 1:
            self.faults.append(f"round {number}: {len(rows)} rows for {self.videos + 1} videos")
        for name, row in rows.items():
            expected = "set aside" if name == "poison" else "complete"
            if row["status"] != expected:
                self.faults.append(f"round {number}: {name} is {row['status']}: {row['error']}")
            elif expected == "complete":
                painted = read_mask(self.folder / "clips" / f"{name}.png")
                masks = sorted((out / "videos" / name / "masks").iterdir())
                if len(masks) != 6 or not all(np.array_equal(read_mask(mask), painted) for mask in masks):
                    self.faults.append(f"round {number}: {name} has other masks")


def main() -> None:
    """Run it; exit code 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between kills, on average")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", nargs=3, help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.drive:
        drive(*arguments.drive)
        return
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        killing = Killing(Path(folder), arguments.videos, arguments.seed, arguments.pause)
        rounds = 0
        try:
            while sum(killing.kills.values()) < arguments.kills and not killing.faults:
                killing.round(rounds, arguments.kills)
                rounds += 1
                print(f"round {rounds}: {dict(killing.kills)}, {len(killing.faults)} faults", file=sys.stderr)
        finally:
            killing.cluster.shutdown()
    result = {
        "kills": dict(killing.kills),
        "rounds": rounds,
        "videos": rounds * (arguments.videos + 1),
        "faults": killing.faults,
        "seconds": round(time.monotonic() - began_s),
    }
    print(json.dumps(result, indent=1))
    sys.exit(bool(killing.faults))


if __name__ == "__main__":
    main()
