"""What painted frames show: a row per object asked for, many frames joined, none without a guide."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinct.methods.dyenet.annotated_cells import AnnotatedCells
from tinct.methods.dyenet.sources import Sources
from tinct.methods.dyenet.tracklets import RoiMask, StartingPoint
from tinct.networks.dyenet.template_guide import TemplateCells


class Remembering:
    """A member whose cells say where the box lay."""

    def __init__(self, *, guided: bool) -> None:
        self.guided = guided

    def remember(self, encoding: int, boxes: Tensor, masks: Tensor) -> TemplateCells | None:
        if not self.guided:
            return None
        return TemplateCells(
            (boxes[:, None, :1] + encoding).repeat(1, 2, 3), masks.mean((1, 2))[:, None].repeat(1, 3)
        )


class Looking(Sources):
    """Looks that are a number: 100 times the frame's."""

    def __init__(self, *members: Any) -> None:
        self.members, self.device, self.size = members, torch.device("cpu"), (48, 120)

    def around(self, index: int, boxes: Tensor) -> list[Any]:
        return [100 * index] * len(self.members)


def start(frame: int, object_id: int, x: float) -> StartingPoint:
    mask = RoiMask((x, 0.0, x + 8, 8.0), np.ones((8, 8), np.float16))
    return StartingPoint(frame, object_id, mask, np.ones(2, np.float32), annotated=True)


def test_a_row_for_each_object_in_the_order_asked_for() -> None:
    cells = AnnotatedCells()
    guided = Looking(Remembering(guided=True))
    cells.learn([start(0, 7, 40.0), start(0, 1, 80.0)], guided)
    cells.learn([start(2, 7, 40.0)], guided)
    found = cells.of(0, [1, 7, 1])
    assert found is not None
    # Of frame 0 three cells of the own box and every second one of the other's, of frame 2 three alone.
    assert found.keys.shape == (3, 2, 8)
    # A box is wider than the mask, by 0.4 of its sides here: 40 - 3.2.
    torch.testing.assert_close(found.keys[1, 0], torch.tensor([36.8] * 3 + [76.8] * 2 + [236.8] * 3))
    torch.testing.assert_close(found.keys[0, 0], torch.tensor([36.8] * 2 + [76.8] * 3 + [0.0] * 3))
    assert torch.equal(found.keys[0], found.keys[2])
    # What belongs to the other is not one's own.
    assert not found.shares[0, :2].any()
    assert 0.2 < float(found.shares[0, 2]) < 0.4


def test_members_without_a_guide_have_none() -> None:
    cells = AnnotatedCells()
    cells.learn([start(0, 1, 0.0)], Looking(Remembering(guided=False), Remembering(guided=True)))
    assert cells.of(0, [1]) is None
    assert cells.of(1, [1]) is not None
    assert AnnotatedCells().of(0, [1]) is None
