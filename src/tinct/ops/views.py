"""Views of a frame: all of it, or a size-normalised patch around objects (DyeNet, section 3).

Boxes, masks and flow live in pixels of the working frame. The input of a network is a picture of a
rectangle of that frame; a `View` converts boxes between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tinct.errors import OptionError


@dataclass(frozen=True)
class View:
    """A rectangle of the working frame, and the size of the picture that shows it.

    Attributes:
        box: (x0, y0, x1, y1) in pixels of the working frame, as in `tinct.ops.boxes`; it may leave the
            frame.
        size: (H, W) of the picture.

    Raises:
        OptionError: The box or the picture is empty.
    """

    box: tuple[float, float, float, float]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (x1 > x0 and y1 > y0) or min(self.size) < 1:
            raise OptionError(
                f"A view of the box {self.box} as a picture of {self.size} pixels came; both need a width "
                "and a height above 0."
            )

    @property
    def enlargement(self) -> tuple[float, float]:
        """Pixels of the picture per pixel of the frame: (across, down)."""
        x0, y0, x1, y1 = self.box
        return self.size[1] / (x1 - x0), self.size[0] / (y1 - y0)

    def to_view(self, boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
        """Boxes of the frame in pixels of the picture."""
        origin, factors = self._origin_and_factors(boxes)
        return (boxes - origin) * factors

    def to_frame(self, boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N 4"]:
        """Boxes of the picture in pixels of the frame."""
        origin, factors = self._origin_and_factors(boxes)
        return boxes / factors + origin

    def _origin_and_factors(self, like: Tensor) -> tuple[Float[Tensor, "4"], Float[Tensor, "4"]]:
        origin = torch.tensor(2 * self.box[:2], dtype=like.dtype, device=like.device)
        return origin, torch.tensor(2 * self.enlargement, dtype=like.dtype, device=like.device)


def full_view(size: tuple[int, int]) -> View:
    """The whole frame of (H, W) pixels as it is."""
    return View((0.0, 0.0, float(size[1]), float(size[0])), size)


def cut(
    pictures: Float[Tensor, "B C H W"], view: View, frame_size: tuple[int, int]
) -> Float[Tensor, "B C h w"]:
    """Cut a view out of pictures: bilinear, anti-aliased where it shrinks them, 0 outside.

    Args:
        pictures: Pictures of whole frames, of any size, best at full resolution.
        view: A view of the working frame.
        frame_size: (H, W) of the working frame.
    """
    across, down = pictures.shape[-1] / frame_size[1], pictures.shape[-2] / frame_size[0]
    x0, y0, x1, y1 = view.box
    rows, of_rows = _line(y0 * down, y1 * down, view.size[0], pictures.shape[-2], pictures)
    columns, of_columns = _line(x0 * across, x1 * across, view.size[1], pictures.shape[-1], pictures)
    with torch.autocast(pictures.device.type, enabled=False):
        return of_rows @ pictures[..., rows, columns] @ of_columns.T


def cut_flow(flow: Float[Tensor, "B 2 H W"], view: View) -> Float[Tensor, "B 2 h w"]:
    """Cut a view out of the flow of the working frame, and scale its vectors.

    Args:
        flow: In pixels of the frame.
        view: A view of that frame.
    """
    shown = cut(flow, view, (flow.shape[-2], flow.shape[-1]))
    return shown * flow.new_tensor(view.enlargement).view(2, 1, 1)


def _line(
    first: float, last: float, count: int, pixels: int, like: Tensor
) -> tuple[slice, Float[Tensor, "K P"]]:
    """Which old pixels `count` new ones from `first` to `last` need, and how much of each they take.

    Weights fall linearly with the distance of centres, to 0 at the side of the larger of both pixels;
    they sum to 1 where the new pixel's centre lies on old ones.
    """
    side = (last - first) / count
    reach = max(1.0, side)
    start, stop = (min(max(math.floor(edge), 0), pixels) for edge in (first - reach, last + reach + 1))
    centres = first + side * (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5)
    old = torch.arange(start, stop, dtype=like.dtype, device=like.device) + 0.5
    weights = (1 - (centres[:, None] - old).abs() / reach).clamp_min(0)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1e-6)
    return slice(start, stop), weights * ((centres >= 0) & (centres <= pixels))[:, None]
