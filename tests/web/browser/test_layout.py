"""Where things are in windows of several sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ON_TOP = """(id) => {
  const control = document.getElementById(id);
  const { left, top, width, height } = control.getBoundingClientRect();
  return control.contains(document.elementFromPoint(left + width / 2, top + height / 2));
}"""


def test_run_stays_in_sight_and_controls_grow_with_the_window(uploaded: Any, tmp_path: Path) -> None:
    page = uploaded.page
    page.click("#finishing summary")
    assert page.evaluate(ON_TOP, "run")
    assert not page.evaluate(ON_TOP, "keep-soft")
    page.locator("#keep-soft").focus()
    assert page.evaluate(ON_TOP, "keep-soft")  # it has scrolled above the button
    small = page.locator("#run").bounding_box()["height"]

    page.set_viewport_size({"width": 2560, "height": 1440})
    uploaded.until("document.getElementById('run').getBoundingClientRect().height > 38")
    assert page.locator("#run").bounding_box()["height"] == pytest.approx(1.25 * small, abs=1)
    uploaded.keep_picture(tmp_path / "large.png")
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 5.5 / 8, box["y"] + box["height"] / 2)
    page.wait_for_selector("#picture[data-shown='5']")
    uploaded.stroke([(60, 60), (90, 60)])
    assert uploaded.mask(5)[60, 75] == 1
