"""Boxes: bounding boxes of masks, Fast R-CNN's regression targets, enlargement.

A box is (x0, y0, x1, y1) in pixels, from the left edge of its first pixel to the right edge of its
last one: the box of one pixel at (3, 5) is (3, 5, 4, 6).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def mask_boxes(masks: Bool[Tensor, "N H W"]) -> Float[Tensor, "N 4"]:
    """The bounding box of each mask; the whole frame for an empty mask."""
    H, W = masks.shape[-2:]
    rows, columns = masks.any(2), masks.any(1)
    y0, x0 = rows.to(torch.uint8).argmax(1), columns.to(torch.uint8).argmax(1)
    y1 = H - rows.flip(1).to(torch.uint8).argmax(1)
    x1 = W - columns.flip(1).to(torch.uint8).argmax(1)
    boxes = torch.stack([x0, y0, x1, y1], 1).float()
    whole = boxes.new_tensor([0.0, 0.0, W, H])
    return torch.where(rows.any(1)[:, None], boxes, whole)


def box_deltas(proposals: Float[Tensor, "N 4"], targets: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """(dx, dy, dw, dh) that take proposals to targets (Fast R-CNN, after R-CNN's appendix C).

    dx, dy are the shift of the centre as a fraction of the proposal's size; dw, dh the logarithm of the
    change of size.
    """
    centre, size = _centre_and_size(proposals)
    target_centre, target_size = _centre_and_size(targets)
    return torch.cat([(target_centre - centre) / size, (target_size / size).log()], 1)


def apply_deltas(proposals: Float[Tensor, "N 4"], deltas: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """Apply deltas to proposals; sizes change by a factor of 4 at most."""
    centre, size = _centre_and_size(proposals)
    centre = centre + deltas[:, :2] * size
    size = size * deltas[:, 2:].clamp(-1.386, 1.386).exp()
    return torch.cat([centre - size / 2, centre + size / 2], 1)


def enlarged_boxes(boxes: Float[Tensor, "N 4"], factor: float) -> Float[Tensor, "N 4"]:
    """Boxes scaled by `factor` about their centres."""
    centre, size = _centre_and_size(boxes)
    return torch.cat([centre - factor * size / 2, centre + factor * size / 2], 1)


def hull_boxes(boxes: Float[Tensor, "N 4"], others: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
    """The smallest boxes that contain both."""
    return torch.cat([torch.minimum(boxes, others)[:, :2], torch.maximum(boxes, others)[:, 2:]], 1)


def inside_boxes(boxes: Float[Tensor, "N 4"], size: tuple[int, int]) -> Bool[Tensor, "N H W"]:
    """Masks of the pixels of a frame whose centres are inside each box."""
    y = torch.arange(size[0], device=boxes.device).view(1, -1, 1) + 0.5
    x = torch.arange(size[1], device=boxes.device).view(1, 1, -1) + 0.5
    x0, y0, x1, y1 = boxes.T[..., None, None]
    inside: Tensor = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    return inside


def _centre_and_size(boxes: Float[Tensor, "N 4"]) -> tuple[Float[Tensor, "N 2"], Float[Tensor, "N 2"]]:
    first, last = boxes[:, :2], boxes[:, 2:]
    return (first + last) / 2, (last - first).clamp_min(1e-3)
