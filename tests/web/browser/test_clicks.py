"""Clicks answered by the network in the package, on a scene that looks enough like a photo."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

H, W = 180, 320
SQUARE, DISC = (85, 85), (235, 95)  # their middles


def draw_scene() -> tuple[np.ndarray, np.ndarray]:
    """(frame, labels) of a red square, 1, and a blue disc, 2, before a soft ground."""
    draws = np.random.default_rng(1)
    coarse = draws.integers(60, 120, (5, 8, 3), np.uint8)
    frame = cv2.resize(coarse, (W, H), interpolation=cv2.INTER_CUBIC)
    labels = np.zeros((H, W), np.uint8)
    labels[40:130, 40:130] = 1
    cv2.circle(labels, DISC, 42, 2, -1)
    for thing, colour in ((1, (215, 70, 40)), (2, (60, 110, 230))):
        texture = draws.integers(-12, 12, (H, W, 3))
        frame[labels == thing] = (np.array(colour) + texture)[labels == thing]
    return frame, labels


@pytest.fixture
def scene(page: Any, server: str, studio_of: Any, tmp_path: Path) -> tuple[Any, np.ndarray]:
    """(studio, labels) of a clip of two frames that show the scene."""
    frame, labels = draw_scene()
    files = [tmp_path / f"{index}.png" for index in range(2)]
    for file in files:
        Image.fromarray(frame).save(file)
    page.goto(f"{server}#/")
    page.wait_for_selector("body[data-screen=start]")
    page.set_input_files("#file", files)
    page.wait_for_selector("#picture[data-shown]")
    return studio_of(page, page.evaluate("location.hash.match(/^#\\/([^/]+)/)[1]")), labels


def proposal(studio: Any, x: float, y: float, button: str = "left") -> np.ndarray:
    """The mask that a click is answered with."""
    with studio.page.expect_response(lambda answer: answer.url.endswith("/outline")) as answer:
        studio.page.mouse.click(*studio.on_screen(x, y), button=button)
    studio.page.wait_for_selector("#pending-apply:enabled")
    return np.array(Image.open(io.BytesIO(answer.value.body()))) > 0


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def test_the_network_finds_what_is_clicked_and_lets_go_of_the_rest(scene: Any, tmp_path: Path) -> None:
    studio, labels = scene
    studio.page.keyboard.press("c")
    assert overlap(proposal(studio, *SQUARE), labels == 1) > 0.75
    both = proposal(studio, *DISC)
    assert overlap(both, labels > 0) > 0.9
    with studio.page.expect_response(lambda answer: answer.url.endswith("/outline")):
        studio.page.keyboard.press("Backspace")
    alone = proposal(studio, *DISC, button="right")
    assert overlap(alone, labels == 1) > 0.9
    assert not alone[DISC[1], DISC[0]]
    studio.keep_picture(tmp_path / "taken_away.png")
    with studio.page.expect_response(lambda answer: answer.url.endswith("/prompts/0")):
        studio.page.keyboard.press("Enter")
    assert ((studio.mask(0) == 1) == alone).all()
