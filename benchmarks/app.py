"""How quickly the page of `tinct app` is there, shows its first mask, and answers while frames are computed.

    python benchmarks/app.py --video clip.mp4 --json app.json

    page_s             from the command to an answered page
    loaded_s           ... and until the worker has its network loaded
    first_mask_s       from "run" to the first mask in the page's hands (median of --repeats)
    scrub_p95_ms       a finished frame and its mask, at random, while others are computed (95th percentile)
    rss_mib            the server's memory at the end; --frames 10000 shows that it does not grow

Without --video, a video is drawn.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from app_client import Page, ServerProcess, app_command, report, until
from speed import HEIGHT, WIDTH, MovingShapes, write_video

BARS = {"loaded_s": 5.0, "first_mask_s": 1.0, "scrub_p95_ms": 100.0}
"""What is aimed at."""

SCRUBS = 100


def first_mask(page: Page) -> float:
    """Seconds from "run" until the mask of the first computed frame was fetched."""
    shown = len(page.frames())
    began = time.perf_counter()
    page.call("POST", "/run", {"start": 0})
    until(lambda: len(page.frames()) > shown, 300)
    page.mask(page.frames()[shown][1])
    return time.perf_counter() - began


def scrub(page: Page, draws: random.Random) -> float:
    """Milliseconds for one finished frame and its mask."""
    index = draws.choice(page.frames())[1]
    began = time.perf_counter()
    page.raw("GET", f"/api/projects/{page.project}/frames/{index}.jpg?width=854")
    page.mask(index)
    return 1000 * (time.perf_counter() - began)


def measure(
    video: Path, projects: Path, labels: np.ndarray | None, given: argparse.Namespace
) -> dict[str, Any]:
    """All figures of one server."""
    with ServerProcess(app_command(video, projects, "--method", given.method)) as server:
        page = Page(server.address)
        page.raw("GET", "/")
        document = page.call("GET")
        found: dict[str, Any] = {"page_s": time.perf_counter() - server.began}
        until(lambda: page.json("GET", "/api/status")["ready"], 300)
        found["loaded_s"] = time.perf_counter() - server.began
        if labels is None:
            labels = np.zeros((document["height"], document["width"]), np.uint8)
            labels[document["height"] // 3 : document["height"] // 2, document["width"] // 3 :][:, :80] = 1
        page.listen()
        page.paint(0, labels)
        times = []
        for _ in range(given.repeats):
            times.append(first_mask(page))
            page.call("POST", "/cancel", {})
        found["first_mask_s"] = float(np.median(times))
        page.call("POST", "/run", {"start": 0})
        until(lambda: len(page.frames()) >= given.repeats + 20, 600)
        draws, scrubs = random.Random(0), []
        while len(scrubs) < SCRUBS and page.call("GET")["run"]["status"] == "running":
            scrubs.append(scrub(page, draws))
            time.sleep(0.05)
        found["scrub_p50_ms"], found["scrub_p95_ms"] = (float(np.percentile(scrubs, q)) for q in (50, 95))
        found["fps_while_scrubbed"] = page.call("GET")["run"]["fps"]
        found["scrubs"], found["frames"] = len(scrubs), document["frames"]
        found["rss_mib"] = resident_mib(server.process.pid)
    return found


def resident_mib(pid: int) -> float | None:
    """A process's memory now; None where the system does not tell so."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--frames", type=int, default=250, help="of the film that is drawn")
    parser.add_argument("--method", default="feelvos")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video, labels = given.video, None
        if video is None:
            video = Path(folder) / "film.mp4"
            shapes = MovingShapes(HEIGHT, WIDTH, 2)
            write_video(video, shapes, given.frames)
            labels = shapes.frame(0)[1]
        found = measure(video, Path(folder) / "projects", labels, given)
    report(found, BARS, 3, given.json)


if __name__ == "__main__":
    main()
