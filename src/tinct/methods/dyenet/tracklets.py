"""The nouns of DyeNet's loop: masks of boxes, starting points, tracklets, and how much masks overlap.

Everything here lives in pixels of the working frame, and is small: an object's mask is a patch of its
box, so that the whole video's masks may be kept until the loop has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinct.ops.boxes import enlarged_boxes, mask_boxes
from tinct.ops.rois import pasted
from tinct.shapes import holds_arrays

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) as in `tinct.ops.boxes`."""

OVERLAP_GRID = 48
"""Where two boxes meet, their masks are compared at this number of points across and down."""


@holds_arrays
@dataclass(frozen=True, repr=False)
class RoiMask:
    """An object's mask in one frame: probabilities over its box, 0 outside.

    Attributes:
        box: In pixels of the working frame.
        probs: float16 [M, M].
    """

    box: Box
    probs: Float[np.ndarray, "M M"]

    @classmethod
    def of(cls, box: Float[Tensor, "4"], probs: Float[Tensor, "M M"]) -> RoiMask:
        """From tensors on any device."""
        x0, y0, x1, y1 = (float(edge) for edge in box)
        return cls((x0, y0, x1, y1), probs.detach().cpu().numpy().astype(np.float16))

    @property
    def area(self) -> float:
        """Of what is more probable than not, in square pixels."""
        x0, y0, x1, y1 = self.box
        return float((self.probs > 0.5).mean()) * max(0.0, x1 - x0) * max(0.0, y1 - y0)


def box_tensor(masks: Sequence[RoiMask]) -> Float[Tensor, "N 4"]:
    """The boxes of masks."""
    return torch.tensor([mask.box for mask in masks], dtype=torch.float32).reshape(-1, 4)


def patch_tensor(masks: Sequence[RoiMask]) -> Float[Tensor, "N M M"]:
    """The probabilities of masks, float32."""
    return torch.from_numpy(np.stack([mask.probs for mask in masks]).astype(np.float32))


@dataclass(frozen=True)
class Overlap:
    """How much two masks have in common, in square pixels.

    Attributes:
        both: Of both masks.
        first: Of the first one.
        second: Of the second one.
    """

    both: float
    first: float
    second: float

    @property
    def iou(self) -> float:
        """Intersection over union; 0 where both are empty."""
        union = self.first + self.second - self.both
        return self.both / union if union > 0 else 0.0

    @property
    def share_of_second(self) -> float:
        """How much of the second one the first covers; 0 where it is empty."""
        return self.both / self.second if self.second > 0 else 0.0


def overlaps(firsts: Sequence[RoiMask], seconds: Sequence[RoiMask]) -> list[Overlap]:
    """The overlap of each pair of masks; those of one frame each, of any frames.

    Two masks are compared where their boxes meet, so that a small object beside a large one counts
    as exactly as any.
    """
    if not firsts:
        return []
    boxes, others = box_tensor(firsts), box_tensor(seconds)
    meeting = torch.cat([torch.maximum(boxes, others)[:, :2], torch.minimum(boxes, others)[:, 2:]], 1)
    sides = (meeting[:, 2:] - meeting[:, :2]).clamp_min(0)
    area = sides.prod(1)
    both = torch.ones(len(firsts), OVERLAP_GRID, OVERLAP_GRID, dtype=torch.bool)
    for masks, theirs in ((firsts, boxes), (seconds, others)):
        # The rectangle where they meet, as a picture of its own.
        scale = OVERLAP_GRID / sides.clamp_min(1e-3)
        seen = (theirs - meeting[:, :2].repeat(1, 2)) * scale.repeat(1, 2)
        both &= pasted(patch_tensor(masks), seen, (OVERLAP_GRID, OVERLAP_GRID)) > 0.5
    shares = both.float().mean((1, 2)) * area
    return [
        Overlap(min(float(share), a.area, b.area), a.area, b.area)
        for share, a, b in zip(shares, firsts, seconds, strict=True)
    ]


@holds_arrays
@dataclass(frozen=True, repr=False)
class StartingPoint:
    """A mask from which to propagate (section 2.1).

    Attributes:
        frame: Its index.
        object_id: Whose mask it is.
        mask: The annotated mask, or that of the mask network.
        similarity: To the nearest template, or, where cells are compared, of its mask with what the frame
            recalls of the object; 1 for an annotated mask.
        runner_up: The similarity of the next object in the same sense; -1 where there is no other.
        runner_up_id: Which object that is, if any.
        embedding: [D], of what it shows.
        annotated: Whether a person gave it.
        round: In which it was found; 0 for annotated ones.
    """

    frame: int
    object_id: int
    mask: RoiMask
    embedding: Float[np.ndarray, "D"]
    similarity: float = 1.0
    runner_up: float = -1.0
    runner_up_id: int | None = None
    annotated: bool = False
    round: int = 0

    @property
    def box(self) -> Box:
        """In pixels of the working frame."""
        return self.mask.box

    @property
    def rank(self) -> tuple[bool, float, int, int]:
        """The order of propagation and linking: the most similar first (section 2.2).

        Annotated ones come before all others; ties go to the lower frame, then to the lower id
        (inferred: the text names no order of equals).
        """
        return (not self.annotated, -self.similarity, self.frame, self.object_id)

    def is_doubtful(self, margin: float) -> bool:
        """Whether another object was nearly as similar."""
        return self.runner_up_id is not None and self.similarity - self.runner_up < margin


class Stop(StrEnum):
    """Why a propagation ended; the text names no rule, so all are inferred."""

    FIRST_FRAME = "the video begins here"
    LAST_FRAME = "the video ends here"
    EMPTY = "the warped mask is empty"
    SMALL = "the box is too small"
    FADED = "the mask has faded"
    ANNOTATED = "the next frame is painted"
    NEARER = "another starting point is nearer"
    UNLIKE = "the box looks like none of the object's templates"


@dataclass(frozen=True)
class Tracklet:
    """The masks that one starting point gave, on consecutive frames.

    Attributes:
        start: Where it began.
        masks: Frame → mask, that of the starting point among them.
        stops: Why it ended, backwards and forwards.
        similarities: Frame → how much the mask's box looks like the object; empty if nobody looked.
    """

    start: StartingPoint
    masks: Mapping[int, RoiMask]
    stops: tuple[Stop, Stop]
    similarities: Mapping[int, float] = field(default_factory=dict)

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last frame."""
        return min(self.masks), max(self.masks)


@dataclass(frozen=True)
class TubeMask:
    """A mask in a tube.

    Attributes:
        mask: The mask.
        tracklet: The place of its tracklet in the list of all.
        start: That tracklet's starting point.
        similarity: How much its box looks like the object; None if nobody looked.
    """

    mask: RoiMask
    tracklet: int
    start: StartingPoint
    similarity: float | None = None


Tubes = Mapping[int, Mapping[int, TubeMask]]
"""What is known of every object: object id → frame → mask."""


def tight_boxes(boxes: Float[Tensor, "N 4"], probs: Float[Tensor, "N M M"]) -> Float[Tensor, "N 4"]:
    """The boxes of what is more probable than not in patches; of an empty one its whole box."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    inside = mask_boxes(probs > 0.5) / probs.shape[-1]
    return boxes[:, :2].repeat(1, 2) + inside * sides


def reboxed(
    boxes: Float[Tensor, "N 4"], probs: Float[Tensor, "N M M"], margin: float
) -> tuple[Float[Tensor, "N 4"], Float[Tensor, "N M M"]]:
    """The same masks in boxes that enclose them with a margin, as the boxes of warped masks do.

    So that a mask that was found in a proposal is begun with as it will be gone on with (inferred:
    the text takes the proposal's own box).
    """
    wider = enlarged_boxes(tight_boxes(boxes, probs), 1 + 2 * margin)
    M = probs.shape[-1]
    # The new box as a picture of M × M pixels of its own.
    scale = M / (wider[:, 2:] - wider[:, :2]).clamp_min(1e-3).repeat(1, 2)
    seen = (boxes - wider[:, :2].repeat(1, 2)) * scale
    return wider, pasted(probs, seen, (M, M))
