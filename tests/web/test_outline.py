from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinct.errors import OptionError
from tinct.methods.grabcut import GrabCut
from tinct.web.outline import OutlinePrompt
from tinct.web.outline import segment_outline as segment_outline_by

H, W = 90, 120


def segment_outline(
    frame: np.ndarray, prompt: OutlinePrompt, previous: np.ndarray | None = None
) -> np.ndarray:
    return segment_outline_by(frame, prompt, GrabCut(), previous)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """An orange disc on noisy green, and its mask."""
    ys, xs = np.mgrid[:H, :W] + 0.5
    disc = (xs - 60) ** 2 + (ys - 45) ** 2 < 20**2
    frame = np.where(disc[..., None], (230, 120, 30), (40, 110, 60))
    noise = np.random.default_rng(0).integers(-15, 16, frame.shape)
    return (frame + noise).clip(0, 255).astype(np.uint8), disc


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_rough_box_finds_the_object(scene: tuple[np.ndarray, np.ndarray]) -> None:
    frame, disc = scene
    mask = segment_outline(frame, OutlinePrompt.read({"kind": "box", "box": [32, 18, 88, 72]}))
    assert overlap(mask, disc) > 0.95


def test_scribbles_find_it_too_and_hold_where_they_were_drawn(scene: tuple[np.ndarray, np.ndarray]) -> None:
    frame, disc = scene
    strokes = [
        {"keep": True, "radius": 3, "points": [[50, 45], [70, 45]]},
        {"keep": False, "radius": 3, "points": [[20, 20], [100, 20]]},
    ]
    mask = segment_outline(frame, OutlinePrompt.read({"kind": "scribbles", "strokes": strokes}))
    assert overlap(mask, disc) > 0.9
    strokes[1] = {"keep": False, "radius": 4, "points": [[60, 30], [60, 35]]}
    mask = segment_outline(frame, OutlinePrompt.read({"kind": "scribbles", "strokes": strokes}))
    assert mask[45, 55:65].all()
    assert not mask[29:36, 58:62].any()


def test_a_polygon_is_filled_between_pixel_edges(scene: tuple[np.ndarray, np.ndarray]) -> None:
    corners = [[10, 20], [30, 20], [30, 40], [10, 40]]
    mask = segment_outline(scene[0], OutlinePrompt.read({"kind": "polygon", "points": corners}))
    assert abs(int(mask.sum()) - 400) <= 45
    assert mask[21:39, 11:29].all()
    assert not mask[:19].any()


def test_a_large_frame_gives_the_same_object_at_its_own_size(scene: tuple[np.ndarray, np.ndarray]) -> None:
    frame, disc = (each.repeat(9, 0).repeat(9, 1) for each in scene)
    mask = segment_outline(frame, OutlinePrompt.read({"kind": "box", "box": [288, 162, 792, 648]}))
    assert mask.shape == disc.shape
    assert overlap(mask, disc) > 0.95


def test_the_same_hint_gives_the_same_mask(scene: tuple[np.ndarray, np.ndarray]) -> None:
    prompt = OutlinePrompt.read({"kind": "box", "box": [32, 18, 88, 72]})
    np.testing.assert_array_equal(segment_outline(scene[0], prompt), segment_outline(scene[0], prompt))


def test_one_flat_colour_gives_the_box_and_a_box_may_be_the_whole_frame() -> None:
    flat = np.full((H, W, 3), 99, np.uint8)
    mask = segment_outline(flat, OutlinePrompt.read({"kind": "box", "box": [30, 20, 60, 50]}))
    assert mask[20:50, 30:60].all() or mask.sum() > 0
    assert not mask[:15].any()
    assert segment_outline(flat, OutlinePrompt.read({"kind": "box", "box": [0, 0, W, H]})).all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "ellipse"}, "no outline of the kind 'ellipse'"),
        ({}, "no outline of the kind None"),
        ({"kind": "box"}, "cannot be read"),
        ({"kind": "box", "box": [1, 2, 3]}, "4 numbers"),
        ({"kind": "box", "box": [0, 0, "nan", 3]}, "numbers were expected"),
        ({"kind": "polygon", "points": [[0, 0], [1, 1]]}, "expected 3 to"),
        ({"kind": "scribbles", "strokes": [{"keep": False, "points": [[1, 1]]}]}, "no part of the object"),
        ({"kind": "scribbles", "strokes": "no"}, "cannot be read"),
        ({"kind": "points", "points": [[1, 2]]}, "cannot be read"),
        ({"kind": "points", "points": []}, "expected 1 to"),
    ],
)
def test_hints_that_cannot_be_read(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        OutlinePrompt.read(values)


@pytest.mark.parametrize("box", [[-50, 0, -10, 20], [W, 0, W + 9, 9], [5, 5, 5.5, 20]])
def test_a_box_outside_the_frame(box: list[float]) -> None:
    with pytest.raises(OptionError, match="holds no pixel of the frame"):
        segment_outline(np.zeros((H, W, 3), np.uint8), OutlinePrompt.read({"kind": "box", "box": box}))
