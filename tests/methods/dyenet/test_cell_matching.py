"""What frames recall of annotated ones, cell by cell: where objects lie, and how far a mask is theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tinct.errors import OptionError
from tinct.methods.dyenet.cell_matching import CellMatching, best_agreeing
from tinct.methods.dyenet.options import Options
from tinct.methods.dyenet.sources import Sources
from tinct.methods.dyenet.tracklets import RoiMask, StartingPoint
from tinct.networks.frame_features import STRIDE

GROUND, RED, BLUE, GREEN = range(4)


class Coloured(Sources):
    """Frames whose cells look like one of four colours, at right angles to each other."""

    def __init__(self, *frames: np.ndarray) -> None:
        self.members: Any = (None,)
        self.device, self.options = torch.device("cpu"), Options(box_margin=0.0)
        self.frames = frames
        self.size = (frames[0].shape[0] * STRIDE, frames[0].shape[1] * STRIDE)

    def looks(self, index: int) -> list[Tensor]:
        return [4 * torch.eye(4)[torch.from_numpy(self.frames[index])].permute(2, 0, 1)]


def picture(*squares: tuple[int, int, int, int]) -> np.ndarray:
    """12×20 cells of ground with squares: (colour, left, top, side)."""
    cells = np.zeros((12, 20), np.int64)
    for colour, left, top, side in squares:
        cells[top : top + side, left : left + side] = colour
    return cells


def mask(left: float, top: float, width: float, height: float) -> RoiMask:
    """A mask that fills a box, in cells."""
    x0, y0, x1, y1 = (float(STRIDE * edge) for edge in (left, top, left + width, top + height))
    return RoiMask((x0, y0, x1, y1), np.ones((8, 8), np.float16))


def annotated(object_id: int, shown: RoiMask, frame: int = 0) -> StartingPoint:
    return StartingPoint(frame, object_id, shown, np.ones(2, np.float32), annotated=True)


@torch.inference_mode()
def matching(*frames: np.ndarray) -> CellMatching:
    """Object 3 is a red square of 4 cells, object 8 a blue one, both in frame 0."""
    found = CellMatching(Coloured(picture((RED, 2, 2, 4), (BLUE, 12, 6, 4)), *frames), (3, 8))
    found.learn(0, [annotated(3, mask(2, 2, 4, 4)), annotated(8, mask(12, 6, 4, 4))])
    return found


@torch.inference_mode()
def test_an_object_is_found_where_and_as_large_as_it_came_back() -> None:
    known = matching(picture((RED, 10, 1, 7), (RED, 1, 9, 2)))
    maps = known.recalled(1)
    assert (maps[0, 1:8, 10:17] > 0.9).all()
    assert maps[1].max() < 0.1
    boxes = known.boxes(1)
    assert set(boxes) == {3}
    torch.testing.assert_close(boxes[3], torch.tensor([80.0, 8.0, 136.0, 64.0]), atol=STRIDE / 2, rtol=0)


@torch.inference_mode()
def test_a_mask_agrees_with_its_own_object_and_the_less_the_more_it_spills_or_lacks() -> None:
    known = matching(picture((RED, 2, 2, 4), (BLUE, 6, 2, 4)))
    whole, spilt, half, other = mask(2, 2, 4, 4), mask(2, 2, 8, 4), mask(2, 2, 2, 4), mask(6, 2, 4, 4)
    found = known.agreements(1, [whole, spilt, half, other])
    assert found.shape == (4, 2)
    assert found[0, 0] > 0.9 > 0.75 > found[1, 0]
    assert found[0, 0] > 0.75 > found[2, 0]
    assert found[3, 0] < 0.1
    assert found[3, 1] > 0.9


@torch.inference_mode()
def test_what_is_nobodys_is_background() -> None:
    known = matching(picture((RED, 2, 2, 4)))
    assert set(known.boxes(1)) == {3}
    assert known.agreements(1, [mask(10, 5, 4, 4)]).max() < 0.1


@pytest.mark.parametrize("step", [1, 2])
@torch.inference_mode()
def test_thinned_background_counts_as_all_of_it(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Cells that look half like the ground, half like the object: its share is that of its cells.
    monkeypatch.setattr("tinct.networks.dyenet.matching_guide.BACKGROUND_STEP", step)
    known = matching(picture((GREEN, 0, 0, 2)))
    recalled = known.recalled(1)[:, 0, 0]
    torch.testing.assert_close(recalled, torch.full((2,), 16 / 240), atol=0.005, rtol=0)


@torch.inference_mode()
def test_the_ground_of_a_frame_does_not_hide_an_object_that_is_annotated_later() -> None:
    both = picture((RED, 2, 2, 4), (BLUE, 14, 6, 4))
    known = CellMatching(Coloured(both, both), (3, 8))
    known.learn(0, [annotated(3, mask(2, 2, 4, 4))])
    known.learn(1, [annotated(8, mask(14, 6, 4, 4), 1)])
    assert (known.recalled(0)[1, 6:10, 14:18] > 0.9).all()


def test_of_an_objects_starting_points_the_best_is_taken_if_no_other_object_agrees_better() -> None:
    shown = mask(0, 0, 1, 1)
    starts = [
        StartingPoint(4, i, shown, np.full(2, n, np.float32), 0.9) for n, i in enumerate((3, 3, 8, 8, 3))
    ]
    agreements = np.array([[0.4, 0.1], [0.6, 0.3], [0.7, 0.5], [0.2, 0.29], [0.5, 0.0]], np.float32)
    (found,) = best_agreeing(starts, agreements, (3, 8), 0.3)
    assert found.embedding[0] == 1
    assert (found.object_id, found.runner_up_id) == (3, 8)
    assert (found.similarity, found.runner_up) == pytest.approx((0.6, 0.3))
    first, second = best_agreeing(starts, agreements, (3, 8), 0.25)
    assert (first.embedding[0], second.embedding[0]) == (1, 3)


def test_a_network_without_a_matching_guide_has_no_cells_to_compare() -> None:
    with pytest.raises(OptionError, match="set it to 0"):
        Options(least_agreement=0.3)
