"""The page in a real browser, served by the real server; both are started once for this folder."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from web_kit import FAKE_WORKER

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FRAMES, H, W = 8, 180, 320
STAND_IN = """
import sys
from pathlib import Path
from tinct.web.server import ServerOptions, serve
clip, projects, *worker = sys.argv[1:]
options = ServerOptions(
    [Path(clip)], Path(projects), port=0, browser=False, command=worker, promptable="grabcut"
)
serve(options, lambda line: print(line, flush=True))
"""
DRAWN = "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
MARGIN_PX = 12  # of the fitted frame, as in viewer.js


@dataclass(frozen=True)
class Things:
    """Where the three things of the clip are on a frame, as label maps; 3 comes on frame 3."""

    labels: list[np.ndarray]

    def centre(self, index: int, thing: int) -> tuple[float, float]:
        ys, xs = np.nonzero(self.labels[index] == thing)
        return float(xs.mean()), float(ys.mean())


class Studio:
    """One tab with an open video."""

    def __init__(self, page: Any, address: str, video: str) -> None:
        self.page, self.address, self.video = page, address, video
        self.clip: Things | None = None

    def open(self) -> Studio:
        self.page.goto(f"{self.address}#/{self.video}")
        self.page.wait_for_selector("body[data-screen=studio]")
        self.page.wait_for_selector("#picture[data-shown]")
        return self

    def document(self) -> dict[str, Any]:
        return self.page.request.get(f"{self.address}api/projects/{self.video}").json()

    def mask(self, index: int) -> np.ndarray | None:
        """The label map that the server shows for a frame, exactly."""
        answer = self.page.request.get(f"{self.address}api/projects/{self.video}/masks/{index}.png")
        if answer.status == 404:
            return None
        assert answer.ok, answer.text()
        return np.array(Image.open(io.BytesIO(answer.body())))

    def masks(self) -> list[np.ndarray]:
        found = [self.mask(index) for index in range(self.document()["frames"])]
        assert all(mask is not None for mask in found)
        return found  # type: ignore[return-value]

    # The screen

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the fitted frame lies in the window."""
        box = self.page.locator("#picture").bounding_box()
        document = self.document()
        width, height = document["width"], document["height"]
        scale = min((box["width"] - 2 * MARGIN_PX) / width, (box["height"] - 2 * MARGIN_PX) / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + x * scale, top + y * scale

    def picture(self) -> np.ndarray:
        """A screenshot of the window, RGB, once all that is known is drawn."""
        self.page.evaluate(DRAWN)
        return np.array(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)

    def colour_at(self, x: float, y: float) -> np.ndarray:
        """The colour shown at a point of the frame, the mean of a few screen pixels."""
        across, down = (round(value) for value in self.on_screen(x, y))
        return self.picture()[down - 2 : down + 3, across - 2 : across + 3].mean(axis=(0, 1))

    def keep_picture(self, path: Path) -> None:
        Image.fromarray(self.picture().astype(np.uint8)).save(path)

    def until(self, expression: str, seconds: float = 60) -> None:
        """Wait for the page. (Playwright's own way to wait for an expression breaks the page's CSP.)"""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(40)

    def becomes(self, true: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something holds that is asked from here: of the server, or of a screenshot."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not come"
            self.page.wait_for_timeout(50)

    # The hands

    def stroke(self, points: Sequence[tuple[float, float]], button: str = "left") -> None:
        """Draw through points of the frame, and wait until it is saved."""
        mouse = self.page.mouse
        mouse.move(*self.on_screen(*points[0]))
        mouse.down(button=button)
        for point in points[1:]:
            mouse.move(*self.on_screen(*point), steps=4)
        mouse.up(button=button)
        self.saved()

    def saved(self) -> None:
        self.page.wait_for_selector("#saving[data-state=saved]")

    def brush_size(self, diameter: int) -> None:
        """Press [ and ] until the brush is at most as large."""
        size = self.page.locator("#size-value")
        while int(size.inner_text().split()[0]) < diameter:
            self.page.keyboard.press("]")
        while int(size.inner_text().split()[0]) > diameter:
            self.page.keyboard.press("[")

    def go_to(self, index: int) -> None:
        self.page.locator("#frame").fill(str(index))
        self.page.locator("#frame").press("Enter")
        self.page.locator("#frame").evaluate("field => field.blur()")
        self.page.wait_for_selector(f"#picture[data-shown='{index}']")

    def run(self, key: str = "r") -> None:
        """Run from here with the fast preset, and wait for the end."""
        self.page.select_option("#preset", "fast")
        self.page.locator("#preset").evaluate("field => field.blur()")
        # The page may still show the run before; the server's answer is about this one.
        with self.page.expect_response(
            lambda answer: answer.url.endswith("/run") and answer.request.method == "POST", timeout=60_000
        ):
            self.page.keyboard.press(key)
        # It may wait for the network to be loaded, on a machine that has other things to do.
        self.becomes(lambda: self.document()["run"]["status"] == "done", 300)
        self.page.wait_for_selector("#run-progress[data-status=done]", timeout=300_000)
        self.until("document.getElementById('run-stage').textContent === 'Done'")

    def notice(self) -> str:
        """The text of the error that is shown."""
        return self.page.locator(".notice.error p").last.inner_text()


def draw_clip(folder: Path) -> Things:
    """A soft ground with a violet disc and a blue square that move, and a green disc that comes late."""
    draws = np.random.default_rng(7)
    coarse = draws.integers(90, 150, (9, 16, 3), np.uint8)
    ground = cv2.resize(coarse, (W, H), interpolation=cv2.INTER_CUBIC)
    folder.mkdir()
    labels = []
    for t in range(FRAMES):
        things = np.zeros((H, W), np.uint8)
        cv2.circle(things, (70 + 4 * t, 60 + 2 * t), 28, 1, -1)
        cv2.rectangle(things, (220 - 3 * t, 100), (270 - 3 * t, 150), 2, -1)
        if t >= 3:
            cv2.circle(things, (262 - 2 * t, 45), 20, 3, -1)
        picture = ground.copy()
        for thing, colour in ((1, (160, 40, 120)), (2, (205, 80, 20)), (3, (40, 170, 60))):
            texture = draws.integers(-12, 12, (H, W, 3))
            picture[things == thing] = np.clip(np.array(colour) + texture, 0, 255)[things == thing]
        assert cv2.imwrite(str(folder / f"{t:03d}.png"), picture)
        labels.append(things)
    return Things(labels)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Things]:
    folder = tmp_path_factory.mktemp("clip") / "things"
    return folder, draw_clip(folder)


@contextmanager
def serving(clip: Path, projects: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of `tinct app` with a clip; its worker loads compact FEELVOS."""
    command = [sys.executable, "-m", "tinct", "app", str(clip), "--projects", str(projects)]
    command += ["--port", str(port), "--no-browser", "--preset", "fast"]
    with listening(command) as found:
        yield found


@contextmanager
def listening(command: list[str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of a server, from when it says its address."""
    pytest.importorskip("starlette", reason="needs the extra [app]")
    pytest.importorskip("uvicorn", reason="needs the extra [app]")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[\w.:\[\]]+/", process.stdout.readline())
            assert found, "the server says its address when it is ready"
            yield found[0], process
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def server(clip: tuple[Path, Things], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server for all tests."""
    with serving(clip[0], tmp_path_factory.mktemp("projects")) as (address, _):
        yield address


@pytest.fixture
def serve(clip: tuple[Path, Things], tmp_path: Path) -> Callable[[int], Any]:
    """`with serve(port) as (address, process):` a server of one's own, each time with the same projects."""
    return lambda port: serving(clip[0], tmp_path, port)


@pytest.fixture
def stand_in(
    clip: tuple[Path, Things], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server whose worker shows the nearest painted frame, its rows moved, every 0.4 s.

    Clicks and boxes are answered by GrabCut: the clip is too artificial for a network made for photos.
    """
    monkeypatch.setenv("TINCT_TEST_FRAME_S", "0.4")
    projects = tmp_path / "projects"
    with listening([sys.executable, "-c", STAND_IN, str(clip[0]), str(projects), *FAKE_WORKER]) as found:
        yield found


@pytest.fixture
def uploaded(page: Any, server: str, clip: Any, studio_of: Any) -> Any:
    """An uploaded copy of the clip, so that the story's video is left alone."""
    page.goto(f"{server}#/")
    page.wait_for_selector("body[data-screen=start]")
    page.set_input_files("#file", sorted(clip[0].glob("*.png")))
    page.wait_for_selector("#picture[data-shown]")
    opened = studio_of(page, page.evaluate("location.hash.match(/^#\\/([^/]+)/)[1]"))
    opened.clip = clip[1]
    return opened


@pytest.fixture
def stand_in_studio(stand_in: Any, page: Any, clip: tuple[Path, Things]) -> Studio:
    """The clip on that server, open in a tab."""
    page.goto(f"{stand_in[0]}#/")
    page.locator("#projects a").first.click()
    page.wait_for_selector("#picture[data-shown]")
    opened = Studio(page, stand_in[0], page.evaluate("location.hash.match(/^#\\/([^/]+)/)[1]"))
    opened.clip = clip[1]
    return opened


@pytest.fixture(scope="module")  # not longer: its event loop runs in the main thread
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    playwright_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab at 1280×720, dark; a script error on the page fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None
    )
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert not errors


@pytest.fixture
def studio_of(server: str) -> Callable[[Any, str], Studio]:
    """`studio_of(page, project)`: a tab that has a project open."""
    return lambda page, project: Studio(page, server, project)


@pytest.fixture
def studio(page: Any, server: str) -> Studio:
    """The clip, open in a tab."""
    listed = page.request.get(f"{server}api/projects").json()
    return Studio(page, server, next(each["id"] for each in listed if each["name"] == "things")).open()


@pytest.fixture
def blank(page: Any, server: str) -> Any:
    """A tab of the server without a video: from there the modules can be imported."""
    page.goto(f"{server}#/")
    page.wait_for_selector("body[data-screen=start]")
    return page
