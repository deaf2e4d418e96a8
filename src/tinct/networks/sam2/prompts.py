"""Clicks, boxes and scribbles as the points and logits that SAM's prompt encoder takes."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinct.inference.promptable import ObjectPrompt
from tinct.networks.sam2.network import Points
from tinct.shapes import BinaryMask

SCRIBBLE_POINTS = 4
"""How many points stand for a scribble: the network learnt from few."""

INSIDE, OUTSIDE, UPPER_LEFT, LOWER_RIGHT = 1, 0, 2, 3

LEAST_PROBABILITY = 1e-4
"""A previous mask's probabilities stay so far from 0 and 1, that their logits are finite."""


def points_of(
    prompt: ObjectPrompt, size: tuple[int, int], image_size: int, device: torch.device, dtype: torch.dtype
) -> Points:
    """A prompt's box, clicks and scribbles as points of the network's square frame.

    Args:
        prompt: Of one object.
        size: (H, W) of the frame.
        image_size: Side of the network's frame in pixels.
        device: Of the points.
        dtype: Of their coordinates.
    """
    found: list[tuple[float, float, int]] = []
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        # The network learnt boxes by the centres of their outermost pixels.
        found += [(x0 + 0.5, y0 + 0.5, UPPER_LEFT), (x1 - 0.5, y1 - 0.5, LOWER_RIGHT)]
    found += [(x, y, INSIDE if inside else OUTSIDE) for x, y, inside in prompt.points]
    for scribble, label in ((prompt.inside, INSIDE), (prompt.outside, OUTSIDE)):
        if scribble is not None:
            found += [(x, y, label) for x, y in scribble_points(scribble)]
    height, width = size
    # The prompt encoder counts from the centres of pixels, and adds the half itself.
    coordinates = [[x * image_size / width - 0.5, y * image_size / height - 0.5] for x, y, _ in found]
    return Points(
        torch.tensor(coordinates, device=device).to(dtype)[None, None],
        torch.tensor([label for *_, label in found], dtype=torch.int32, device=device)[None, None],
    )


def scribble_points(scribble: BinaryMask, points: int = SCRIBBLE_POINTS) -> list[tuple[float, float]]:
    """Points (x, y) of a scribble, far from its rim and from one another; none of an empty one.

    The first lies deepest inside; each later one where the product of depth and distance from those before
    is largest.
    """
    if not scribble.any():
        return []
    padded = np.pad(scribble.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.nonzero(scribble)
    weight = depth[rows, columns]
    chosen = [int(weight.argmax())]
    far = np.full(len(rows), np.inf)
    while len(chosen) < min(points, len(rows)):
        last = chosen[-1]
        far = np.minimum(far, np.hypot(rows - rows[last], columns - columns[last]))
        chosen.append(int((far * weight).argmax()))
    return [(float(columns[i]) + 0.5, float(rows[i]) + 0.5) for i in chosen]


def mask_logits_of(
    prompt: ObjectPrompt, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "1 1 H W"] | None:
    """A prompt's previous mask as logits; None without one."""
    if prompt.previous is None:
        return None
    probs = torch.from_numpy(np.ascontiguousarray(prompt.previous, np.float32)).to(device)
    return torch.logit(probs.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))[None, None].to(dtype)
