"""Maps of boxes: plain-loop twins, known values, gradients; boxes off the frame, thin ones, none at all."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinct.ops.rois import cropped, grid_points, pasted, pooled, warped_between_boxes


def drawn_boxes(count: int, size: tuple[int, int], dtype: torch.dtype = torch.float64) -> Tensor:
    """Boxes in a frame of (H, W), some of them over its edges, some thinner than a pixel."""
    H, W = size
    first = torch.rand(count, 2, dtype=dtype) * torch.tensor([1.4 * W, 1.4 * H]) - 0.2 * W
    sides = torch.rand(count, 2, dtype=dtype) * torch.tensor([W, H]) * 0.8
    sides[::3, 0] = 0.3
    return torch.cat([first, first + sides + 0.01], 1)


def bilinear(source: Tensor, y: float, x: float, outside: str) -> Tensor:
    """[C, H, W] at a place counted in cells; beyond the centres "border", or "zeros" cell by cell."""
    H, W = source.shape[-2:]
    if outside == "border":
        y, x = min(max(y, 0.0), H - 1.0), min(max(x, 0.0), W - 1.0)
    y0, x0 = math.floor(y), math.floor(x)
    found = torch.zeros_like(source[:, 0, 0])
    for yy in (y0, y0 + 1):
        for xx in (x0, x0 + 1):
            if 0 <= yy < H and 0 <= xx < W:
                found += (1 - abs(y - yy)) * (1 - abs(x - xx)) * source[:, yy, xx]
    return found


def slow_pooled(features: Tensor, boxes: Tensor, index: Tensor, grid: int, stride: int) -> Tensor:
    _, C, h, w = features.shape
    out = features.new_zeros(len(boxes), C, grid, grid)
    for n, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        for i in range(grid):
            for j in range(grid):
                for fy in (0.25, 0.75):
                    for fx in (0.25, 0.75):
                        # The cell (0, 0) lies on the first pixel, whose centre is at ½.
                        y = (y0 + (i + fy) * (y1 - y0) / grid - 0.5) / stride
                        x = (x0 + (j + fx) * (x1 - x0) / grid - 0.5) / stride
                        if -1 <= y <= h and -1 <= x <= w:
                            out[n, :, i, j] += bilinear(features[index[n]], y, x, "border") / 4
    return out


def slow_warped(hidden: Tensor, from_boxes: Tensor, to_boxes: Tensor, flow: Tensor) -> Tensor:
    m = hidden.shape[-1]
    out = torch.zeros_like(hidden)
    for n in range(len(hidden)):
        fx0, fy0, fx1, fy1 = from_boxes[n].tolist()
        tx0, ty0, tx1, ty1 = to_boxes[n].tolist()
        for i in range(m):
            for j in range(m):
                px, py = tx0 + (j + 0.5) * (tx1 - tx0) / m, ty0 + (i + 0.5) * (ty1 - ty0) / m
                dx, dy = bilinear(flow[0], py - 0.5, px - 0.5, "border").tolist()
                u, v = m * (px + dx - fx0) / (fx1 - fx0) - 0.5, m * (py + dy - fy0) / (fy1 - fy0) - 0.5
                out[n, :, i, j] = bilinear(hidden[n], v, u, "zeros")
    return out


def slow_pasted(patches: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    m = patches.shape[-1]
    out = patches.new_zeros(len(patches), *size)
    for n, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        for y in range(size[0]):
            for x in range(size[1]):
                if x0 <= x + 0.5 <= x1 and y0 <= y + 0.5 <= y1:
                    v, u = m * (y + 0.5 - y0) / (y1 - y0) - 0.5, m * (x + 0.5 - x0) / (x1 - x0) - 0.5
                    out[n, y, x] = bilinear(patches[n : n + 1], v, u, "border")[0]
    return out


def slow_cropped(masks: Tensor, boxes: Tensor, m: int) -> Tensor:
    _, H, W = masks.shape
    out = masks.new_zeros(len(masks), m, m)
    for n, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        width, height = (x1 - x0) / m, (y1 - y0) / m
        for i in range(m):
            for j in range(m):
                left, top = x0 + j * width, y0 + i * height
                for y in range(H):
                    for x in range(W):
                        across = max(0.0, min(left + width, x + 1) - max(left, x))
                        down = max(0.0, min(top + height, y + 1) - max(top, y))
                        out[n, i, j] += masks[n, y, x] * across * down / (width * height)
    return out


seeds, counts, grids = st.integers(0, 1000), st.integers(0, 3), st.integers(1, 4)
sides = st.integers(2, 9)


@settings(max_examples=15)
@given(seeds, counts, grids, sides, sides, st.sampled_from([1, 4, 8]))
def test_pooling_is_like_its_slow_twin(seed: int, count: int, grid: int, h: int, w: int, stride: int) -> None:
    torch.manual_seed(seed)
    features = torch.rand(2, 3, h, w, dtype=torch.float64)
    boxes, index = drawn_boxes(count, (h * stride, w * stride)), torch.randint(2, (count,))
    slow = slow_pooled(features, boxes, index, grid, stride)
    torch.testing.assert_close(pooled(features, boxes, index, grid, stride), slow)
    # With a gradient, on a processor, it is computed in another way.
    taught = pooled(features.requires_grad_(), boxes, index, grid, stride)
    assert taught.requires_grad
    torch.testing.assert_close(taught.detach(), slow)


@settings(max_examples=15)
@given(seeds, counts, grids, sides, sides)
def test_warping_between_boxes_is_like_its_slow_twin(seed: int, count: int, m: int, h: int, w: int) -> None:
    torch.manual_seed(seed)
    hidden, flow = torch.rand(count, 2, m, m, dtype=torch.float64), 2 * torch.randn(1, 2, h, w).double()
    before, now = drawn_boxes(count, (h, w)), drawn_boxes(count, (h, w))
    found = warped_between_boxes(hidden, before, now, flow)
    torch.testing.assert_close(found, slow_warped(hidden, before, now, flow))


@settings(max_examples=15)
@given(seeds, counts, grids, sides, sides)
def test_pasting_is_like_its_slow_twin(seed: int, count: int, m: int, h: int, w: int) -> None:
    torch.manual_seed(seed)
    patches, boxes = torch.rand(count, m, m, dtype=torch.float64), drawn_boxes(count, (h, w))
    torch.testing.assert_close(pasted(patches, boxes, (h, w)), slow_pasted(patches, boxes, (h, w)))


@settings(max_examples=15)
@given(seeds, counts, grids, sides, sides)
def test_cropping_is_like_its_slow_twin(seed: int, count: int, m: int, h: int, w: int) -> None:
    torch.manual_seed(seed)
    masks, boxes = torch.rand(count, h, w, dtype=torch.float64), drawn_boxes(count, (h, w))
    torch.testing.assert_close(cropped(masks, boxes, m), slow_cropped(masks, boxes, m))


def test_cells_centres() -> None:
    points = grid_points(torch.tensor([[2.0, 10.0, 6.0, 30.0]]), 2)
    assert points.tolist() == [[[[3, 15], [5, 15]], [[3, 25], [5, 25]]]]


def test_features_lie_on_every_eighth_pixel() -> None:
    """A map that says where its cells lie is read off at the cells of a box as their centres."""
    x, y = 8.0 * torch.arange(12) + 0.5, 8.0 * torch.arange(10) + 0.5
    features = torch.stack([x.expand(10, -1), y[:, None].expand(-1, 12)])[None]
    boxes = torch.tensor([[9.0, 17.0, 61.0, 49.0]])
    found = pooled(features, boxes, torch.zeros(1, dtype=torch.long), 4, 8)
    torch.testing.assert_close(found.permute(0, 2, 3, 1), grid_points(boxes, 4))


def test_half_precision_features_are_widened() -> None:
    features = torch.rand(1, 2, 6, 6)
    boxes, index = torch.tensor([[3.0, 3.0, 40.0, 40.0]]), torch.zeros(1, dtype=torch.long)
    found = pooled(features.half(), boxes, index, 4, 8)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pooled(features, boxes, index, 4, 8), atol=1e-3, rtol=1e-3)


def test_a_standing_box_and_no_flow_change_nothing() -> None:
    hidden, boxes = torch.rand(2, 3, 5, 5), torch.tensor([[1.0, 2, 8, 9], [-3, 0, 4, 20]])
    torch.testing.assert_close(warped_between_boxes(hidden, boxes, boxes, torch.zeros(1, 2, 9, 9)), hidden)


def test_a_box_that_goes_with_the_flow_keeps_its_hidden_state() -> None:
    hidden, before = torch.rand(2, 3, 5, 5), torch.tensor([[1.0, 2, 8, 9], [3, 0, 4, 5]])
    flow = torch.tensor([-3.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 20)
    now = before + torch.tensor([3.0, -2.0, 3.0, -2.0])
    torch.testing.assert_close(warped_between_boxes(hidden, before, now, flow), hidden)


def test_what_was_not_in_the_box_before_is_0() -> None:
    hidden, before = torch.ones(1, 1, 4, 4), torch.tensor([[4.0, 4, 8, 8]])
    now = torch.tensor([[4.0, 4, 12, 8]])
    warped = warped_between_boxes(hidden, before, now, torch.zeros(1, 2, 20, 20))[0, 0]
    # Cells of two pixels, the last two beyond the old box; inside it, half a cell from its edge counts whole.
    assert warped[:, :2].unique().tolist() == [1]
    assert warped[:, 2:].unique().tolist() == [0]


def test_every_box_takes_its_own_flow() -> None:
    hidden, boxes = torch.rand(3, 2, 4, 4), torch.tensor([[1.0, 2, 8, 9]]).expand(3, 4)
    flow, index = torch.randn(2, 2, 9, 9), torch.tensor([1, 0, 1])
    together = warped_between_boxes(hidden, boxes, boxes, flow, index)
    for n, k in enumerate(index):
        alone = warped_between_boxes(hidden[n : n + 1], boxes[:1], boxes[:1], flow[k][None])
        torch.testing.assert_close(together[n : n + 1], alone)


def test_pasting_a_slope_gives_the_slope() -> None:
    """Bilinear pasting undoes sampling at the cells' centres, wherever a pixel lies between them."""
    boxes = torch.tensor([[2.0, 3.0, 18.0, 11.0]])
    x, y = grid_points(boxes, 4).unbind(-1)
    found = pasted(3 * x - 2 * y, boxes, (16, 20))[0]
    columns, rows = torch.arange(20) + 0.5, torch.arange(16)[:, None] + 0.5
    expected = 3 * columns - 2 * rows
    torch.testing.assert_close(found[4:10, 4:16], expected[4:10, 4:16])
    assert not found[:3].any()
    assert not found[11:].any()
    assert not found[:, :2].any()
    assert not found[:, 18:].any()


def test_pasted_half_precision_comes_in_the_boxes_dtype() -> None:
    found = pasted(torch.ones(1, 4, 4).half(), torch.tensor([[1.0, 1.0, 5.0, 5.0]]), (6, 6))
    assert found.dtype == torch.float32
    assert found.sum() == 16


@settings(max_examples=10)
@given(seeds, st.integers(1, 6))
def test_cropping_keeps_the_area(seed: int, m: int) -> None:
    torch.manual_seed(seed)
    masks = (torch.rand(1, 8, 9, dtype=torch.float64) > 0.5).double()
    box = torch.tensor([[-1.3, -0.2, 9.4, 8.7]], dtype=torch.float64)
    area_of_cell = 10.7 * 8.9 / m**2
    torch.testing.assert_close(cropped(masks, box, m).sum() * area_of_cell, masks.sum())


def test_a_line_of_one_pixel_is_not_lost_between_cells() -> None:
    mask = torch.zeros(1, 100, 100)
    mask[0, :, 37] = 1
    small = cropped(mask, torch.tensor([[0.0, 0.0, 100.0, 100.0]]), 4)
    torch.testing.assert_close(small[0], torch.tensor([0.0, 0.04, 0, 0]).expand(4, 4))


def test_a_box_without_width_gives_numbers() -> None:
    boxes, index = torch.tensor([[3.0, 3.0, 3.0, 3.0]]), torch.zeros(1, dtype=torch.long)
    hidden, flow = torch.rand(1, 2, 4, 4), torch.zeros(1, 2, 8, 8)
    for found in (
        pooled(torch.rand(1, 2, 4, 4), boxes, index, 4, 8),
        warped_between_boxes(hidden, boxes, boxes, flow),
        pasted(torch.rand(1, 4, 4), boxes, (8, 8)),
        cropped(torch.rand(1, 8, 8), boxes, 4),
    ):
        assert torch.isfinite(found).all()


GRADIENTS: dict[str, tuple[Callable[..., Tensor], tuple[int, ...]]] = {
    "pooled": (lambda x, box: pooled(x, box, torch.zeros(2, dtype=torch.long), 3, 4), (1, 2, 3, 4)),
    "warped": (
        lambda x, box: warped_between_boxes(x, box, box + 0.4, 0.3 * torch.ones(1, 2, 6, 6).double()),
        (2, 1, 3, 3),
    ),
    "pasted": (lambda x, box: pasted(x, box, (6, 7)), (2, 3, 3)),
    "cropped": (lambda x, box: cropped(x, box, 3), (2, 6, 7)),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    function, shape = GRADIENTS[name]
    boxes = torch.tensor([[0.3, 1.2, 5.1, 4.7], [-1.4, 2.1, 2.2, 9.3]], dtype=torch.float64)
    source = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: function(x, boxes), (source,))


def test_gradients_reach_the_flow_and_the_boxes() -> None:
    hidden = torch.rand(1, 2, 3, 3, dtype=torch.float64)
    before = torch.tensor([[0.3, 1.2, 5.1, 4.7]], dtype=torch.float64)
    now = (before + 0.37).requires_grad_()
    flow = (0.21 * torch.ones(1, 2, 6, 6, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, b: warped_between_boxes(hidden, before, b, f), (flow, now))
