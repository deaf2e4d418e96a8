"""What of a frame a picture shows: all of it, or a size-normalised patch around objects (DyeNet, section 3).

Boxes, masks and flow live in pixels of the working frame. A network sees a picture of a rectangle of
that frame, enlarged or not; a `View` takes boxes from the one to the other.
"""

from __future__ import annotations

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
