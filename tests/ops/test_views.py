"""Views: boxes there and back, pictures cut from frames of any resolution, flow that grows with them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.errors import OptionError
from tinct.ops.rois import cropped
from tinct.ops.views import View, cut, cut_flow, full_view
from tinct.ops.warp import warp


def test_known_boxes() -> None:
    view = View((10.0, 20.0, 30.0, 30.0), (40, 40))
    assert view.enlargement == (2.0, 4.0)
    boxes = torch.tensor([[10.0, 20, 30, 30], [15, 21, 16, 22]])
    assert view.to_view(boxes).tolist() == [[0, 0, 40, 40], [10, 4, 12, 8]]


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(0, 4))
def test_boxes_come_back(seed: int, count: int) -> None:
    torch.manual_seed(seed)
    x0, y0, width, height = (100 * torch.rand(4) + 1).tolist()
    view = View((x0 - 50, y0 - 50, x0 - 50 + width, y0 - 50 + height), (33, 65))
    boxes = 100 * torch.randn(count, 4, dtype=torch.float64)
    back = view.to_frame(view.to_view(boxes))
    assert back.dtype == boxes.dtype
    torch.testing.assert_close(back, boxes)


def test_the_full_view_changes_nothing() -> None:
    view = full_view((5, 7))
    boxes, flow = torch.rand(3, 4), torch.randn(2, 2, 5, 7)
    torch.testing.assert_close(view.to_view(boxes), boxes)
    torch.testing.assert_close(cut(flow, view, (5, 7)), flow)
    torch.testing.assert_close(cut_flow(flow, view), flow)


@pytest.mark.parametrize(
    ("box", "size"),
    [((3.0, 2.0, 3.0, 9.0), (4, 4)), ((3.0, 2.0, 1.0, 9.0), (4, 4)), ((0.0, 0.0, 1.0, 1.0), (0, 4))],
)
def test_an_empty_view_is_refused(box: tuple[float, float, float, float], size: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="above 0"):
        View(box, size)


def test_a_view_on_whole_pixels_shows_these_pixels() -> None:
    pictures = torch.rand(2, 3, 8, 9)
    torch.testing.assert_close(
        cut(pictures, View((2.0, 1.0, 6.0, 8.0), (7, 4)), (8, 9)), pictures[..., 1:8, 2:6]
    )


@pytest.mark.parametrize("finer", [1, 2, 3])
def test_a_slope_is_a_slope_in_every_view_whatever_the_resolution(finer: int) -> None:
    """What is at x of the frame is at the same place of the view: linear pictures stay so, near enough."""
    x = (torch.arange(30 * finer) + 0.5) / finer
    pictures = x.expand(1, 1, 20 * finer, -1)
    shown = cut(pictures, View((4.0, 3.0, 16.0, 9.0), (12, 18)), (20, 30))
    expected = 4 + (torch.arange(18) + 0.5) * 12 / 18
    torch.testing.assert_close(shown[0, 0], expected.expand(12, -1), atol=0.01, rtol=0)


def test_outside_the_picture_there_is_nothing() -> None:
    shown = cut(torch.ones(1, 1, 6, 6), View((-4.0, -4.0, 4.0, 4.0), (8, 8)), (6, 6))[0, 0]
    assert shown.nonzero().tolist() == [[y, x] for y in range(4, 8) for x in range(4, 8)]
    assert shown.unique().tolist() == [0, 1]
    assert not cut(torch.ones(1, 1, 6, 6), View((20.0, 20.0, 30.0, 30.0), (4, 4)), (6, 6)).any()


def test_a_smaller_view_averages() -> None:
    """Stripes of one pixel are grey from afar."""
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    shown = cut(stripes, View((0.0, 0.0, 64.0, 64.0), (8, 8)), (64, 64))
    assert (shown - 0.5).abs().max() < 0.02


def test_flow_in_a_view_points_to_the_same_places() -> None:
    """Warping what a view shows by its flow is showing what was warped."""
    torch.manual_seed(0)
    view = View((4.0, 2.0, 12.0, 10.0), (16, 24))
    x, y = torch.arange(20) + 0.5, torch.arange(14) + 0.5
    source = (2 * x + 3 * y[:, None]).expand(1, 1, -1, -1)
    flow = torch.tensor([1.5, -0.5]).view(1, 2, 1, 1).expand(1, 2, 14, 20)
    inside = (..., slice(5, -5), slice(5, -5))
    of_view = warp(cut(source, view, (14, 20)), cut_flow(flow, view))[inside]
    torch.testing.assert_close(of_view, cut(warp(source, flow), view, (14, 20))[inside])


def test_a_mask_lies_in_a_view_where_its_box_does() -> None:
    mask = torch.zeros(1, 1, 20, 20)
    mask[..., 5:9, 6:14] = 1
    view = View((2.0, 2.0, 18.0, 18.0), (64, 64))
    box = view.to_view(torch.tensor([[6.0, 5.0, 14.0, 9.0]]))
    shown = cut(mask, view, (20, 20))
    assert cropped(shown[0], box, 4).mean() > 0.85
    assert shown.sum() / 16 == pytest.approx(32, rel=0.01)
