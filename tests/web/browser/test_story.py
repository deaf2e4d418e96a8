"""The whole story in one browser: paint, run, correct, add an object, undo, export, come back."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def overlap(ours: np.ndarray, truth: np.ndarray, thing: int) -> float:
    """J of one object."""
    a, b = ours == thing, truth == thing
    return float((a & b).sum() / max(1, (a | b).sum()))


def fill(studio: Any, centre: tuple[float, float], radius: float) -> None:
    """Paint a round thing with a few strokes of the brush."""
    x, y = centre
    studio.stroke([(x - radius, y), (x + radius, y)])
    studio.stroke([(x, y - radius), (x, y + radius)])


def test_the_whole_story(studio: Any, clip: Any, tmp_path: Path) -> None:
    truth = clip[1]
    assert studio.mask(0) is None

    paint_two_objects(studio, truth)
    studio.keep_picture(tmp_path / "painted.png")
    first = run_and_look(studio, truth)
    studio.keep_picture(tmp_path / "computed.png")
    corrected = correct_a_frame(studio, truth, first)
    with_third = add_a_third_object(studio, truth, corrected)
    undo_and_redo(studio)
    export_all(studio, tmp_path)
    come_back(studio, with_third)
    studio.keep_picture(tmp_path / "back.png")


def paint_two_objects(studio: Any, truth: Any) -> None:
    bare = studio.colour_at(*truth.centre(0, 1))
    studio.brush_size(30)
    fill(studio, truth.centre(0, 1), 13)
    labels = studio.mask(0)
    assert set(np.unique(labels)) == {0, 1}
    assert overlap(labels, truth.labels[0], 1) > 0.7
    assert np.abs(studio.colour_at(*truth.centre(0, 1)) - bare).max() > 20  # it is tinted on screen too

    studio.page.keyboard.press("n")
    studio.page.wait_for_selector("[data-object='2'][aria-current=true]")
    studio.page.keyboard.press("p")
    for corner in ((220.5, 100.5), (270.5, 100.5), (270.5, 150.5), (220.5, 150.5)):
        studio.page.mouse.click(*studio.on_screen(*corner))
    studio.page.keyboard.press("Enter")
    studio.until("document.querySelector('#saving').dataset.state === 'saved'")
    labels = studio.mask(0)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert overlap(labels, truth.labels[0], 2) > 0.93
    assert overlap(labels, truth.labels[0], 1) > 0.7  # and the first is as it was
    assert studio.document()["prompts"] == [0]


def run_and_look(studio: Any, truth: Any) -> list[np.ndarray]:
    studio.page.keyboard.press("b")
    studio.run()
    masks = studio.masks()
    for thing in (1, 2):
        assert np.mean([overlap(m, t, thing) for m, t in zip(masks, truth.labels, strict=True)]) > 0.6
    document = studio.document()
    assert document["done"] == [[0, 7]]
    objects = {row[0]: set(row[2::2]) for row in document["confidence"]}  # ids and confidences by turns
    assert all(objects[index] == {1, 2} for index in range(1, 8))
    # What the server has is what the screen shows: the object's colour at its middle, the video beside it.
    studio.go_to(4)
    x, y = truth.centre(4, 1)
    with_masks = studio.colour_at(x, y)
    studio.page.keyboard.press("m")
    assert np.abs(studio.colour_at(x, y) - with_masks).max() > 20
    assert np.abs(studio.colour_at(x, y) - [120, 40, 160]).max() < 30
    studio.page.keyboard.press("m")
    return masks


def correct_a_frame(studio: Any, truth: Any, first: list[np.ndarray]) -> list[np.ndarray]:
    """Object 2 is taken away from the lower half of the square; the later frames follow."""
    studio.go_to(2)
    studio.page.keyboard.press("e")
    x, y = truth.centre(2, 2)
    studio.stroke([(x - 40, y + 16), (x + 40, y + 16)])
    labels = studio.mask(2)
    assert (labels[int(y) + 5 : int(y) + 28, int(x)] != 2).all()
    assert overlap(labels, first[2], 1) == 1  # the correction began with the computed mask
    assert 2 in studio.document()["prompts"]
    assert studio.document()["stale"], "later masks do not know the correction"
    studio.run()
    masks = studio.masks()
    assert not studio.document()["stale"]
    for index in (0, 1):
        assert (masks[index] == first[index]).all()
    changed = [int((masks[i] == 2).sum()) - int((first[i] == 2).sum()) for i in range(3, 8)]
    assert sum(changed) < -400
    return masks


def add_a_third_object(studio: Any, truth: Any, before: list[np.ndarray]) -> list[np.ndarray]:
    studio.go_to(4)
    studio.page.keyboard.press("n")
    studio.page.wait_for_selector("[data-object='3'][aria-current=true]")
    studio.page.keyboard.press("b")
    studio.brush_size(22)
    fill(studio, truth.centre(4, 3), 9)
    studio.run()
    masks = studio.masks()
    assert all((mask != 3).all() for mask in masks[:4])
    assert np.mean([overlap(masks[i], truth.labels[i], 3) for i in range(4, 8)]) > 0.5
    assert (masks[3] == before[3]).all()
    return masks


def undo_and_redo(studio: Any) -> None:
    studio.go_to(4)
    before = studio.mask(4)
    studio.stroke([(20, 160), (60, 160)])
    painted = studio.mask(4)
    assert (painted[160, 25:55] == 3).all()
    shown = studio.colour_at(40, 160)
    studio.page.keyboard.press("Control+z")
    studio.until("document.getElementById('announcer').textContent === 'Undone.'")
    assert (studio.mask(4) == before).all()
    studio.becomes(lambda: np.abs(studio.colour_at(40, 160) - shown).max() > 20)
    studio.page.keyboard.press("Control+y")
    studio.until("document.getElementById('announcer').textContent === 'Done again.'")
    assert (studio.mask(4) == painted).all()
    studio.page.keyboard.press("Control+z")
    studio.until("document.getElementById('announcer').textContent === 'Undone.'")


def export_all(studio: Any, tmp_path: Path) -> None:
    studio.page.click("#export")
    studio.page.check("input[name=format][value=palette-png]")
    with studio.page.expect_download() as download:
        studio.page.click("#export-go")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    with zipfile.ZipFile(file) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        exported = [np.array(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    for ours, theirs in zip(studio.masks(), exported, strict=True):
        assert (ours == theirs).all()


def come_back(studio: Any, masks: list[np.ndarray]) -> None:
    studio.go_to(5)
    studio.until("location.hash.endsWith('/5')")
    studio.page.locator(".notice button.icon").click()  # the notice of the export
    shown = studio.picture()
    studio.page.reload()
    studio.page.wait_for_selector("#picture[data-shown='5']")
    assert all((now == then).all() for now, then in zip(studio.masks(), masks, strict=True))
    assert studio.page.locator("#objects .object").count() == 3
    stage = (slice(90, 580), slice(60, 1000))
    for _ in range(100):  # the mask comes a little after the frame
        if np.abs(studio.picture()[stage] - shown[stage]).mean() < 2:
            return
        studio.page.wait_for_timeout(100)
    raise AssertionError("The frame does not look as it did before.")
