"""How quickly a stroke is seen on the page of `tinct app`, in Chromium, on a frame of 3840×2160 pixels.

    python benchmarks/painting.py --json painting.json

    first_max_ms   of the first stroke, on an empty frame: from a pointer event to the end of the work for the
                   picture that shows it, the longest
    shown_..._ms   the same of all later strokes, which begin on the frame's mask
    gap_max_ms     the longest time between two pictures during these and for a second after each
    saved_ms       from the end of a stroke until its frame is on the disk (median)

The clip is drawn.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from app_client import ServerProcess, app_command, report
from speed import MovingShapes, write_video

BARS = {"first_max_ms": 50.0, "shown_max_ms": 50.0, "gap_max_ms": 50.0}
"""What is aimed at."""

WATCH = """() => {
  Object.assign(window, { shown: [], gaps: [] });
  const afterPicture = new MessageChannel();
  let waiting = [];
  afterPicture.port1.onmessage = () => {
    const now = performance.now();
    shown.push(...waiting.map((began) => now - began));
    waiting = [];
  };
  // The page draws in a callback of its own before the same picture; a message comes after both.
  const note = (event) => {
    if (!event.buttons) return;
    requestAnimationFrame(() => (waiting.push(event.timeStamp), afterPicture.port2.postMessage(0)));
  };
  for (const kind of ["pointerdown", "pointermove"]) addEventListener(kind, note, true);
  let last = performance.now();
  const tick = (now) => {
    gaps.push(now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""


def draw_stroke(page: Any, box: dict[str, float], number: int, moves: int) -> float:
    """Draw one wave across the picture; milliseconds from its end until it is saved."""
    height = box["y"] + box["height"] * (0.25 + 0.1 * (number % 6))
    left, width = box["x"] + box["width"] * 0.1, box["width"] * 0.8
    page.mouse.move(left, height)
    page.mouse.down()
    for step in range(1, moves + 1):
        share = step / moves
        page.mouse.move(left + share * width, height + 30 * math.sin(12 * share))
    page.mouse.up()
    began = time.perf_counter()
    page.wait_for_selector("#saving[data-state=saved]")
    saved_ms = 1000 * (time.perf_counter() - began)
    page.wait_for_timeout(1000)
    return saved_ms


def measure(address: str, given: argparse.Namespace) -> dict[str, Any]:
    """All figures of one page.

    Raises:
        RuntimeError: Chromium is not installed.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("This benchmark drives Chromium, which is not installed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": given.window[0], "height": given.window[1]})
        page.goto(address)
        page.wait_for_selector("#picture[data-shown]")
        page.wait_for_timeout(3000)  # what is loaded at the start is not painting
        page.evaluate(WATCH)
        box = page.locator("#picture").bounding_box()
        draw_stroke(page, box, 0, given.moves)
        first = page.evaluate("(gaps.splice(0), Math.max(...shown.splice(0)))")
        saved = [draw_stroke(page, box, number, given.moves) for number in range(1, given.strokes)]
        shown, gaps = page.evaluate("[shown, gaps]")
        browser.close()
    return {
        "first_max_ms": first,
        "shown_p50_ms": float(np.median(shown)),
        "shown_p95_ms": float(np.percentile(shown, 95)),
        "shown_max_ms": max(shown),
        "gap_p50_ms": float(np.median(gaps)),
        "gap_max_ms": max(gaps),
        "saved_ms": float(np.median(saved)),
        "events": len(shown),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--size", type=int, nargs=2, default=(2160, 3840), metavar=("H", "W"), help="of the frames"
    )
    parser.add_argument("--window", type=int, nargs=2, default=(1920, 1080), metavar=("W", "H"))
    parser.add_argument("--strokes", type=int, default=6)
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "film.mp4"
        write_video(video, MovingShapes(*given.size, 2), 2)
        with ServerProcess(app_command(video, Path(folder) / "projects", "--preset", "fast")) as server:
            found = measure(server.address, given)
    report(found, BARS, 1, given.json)


if __name__ == "__main__":
    main()
