"""Maps of boxes: a grid of m × m cells over each box, and its features, masks and flow.

Conventions, for everything in this file:

| what | convention |
|---|---|
| boxes | (x0, y0, x1, y1) as in `tinct.ops.boxes`; they may leave the frame |
| places | between the edges of pixels, as boxes: pixel (3, 5) has its centre at (3.5, 5.5) |
| grid | m × m cells that share the box evenly; cell (i, j) is row i, column j |
| features of stride s | cell (i, j) lies on the pixel (s i, s j): backbones pad both sides alike |
| flow | as in `tinct.ops.warp` |
| no boxes | N = 0 is allowed everywhere, and gives an empty result |

Boxes thinner than a thousandth of a pixel count as that wide, so that nothing is divided by 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.ops import roi_align

from tinct.ops.precision import sum_dtype

LEAST_SIDE_PX = 1e-3

SAMPLES = 2
"""Per cell and direction in RoIAlign (He et al., ICCV 2017: four points per cell)."""


def pooled(
    features: Float[Tensor, "B C h w"],
    boxes: Float[Tensor, "N 4"],
    index: Int64[Tensor, "N"],
    grid: int,
    stride: int,
) -> Float[Tensor, "N C m m"]:
    """RoIAlign: features averaged over four points of each cell of each box. Zeros outside the features.

    Gradients flow to the features, not to the boxes.

    Args:
        features: Features of a stride. Half precision is widened: features may be stored so, and the cells be
            given to a network in float32.
        boxes: In pixels of the pictures.
        index: Which picture each box lies in.
        grid: m.
        stride: The stride of the features.
    """
    # torchvision puts cell j at (j + ½) s, half a cell's width past the pixel on which it lies.
    wide = features.to(sum_dtype(features.dtype))
    places = boxes.to(wide.dtype) + (stride - 1) / 2
    if wide.device.type == "cpu" and wide.requires_grad and torch.is_grad_enabled():
        return _pooled_by_products(wide, places / stride - 0.5, index, grid)
    rois = torch.cat([index[:, None].to(wide.dtype), places], 1)
    with torch.autocast(features.device.type, enabled=False):
        cells: Tensor = roi_align(wide, rois, grid, 1 / stride, SAMPLES, aligned=True)
    return cells


def _pooled_by_products(
    features: Float[Tensor, "B C h w"],
    places: Float[Tensor, "N 4"],
    index: Int64[Tensor, "N"],
    grid: int,
) -> Float[Tensor, "N C m m"]:
    """RoIAlign as one product down and one across, for training on a processor.

    The same sums as torchvision's, whose gradient is scattered value by value and was a third of a
    training step; that of the products takes less than half as long.
    """
    h, w = features.shape[-2:]
    x0, y0, x1, y1 = places.T
    down, across = _sampling(y0, y1, grid, h), _sampling(x0, x1, grid, w)
    with torch.autocast("cpu", enabled=False):
        return down[:, None] @ features[index] @ across.transpose(1, 2)[:, None]


def _sampling(
    first: Float[Tensor, "N"], last: Float[Tensor, "N"], m: int, cells: int
) -> Float[Tensor, "N m P"]:
    """Weights of the features along a line for every cell of a box: the mean of its samples.

    As in torchvision, samples up to one cell outside take the border's value, and those beyond are 0.
    """
    fractions = (torch.arange(SAMPLES * m, dtype=first.dtype, device=first.device) + 0.5) / (SAMPLES * m)
    at = first[:, None] + (last - first)[:, None] * fractions
    inside = (at >= -1) & (at <= cells)
    near = at.clamp(0, cells - 1)[..., None] - torch.arange(cells, dtype=first.dtype, device=first.device)
    weights = (1 - near.abs()).clamp_min(0) * inside[..., None]
    return weights.view(len(first), m, SAMPLES, cells).mean(2)


def grid_points(boxes: Float[Tensor, "N 4"], m: int) -> Float[Tensor, "N m m 2"]:
    """(x, y) of the centre of every cell, in the boxes' own coordinates."""
    x, y = _centres(boxes, m)
    return torch.stack([x[:, None, :].expand(-1, m, -1), y[:, :, None].expand(-1, -1, m)], -1)


def warped_between_boxes(
    hidden: Float[Tensor, "N d m m"],
    from_boxes: Float[Tensor, "N 4"],
    to_boxes: Float[Tensor, "N 4"],
    flow: Float[Tensor, "B 2 H W"],
    index: Int64[Tensor, "N"] | None = None,
) -> Float[Tensor, "N d m m"]:
    """Warp maps of boxes of the source frame to boxes of the flow's frame (DyeNet, eq. 1).

    A cell with centre p takes the value at q = p + flow(p), bilinear in the source box's grid; zeros
    outside that box (inferred: the text says that the hidden state is warped by the flow, not how a
    map of a box is). Beyond the frame, flow is continued from its border.

    Args:
        hidden: Maps of boxes of the source frame.
        from_boxes: The boxes of the maps.
        to_boxes: Boxes of the flow's frame.
        flow: In pixels, to the source frame; one for all boxes, or several.
        index: The flow of each box; needed if there are several flows.
    """
    points = grid_points(to_boxes, hidden.shape[-1])
    points = points + _flow_at(points, flow, index)
    first, side = from_boxes[:, None, None, :2], _sides(from_boxes)[:, None, None]
    place = 2 * (points - first) / side - 1
    sampled: Tensor = F.grid_sample(
        hidden, place.to(hidden.dtype), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return sampled


def pasted(
    patches: Float[Tensor, "N m m"], boxes: Float[Tensor, "N 4"], size: tuple[int, int]
) -> Float[Tensor, "N H W"]:
    """Paste maps of boxes into maps of the frame: bilinear between the cells' centres, 0 outside the box.

    From a box's edge to the centres of its outermost cells, values are those of these cells. A pixel
    belongs to the box if its centre does.

    Args:
        patches: In any dtype; the result has the boxes'.
        boxes: In pixels of the frame.
        size: (H, W) of the frame.
    """
    m = patches.shape[-1]
    x0, y0, _, _ = boxes.T
    width, height = _sides(boxes).T
    down, across = _mixing(y0, height, m, size[0]), _mixing(x0, width, m, size[1])
    with torch.autocast(boxes.device.type, enabled=False):
        return down @ patches.to(boxes.dtype) @ across.transpose(1, 2)


def cropped(masks: Float[Tensor, "N H W"], boxes: Float[Tensor, "N 4"], m: int) -> Float[Tensor, "N m m"]:
    """The mean of a mask over each cell of its box, exact in parts of pixels; 0 outside the frame.

    Args:
        masks: One per box, in any dtype; the result has the boxes'.
        boxes: In pixels of the frame.
        m: Cells of each side.
    """
    x0, y0, _, _ = boxes.T
    width, height = _sides(boxes).T
    H, W = masks.shape[-2:]
    down, across = _shares(y0, height, m, H), _shares(x0, width, m, W)
    with torch.autocast(boxes.device.type, enabled=False):
        return down @ masks.to(boxes.dtype) @ across.transpose(1, 2)


def _sides(boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N 2"]:
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(LEAST_SIDE_PX)


def _centres(boxes: Float[Tensor, "N 4"], m: int) -> tuple[Float[Tensor, "N m"], Float[Tensor, "N m"]]:
    """Columns' x and rows' y."""
    fractions = (torch.arange(m, dtype=boxes.dtype, device=boxes.device) + 0.5) / m
    x, y = (boxes[:, :2, None] + _sides(boxes)[..., None] * fractions).unbind(1)
    return x, y


def _flow_at(
    points: Float[Tensor, "N m m 2"], flow: Float[Tensor, "B 2 H W"], index: Int64[Tensor, "N"] | None
) -> Float[Tensor, "N m m 2"]:
    N, m = points.shape[:2]
    size = points.new_tensor([flow.shape[-1], flow.shape[-2]])
    place = (2 * points / size - 1).to(flow.dtype)
    if len(flow) == 1:
        place = place.reshape(1, N * m, m, 2)
    else:
        assert index is not None, "several flows need an index"
        flow = flow[index]
    moved = F.grid_sample(flow, place, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.permute(0, 2, 3, 1).reshape(N, m, m, 2).to(points.dtype)


def _mixing(
    first: Float[Tensor, "N"], side: Float[Tensor, "N"], m: int, pixels: int
) -> Float[Tensor, "N P m"]:
    """Weights of the cells for every pixel of a line: two cells at most, none outside the box.

    Bilinear interpolation is one such mixture down and one across, so that pasting is two products.
    """
    centres = torch.arange(pixels, dtype=first.dtype, device=first.device) + 0.5
    fraction = (centres - first[:, None]) / side[:, None]
    place = (m * fraction - 0.5).clamp(0, m - 1)
    cells = torch.arange(m, dtype=first.dtype, device=first.device)
    weights = (1 - (place[..., None] - cells).abs()).clamp_min(0)
    return weights * ((fraction >= 0) & (fraction <= 1))[..., None]


def _shares(
    first: Float[Tensor, "N"], side: Float[Tensor, "N"], m: int, pixels: int
) -> Float[Tensor, "N m P"]:
    """The share of each cell that every pixel of a line covers."""
    edges = first[:, None] + side[:, None] * torch.arange(m + 1, dtype=first.dtype, device=first.device) / m
    starts = torch.arange(pixels, dtype=first.dtype, device=first.device)
    upper = torch.minimum(edges[:, 1:, None], starts + 1)
    lower = torch.maximum(edges[:, :-1, None], starts)
    return (upper - lower).clamp_min(0) / (side / m)[:, None, None]
