"""A network that sees colours, and clips of coloured squares: with them the loop can be tested end to end.

Objects are saturated, the background is grey. An embedding is the direction of a box's mean colour, a mask
is what has the box's (or the carried) colour: both are exact, so that what the loop makes of them is the
loop's own doing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinct.io.flow_files import Flow
from tinct.io.video import Video
from tinct.methods.dyenet import DyeNet, Options
from tinct.methods.dyenet.linking import LinkingRules
from tinct.methods.dyenet.tracklets import RoiMask, StartingPoint, Stop, Tracklet
from tinct.networks.dyenet.network import DyeNetConfig, FrameFeatures, Propagated, Proposals
from tinct.networks.flow import FlowEstimator
from tinct.ops.rois import pooled
from tinct.shapes import Image

H, W = 48, 80
GRID = 28
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230), "orange": (230, 120, 20)}


class Counter:
    """Counts, and stays itself in a copied network."""

    def __init__(self) -> None:
        self.features = 0
        self.propagated = 0

    def __deepcopy__(self, _: Any) -> Counter:
        return self


class ColourNetwork(nn.Module):
    """Has the methods of `DyeNetNetwork`; its features of stride 1 are the picture itself."""

    def __init__(self) -> None:
        super().__init__()
        self.config = DyeNetConfig()
        self.mask_grid = GRID
        self.count = Counter()
        self.recurrent = SimpleNamespace(attention=None)

    def features(self, frames: Tensor, flows: Tensor | None = None) -> FrameFeatures:
        self.count.features += 1
        return FrameFeatures(frames, None, None)

    def proposals(self, features: FrameFeatures, view: Any, count: int = 100) -> list[Proposals]:
        found = [_components(picture)[:count] for picture in features.coarse]
        return [Proposals(boxes, torch.ones(len(boxes))) for boxes in found]

    def embeddings(self, features: FrameFeatures, boxes: Tensor, index: Tensor) -> Tensor:
        cells = pooled(features.coarse, boxes, index, GRID, 1)
        return F.normalize(_hue(_main_colour(cells, torch.ones_like(cells[:, 0]))), dim=1)

    def mask_logits(self, features: FrameFeatures, boxes: Tensor, index: Tensor) -> Tensor:
        cells = pooled(features.coarse, boxes, index, GRID, 1)
        return _like(cells, _main_colour(cells, torch.ones_like(cells[:, 0])))

    def remember(self, features: FrameFeatures, boxes: Tensor, index: Tensor, masks: Tensor) -> None:
        return None

    def begin(
        self, features: FrameFeatures, boxes: Tensor, index: Tensor, masks: Tensor, templates: None = None
    ) -> Tensor:
        cells = pooled(features.coarse, boxes, index, GRID, 1)
        return _carried(_main_colour(cells, (masks > 0.5).float()))

    def forward(
        self,
        features: FrameFeatures,
        boxes: Tensor,
        index: Tensor,
        hidden: Tensor,
        masks: Tensor,
        templates: None = None,
        before: None = None,
    ) -> Propagated:
        self.count.propagated += len(boxes)
        cells = pooled(features.coarse, boxes, index, GRID, 1)
        colour = hidden[:, :3].sum((2, 3)) / hidden[:, 3:].sum((2, 3)).clamp_min(1e-6)
        logits = _like(cells, colour)
        found = _main_colour(cells, (logits > 0).float())
        colour = torch.where((logits > 0).any(2).any(1)[:, None], found, colour)
        return Propagated(logits, _carried(colour), torch.full_like(logits, 1 / GRID**2))


def _components(picture: Tensor) -> Tensor:
    """The boxes of connected pixels of one colour."""
    pixels = picture.permute(1, 2, 0).numpy()
    hue = np.round(pixels * 3).astype(np.int64) @ [1, 4, 16] * _is_coloured(picture).numpy()
    boxes = []
    for value in np.unique(hue[hue > 0]):
        _, _, statistics, _ = cv2.connectedComponentsWithStats((hue == value).astype(np.uint8))
        boxes += [(x, y, x + w, y + h) for x, y, w, h, area in statistics[1:] if area >= 12]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def _is_coloured(pictures: Tensor) -> Tensor:
    return pictures.amax(-3) - pictures.amin(-3) > 0.35


def _main_colour(cells: Tensor, weights: Tensor) -> Tensor:
    """The mean colour of what is coloured."""
    weights = (weights * _is_coloured(cells))[:, None]
    return (cells * weights).sum((2, 3)) / weights.sum((2, 3)).clamp_min(1e-6)


def _hue(colour: Tensor) -> Tensor:
    return torch.cat([colour - colour.mean(1, keepdim=True), torch.full_like(colour[:, :1], 1e-3)], 1)


def _like(cells: Tensor, colour: Tensor) -> Tensor:
    near = (cells - colour[:, :, None, None]).abs().amax(1) < 0.2
    return torch.where(near & _is_coloured(cells), 8.0, -8.0)


def _carried(colour: Tensor) -> Tensor:
    padded = torch.cat([colour, torch.ones_like(colour[:, :1])], 1)
    return padded[:, :, None, None].expand(-1, -1, GRID, GRID).contiguous()


class Still(FlowEstimator):
    """Nothing moves: the boxes' margin follows slow objects."""

    name = "still"

    def _estimate(self, frame: Image, other: Image) -> Flow:
        return np.zeros((*frame.shape[:2], 2), np.float32)


Square = tuple[str | tuple[int, int, int], int, int, int]
"""(colour, left, top, side)."""


def painted_clip(
    frames: Sequence[Sequence[Square]], size: tuple[int, int] = (H, W)
) -> tuple[Video, list[np.ndarray]]:
    """A clip of squares over grey noise, later ones in front; label i is that of the i-th square."""
    draws = np.random.default_rng(0)
    ground = np.repeat(draws.integers(90, 130, (*size, 1)), 3, 2).astype(np.uint8)
    images, truths = [], []
    for squares in frames:
        image, truth = ground.copy(), np.zeros(size, np.uint8)
        for object_id, (colour, left, top, side) in enumerate(squares, start=1):
            window = slice(max(0, top), max(0, top + side)), slice(max(0, left), max(0, left + side))
            image[window] = COLOURS[colour] if isinstance(colour, str) else colour
            truth[window] = object_id
        images.append(image)
        truths.append(truth)
    return Video.from_arrays(images), truths


def options(**changes: Any) -> Options:
    return Options(**{"linking": LinkingRules(), "least_box_cells": 0.25, "box_margin": 0.15, **changes})


@pytest.fixture
def still() -> Still:
    return Still()


@pytest.fixture
def clip() -> Callable[..., tuple[Video, list[np.ndarray]]]:
    return painted_clip


@pytest.fixture
def colour_network() -> ColourNetwork:
    return ColourNetwork()


@pytest.fixture
def dyenet(colour_network: ColourNetwork) -> Callable[..., DyeNet]:
    """`dyenet(rho=0.8)`: the loop over the colour network, in full precision."""

    def make(proposals: Any = None, **changes: Any) -> DyeNet:
        return DyeNet(colour_network, options(**changes), flow=Still(), proposals=proposals)

    return make


def square_mask(left: float, top: float, side: float, grid: int = 8) -> RoiMask:
    box = (float(left), float(top), float(left + side), float(top + side))
    return RoiMask(box, np.ones((grid, grid), np.float16))


@pytest.fixture
def square() -> Callable[..., RoiMask]:
    """`square(left, top, side)`: a mask that fills its box."""
    return square_mask


@pytest.fixture
def tracklet() -> Callable[..., Tracklet]:
    """`tracklet(object_id, similarity, start, {frame: mask})`."""

    def make(
        object_id: int, similarity: float, start: int, masks: dict[int, RoiMask], *, annotated: bool = False
    ) -> Tracklet:
        point = StartingPoint(
            start, object_id, masks[start], np.ones(2, np.float32), similarity, annotated=annotated
        )
        return Tracklet(point, masks, (Stop.FIRST_FRAME, Stop.LAST_FRAME))

    return make
