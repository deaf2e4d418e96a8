"""What `tinct batch` costs beside the segmentation itself; all with stubs in the place of a network.

    python benchmarks/batch.py --only overhead workers memory first fed

overhead: seconds per video through Ray, by one actor, against `segment_to_folder` in a warm process.
workers:  videos per second of two actors against one; a stub that waits leaves other work on the machine out.
memory:   the driver's peak with 100 and with `--entries` entries, whose segmentation does nothing.
first:    seconds from the start of a process to its first result, by a Ray that it starts.
fed:      the share of the time in which actors have work, with `--actors` of them on processors that Ray only
          believes to have.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KITS = HERE.parent / "tests" / "kits"
sys.path[:0] = [str(KITS), str(HERE)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(KITS), str(HERE), os.environ.get("PYTHONPATH", "")])


class NoSegmentation:
    """In the place of `VideoSegmentation`: its rows of the table, without its work."""

    def __init__(self, options: Any) -> None:
        self.seconds = float(os.environ.get("NO_SEGMENTATION_SECONDS", "0"))

    def described(self, config: Any) -> dict[str, Any]:
        """What is recorded of the segmenter."""
        return {"method": "none"}

    def __call__(self, row: Any) -> dict[str, Any]:
        """A row of the table."""
        time.sleep(self.seconds)
        found = {"name": row.name, "video": row.video, "status": "complete", "error": None, "skipped": False}
        return found | {
            "frames": 1,
            "objects": 1,
            "seconds": self.seconds,
            "confidence": 0.5,
            "worst_frame": 0,
        }


def make_clips(folder: Path, videos: int, frames: int) -> None:
    """Clips of 48×64 pixels."""
    from batch_kit import make_clip

    for index in range(videos):
        make_clip(folder, f"clip{index:05}", frames, size=(48, 64))


def batch_times(clips: Path, out: Path, actors: int) -> list[float]:
    """When each result came, in seconds."""
    from batch_kit import still

    from tinct.batch import ActorOptions, VideoOptions
    from tinct.batch.manifest import Manifest
    from tinct.batch.run import segment_batch

    times: list[float] = []
    options = VideoOptions(str(out), segmenter=still)
    segment_batch(
        Manifest.open(str(clips)),
        options,
        ActorOptions(most=actors),
        progress=lambda *_: times.append(time.perf_counter()),
    )
    return times


def overhead(folder: Path, arguments: Any) -> dict[str, Any]:
    """Seconds per video, with and without Ray."""
    from batch_kit import Still

    from tinct.batch.cluster import ray_cluster
    from tinct.io.mask_files import read_mask
    from tinct.io.video import Video
    from tinct.runs.segment_to_folder import FolderOptions, segment_to_folder

    result: dict[str, Any] = {}
    for name, frames, seconds in (("short", 3, 0.0), ("long", 100, 0.1)):
        videos = arguments.videos if name == "short" else max(4, arguments.videos // 5)
        os.environ["STILL_SECONDS"] = str(seconds)
        clips = folder / f"{name}-clips"
        make_clips(clips, videos, frames)
        alone: list[float] = []
        for index in range(videos):
            began_s = time.perf_counter()
            clip = Video.open(clips / f"clip{index:05}")
            prompts = {0: read_mask(clips / f"clip{index:05}.png")}
            out = folder / f"{name}-alone" / str(index)
            segment_to_folder(Still(seconds), clip, prompts, out, FolderOptions(overlay=False))
            alone.append(time.perf_counter() - began_s)
        with ray_cluster("local", cpus=1):
            times = batch_times(clips, folder / f"{name}-out", 1)
        each = (times[-1] - times[0]) / (len(times) - 1)
        # The first loads what the others find.
        mean = sum(alone[1:]) / (len(alone) - 1)
        result[name] = {
            "videos": videos,
            "alone_s": round(mean, 4),
            "batch_s": round(each, 4),
            "overhead_s": round(each - mean, 4),
            "overhead_share": round(each / mean - 1, 4),
        }
    return result


def workers(folder: Path, arguments: Any) -> dict[str, Any]:
    """Videos per second of one actor and of two."""
    from tinct.batch.cluster import ray_cluster

    os.environ["STILL_SECONDS"] = "0.1"
    make_clips(folder / "clips", 60, 10)
    rates = []
    with ray_cluster("local", cpus=2):
        for actors in (1, 2):
            times = batch_times(folder / "clips", folder / f"out{actors}", actors)
            # From when all actors are there.
            rates.append((len(times) - 1 - actors) / (times[-1] - times[actors]))
    return {"videos_per_s": [round(rate, 3) for rate in rates], "ratio": round(rates[1] / rates[0], 3)}


DRIVER = """
import json, resource, sys, time
began = time.time()
import tinct.batch.run as run
from batch import NoSegmentation
from tinct.batch import ActorOptions, VideoOptions
from tinct.batch.cluster import ray_cluster
from tinct.batch.manifest import Manifest

run.VideoSegmentation = NoSegmentation
manifest, out, cpus, actors = sys.argv[1:]
times = []
with ray_cluster("local", cpus=int(cpus)):
    run.segment_batch(
        Manifest.open(manifest), VideoOptions(out), ActorOptions(most=int(actors)),
        progress=lambda *_: times.append(time.time() - began),
    )
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(json.dumps({"times": times, "peak_mb": peak}))
"""


def driven(folder: Path, entries: int, *, actors: int = 2, seconds: float = 0.0) -> dict[str, Any]:
    """A driver in a process of its own, over a manifest of so many entries."""
    folder.mkdir(parents=True)
    manifest = folder / "clips.jsonl"
    with manifest.open("w") as stream:
        for index in range(entries):
            video = f"s3://bucket/a/usual/path/clip-{index:06}.mp4"
            stream.write(json.dumps({"video": video, "masks": [video.replace(".mp4", ".png")]}) + "\n")
    words = [sys.executable, "-c", DRIVER, str(manifest), str(folder / "out"), str(actors), str(actors)]
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "NO_SEGMENTATION_SECONDS": str(seconds)},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory(folder: Path, arguments: Any) -> dict[str, Any]:
    """The driver's peak memory."""
    few, many = (driven(folder / str(count), count) for count in (100, arguments.entries))
    span = many["times"][-1] - many["times"][100]
    return {
        "peak_mb": {"100": round(few["peak_mb"], 1), str(arguments.entries): round(many["peak_mb"], 1)},
        "growth": round(many["peak_mb"] / few["peak_mb"] - 1, 4),
        "driver_s_per_entry": round(span / (arguments.entries - 101), 5),
    }


def first(folder: Path, arguments: Any) -> dict[str, Any]:
    """Seconds to the first result."""
    return {"first_result_s": [round(driven(folder / str(i), 4)["times"][0], 2) for i in range(3)]}


def fed(folder: Path, arguments: Any) -> dict[str, Any]:
    """How busy many actors are."""
    actors = arguments.actors
    # Here they start one after the other, and the first must not be done before the last has begun.
    seconds = max(5.0, actors / 8)
    times = driven(folder / "fed", 12 * actors, actors=actors, seconds=seconds)["times"]
    # From when all have started to when the first has nothing more to do.
    inner = times[6 * actors : 11 * actors + 1]
    rate = (len(inner) - 1) / (inner[-1] - inner[0])
    return {"actors": actors, "busy_share": round(rate * seconds / actors, 4), "videos_per_s": round(rate, 2)}


PARTS: dict[str, Callable[[Path, Any], dict[str, Any]]] = {
    "overhead": overhead,
    "workers": workers,
    "memory": memory,
    "first": first,
    "fed": fed,
}


def main() -> None:
    """Run the parts and print what they found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--videos", type=int, default=30)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--actors", type=int, default=200)
    arguments = parser.parse_args()
    results = {}
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = PARTS[name](Path(folder), arguments)
        print(json.dumps({name: results[name]}), flush=True)


if __name__ == "__main__":
    main()
