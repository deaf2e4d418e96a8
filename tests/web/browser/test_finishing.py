"""Finishing, views, copies and exports, as somebody who cuts an object out would do it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

BAND = [(60.0, 90.0), (260.0, 90.0)]


@pytest.fixture
def studio(uploaded: Any) -> Any:
    """A clip with a horizontal band painted on frame 0."""
    uploaded.brush_size(40)
    uploaded.stroke(BAND)
    return uploaded


def test_a_feather_is_seen_on_black_and_taken_back(studio: Any) -> None:
    page = studio.page
    inside, edge, outside = (160.0, 90.0), (160.0, 76.0), (160.0, 40.0)
    page.select_option("#view", "alpha")
    studio.becomes(lambda: bool(studio.colour_at(*outside).max() < 5))
    studio.becomes(lambda: bool(studio.colour_at(*inside).min() > 250))
    assert studio.colour_at(*edge).min() > 250
    page.locator("#finishing summary").click()
    assert page.locator("#keep-soft").bounding_box()["width"] < 20  # a box to tick, no field
    page.locator("#finishing-feather_px").fill("10")
    page.locator("#finishing-feather_px").press("Enter")
    studio.becomes(lambda: bool(130 < studio.colour_at(*edge).mean() < 245))
    page.select_option("#view", "white")
    studio.becomes(lambda: bool(studio.colour_at(*outside).min() > 250))
    page.select_option("#view", "overlay")
    before = studio.mask(0)
    page.locator("button#undo").click()
    studio.until("document.getElementById('finishing-feather_px').value === '0'")
    np.testing.assert_array_equal(studio.mask(0), before)


def test_an_object_is_copied_from_the_frame_before(studio: Any) -> None:
    studio.go_to(1)
    studio.page.keyboard.press("u")
    assert studio.page.locator("#onion").is_checked()
    studio.page.keyboard.press("d")
    studio.until("document.getElementById('saving').dataset.state === 'saved'")
    studio.page.wait_for_selector("#withdraw", state="visible")
    np.testing.assert_array_equal(studio.mask(1), studio.mask(0))


def test_an_export_asks_for_the_rate_and_ends_with_the_last_frame(studio: Any, tmp_path: Path) -> None:
    page = studio.page
    page.keyboard.press("Control+e")
    page.locator("input[value=overlay]").check()
    page.locator("#export-go").click()
    assert "have no rate of their own" in studio.notice()
    page.locator("input[value=object-png]").check()
    assert not page.locator("#export-rate").is_visible()
    assert page.locator("#export-last").input_value() == ""
    page.locator("#export-start").fill("1001")
    with page.expect_download() as download:
        page.locator("#export-go").click()
    content = Path(download.value.path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(name.rpartition("/")[2] for name in archive.namelist())
        first = np.array(Image.open(archive.open(archive.namelist()[0])))
    frames = studio.document()["frames"]
    assert names == [f"{1001 + index:05d}.png" for index in range(frames)]
    np.testing.assert_array_equal(first > 0, studio.mask(0) > 0)
    page.keyboard.press("Control+e")
    page.wait_for_selector("#exports li")
    page.locator("#exports button").click()
    page.locator("dialog .danger").click()
    page.wait_for_selector("#exports li", state="detached")


def test_playing_goes_backward_and_round(studio: Any) -> None:
    page = studio.page
    page.keyboard.press("End")
    page.keyboard.press("j")
    studio.until("Number(document.getElementById('frame').value) === 0")
    page.locator("#loop").click()
    page.keyboard.press("l")
    studio.until("Number(document.getElementById('frame').value) > 5")
    studio.until("Number(document.getElementById('frame').value) < 3")
    page.keyboard.press("k")
    studio.until("document.getElementById('play').getAttribute('aria-label') === 'Play'")
