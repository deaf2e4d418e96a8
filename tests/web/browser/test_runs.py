"""Runs in a real browser: kept, rejected, compared, bounded, begun again by painting, followed, cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def studio(stand_in_studio: Any) -> Any:
    return stand_in_studio


def run(studio: Any, key: str = "r") -> None:
    before = len(studio.document()["history"])
    studio.page.keyboard.press(key)
    studio.becomes(lambda: len(studio.document()["history"]) > before)
    studio.becomes(lambda: studio.document()["run"]["status"] == "done")
    studio.page.wait_for_selector("#verdict", state="visible")


def test_runs_are_compared_rejected_brought_back_bounded_and_locked(studio: Any, tmp_path: Path) -> None:
    page = studio.page
    studio.stroke([(60, 60), (110, 60)])
    run(studio)
    first = studio.masks()
    studio.go_to(3)
    studio.stroke([(200, 120), (250, 120)])
    run(studio)
    second = studio.masks()
    assert any((one != two).any() for one, two in zip(first, second, strict=True))

    # The wipe stands in the middle: the new stroke is right of it, and left of it is what was before.
    studio.go_to(5)
    at_stroke = studio.colour_at(225, 122)
    with page.expect_response(lambda answer: "before=" in answer.url):
        page.keyboard.press("w")
    page.wait_for_selector("#wipe", state="visible")
    assert np.abs(studio.colour_at(225, 122) - at_stroke).max() < 12
    box = page.locator("#wipe").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(*studio.on_screen(290, 100), steps=5)
    page.mouse.up()
    studio.becomes(lambda: np.abs(studio.colour_at(225, 122) - at_stroke).max() > 12)
    studio.keep_picture(tmp_path / "wipe.png")

    page.click("#reject")
    studio.until("document.getElementById('announcer').textContent.includes('is rejected')")
    assert page.locator("#wipe").is_hidden()
    rejected = studio.masks()
    assert all((rejected[i] == first[i]).all() for i in range(8) if i != 3)  # 3 is painted since
    page.click("#history")
    assert page.locator(".runs li").count() == 2
    studio.keep_picture(tmp_path / "history.png")
    page.get_by_role("button", name="Restore").click()
    page.wait_for_selector(".runs li[data-verdict=rejected]", state="detached")
    page.keyboard.press("Escape")
    assert all((now == then).all() for now, then in zip(studio.masks(), second, strict=True))
    page.keyboard.press("Control+z")  # the restoring
    studio.until("document.getElementById('announcer').textContent === 'Undone.'")
    assert (studio.masks()[5] == first[5]).all()
    page.keyboard.press("Control+y")
    studio.until("document.getElementById('announcer').textContent === 'Done again.'")
    page.click("#keep")
    page.wait_for_selector("#verdict", state="hidden")

    studio.go_to(6)
    page.keyboard.press("Shift+L")
    studio.until("document.getElementById('announcer').textContent === 'Frame 6 is locked.'")
    page.mouse.click(*studio.on_screen(20, 20))
    page.wait_for_selector(".notice.error")
    assert "locked" in studio.notice()
    studio.go_to(4)
    page.keyboard.press("i")
    studio.go_to(6)
    page.keyboard.press("o")
    assert page.locator("#run").inner_text() == "Run frames 6 to 6"
    studio.go_to(4)
    assert page.locator("#run").inner_text() == "Run frames 4 to 6"
    studio.keep_picture(tmp_path / "stretch.png")
    run(studio)
    assert studio.document()["history"][-1]["frames"] == [[4, 6]]
    assert studio.document()["locks"] == [[6, 6]]
    page.locator("#timeline").hover(position={"x": 400, "y": 30})
    assert "confidence" in page.locator("#timeline-tip").inner_text()


def test_a_run_follows_the_hand_the_reload_and_says_when_the_server_is_gone(
    studio: Any, stand_in: Any, tmp_path: Path
) -> None:
    page = studio.page
    studio.stroke([(60, 60), (110, 60)])
    page.keyboard.press("r")
    studio.until("Number(document.getElementById('picture').dataset.shown) >= 1")
    page.reload()
    page.wait_for_selector("#picture[data-shown='7']")  # the picture goes along again
    page.wait_for_selector("#run-progress[data-status=done]")

    studio.go_to(0)
    before = len(studio.document()["history"])
    page.keyboard.press("Shift+R")  # one frame
    studio.becomes(lambda: len(studio.document()["history"]) > before)
    page.wait_for_selector("#run-progress[data-status=done]")
    page.keyboard.press("r")
    page.wait_for_selector("#run-progress[data-status=running]")
    page.click("#pause")
    page.wait_for_selector("#run-progress[data-status=paused]")
    studio.go_to(0)
    studio.stroke([(60, 120), (110, 120)])
    studio.until("document.getElementById('run').textContent === 'Go on from frame 0'")
    page.keyboard.press("r")
    studio.until(
        "[...document.querySelectorAll('.notice p')].some((p) => p.textContent.startsWith('Painted since'))"
    )
    page.wait_for_selector("#run-progress[data-status=done]")
    assert studio.document()["stale"] == []

    stand_in[1].kill()
    page.wait_for_selector("#run-progress[data-status=gone]")
    assert page.locator("#run-stage").inner_text() == "The server is gone"
    assert page.locator("#run").is_disabled()
    studio.keep_picture(tmp_path / "gone.png")
