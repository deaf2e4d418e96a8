"""What a stroke draws is what a drawing of everything would show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

STAGE = slice(100, 580), slice(60, 1000)


@pytest.mark.parametrize("zoom", ["", "---", "+++"], ids=["fitted", "smaller", "larger"])
def test_the_part_that_a_stroke_draws_fits_the_whole(uploaded: Any, zoom: str) -> None:
    page = uploaded.page
    for key in zoom:
        page.keyboard.press(key)
    page.keyboard.press("n")
    page.wait_for_selector("[data-object='1']")
    for _ in range(2):
        drag(page, 0)
        page.keyboard.press("n")
        drag(page, 25)
        drag(page, 12, button="right")
        uploaded.saved()
        page.mouse.move(5, 400)
        by_parts = uploaded.picture()[STAGE]
        page.keyboard.press("m")
        bare = uploaded.picture()[STAGE]
        page.keyboard.press("m")
        whole = uploaded.picture()[STAGE]
        assert np.abs(bare - whole).max() > 20
        # A smaller picture's filter may round a pixel otherwise where it was cut off.
        assert (np.abs(by_parts - whole).max(axis=2) > 12).sum() <= (3 if zoom == "---" else 0)


def drag(page: Any, down: int, button: str = "left") -> None:
    """A slanted stroke in the middle of the stage, in pixels of the screen."""
    page.mouse.move(430, 280 + down)
    page.mouse.down(button=button)
    page.mouse.move(600, 350 + down, steps=9)
    page.mouse.up(button=button)
