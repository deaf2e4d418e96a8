"""The static page of examples/onnx/web in Chromium: a video is opened, painted and segmented, by no server.

ONNX Runtime's files for browsers come from npm and are not in the repository: put `onnxruntime-web/dist` at
examples/onnx/web/ort, as docs/onnx.md says, or name it in TINCT_ORT_WEB; the test is skipped without it.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tinct.zoo.export_model import export_model

WEB = Path(__file__).parents[1] / "examples/onnx/web"
RUNTIME = Path(os.environ.get("TINCT_ORT_WEB", WEB / "ort"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE, RATE, FRAMES = (272, 480), 10, 6  # as the preset works: small arrays would hide what large ones break

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(
        not (RUNTIME / "ort.wasm.min.js").exists(), reason="the npm package onnxruntime-web is not here"
    ),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def box(index: int) -> tuple[slice, slice]:
    return slice(68, 181), slice(60 + 20 * index, 210 + 20 * index)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    for name in ("index.html", "main.js", "segmenter.js"):
        shutil.copy(WEB / name, tmp_path)
    (tmp_path / "ort").symlink_to(RUNTIME.resolve())
    export_model("feelvos", tmp_path / "model", preset="fast", half=True)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A textured box that moves to the right, in a format that every Chromium reads."""
    random = np.random.default_rng(5)
    ground, thing = (
        cv2.resize(random.integers(low, low + 100, (8, 10, 3), dtype=np.uint8), SIZE[::-1])
        for low in (0, 150)
    )
    path = tmp_path / "box.webm"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libvpx", rate=Fraction(RATE))
        stream.height, stream.width = SIZE
        stream.bit_rate = 4_000_000
        for index in range(FRAMES):
            frame = ground.copy()
            frame[box(index)] = thing[box(0)]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


def test_a_painted_video_is_segmented_in_the_browser(address: str, video: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.set_input_files("#video", video)
        page.get_by_text("Paint each object").wait_for()
        paint(page)
        page.get_by_role("button", name="Segment").click()
        page.get_by_text("Done:").wait_for(timeout=60_000)
        print(page.inner_text("#status"))
        results = page.evaluate("window.results.map((r) => [Array.from(r.labels), Array.from(r.dims)])")
        browser.close()
    assert len(results) == FRAMES - 1
    for index, (labels, (count, height, width)) in enumerate(results, 1):
        assert count == 2
        found = (
            cv2.resize(np.array(labels, np.uint8).reshape(height, width), SIZE[::-1], interpolation=0) == 1
        )
        truth = np.zeros(SIZE, bool)
        truth[box(index)] = True
        assert (found & truth).sum() / (found | truth).sum() > 0.8


def paint(page: object) -> None:
    """Brush over the box of the first frame."""
    canvas = page.locator("#picture").bounding_box()  # type: ignore[attr-defined]
    scale = canvas["width"] / SIZE[1]
    mouse = page.mouse  # type: ignore[attr-defined]
    for row in range(80, 181, 22):  # the brush is 24 pixels
        mouse.move(canvas["x"] + 72 * scale, canvas["y"] + row * scale)
        mouse.down()
        mouse.move(canvas["x"] + 198 * scale, canvas["y"] + row * scale, steps=12)
        mouse.up()
