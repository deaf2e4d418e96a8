"""DyeNet's recurrence over several objects and frames, as it is trained: masks handed on from frame to frame.

One step is that of the paper (section 3.2, Fig. 3): the mask of the frame before is warped by the
flow, its box is taken, the hidden state is warped into that box, and the network says the new mask.
Gradients flow through the hidden states and, where the mask guides, through the masks
(back-propagation through time); a box is a decision, and has none.

Objects may belong to different clips of a batch: every object has the index of its picture in the
batch of features, and the index of its flow.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tinct.networks.dyenet.matching_guide import BoxCells
from tinct.networks.dyenet.network import DyeNetNetwork, Propagated
from tinct.networks.dyenet.patches import SeenFrames
from tinct.networks.frame_features import STRIDE
from tinct.ops.boxes import enlarged_boxes, mask_boxes
from tinct.ops.rois import cropped, pasted, pooled, warped_between_boxes
from tinct.ops.warp import warp


class Followed(NamedTuple):
    """Objects in the frame that was reached.

    Attributes:
        masks: [N, H, W], probabilities in the frame.
        boxes: [N, 4], in pixels of the frame.
        hidden: [N, d, m, m], the hidden states, in the boxes' grids.
        cells: What the frame shows of them, for a network with a matching guide.
    """

    masks: Float[Tensor, "N H W"]
    boxes: Float[Tensor, "N 4"]
    hidden: Float[Tensor, "N d m m"]
    cells: BoxCells | None


class RolledOut(NamedTuple):
    """One step of the recurrence.

    Attributes:
        followed: The objects in this frame.
        mask_logits: [N, M, M], in the grids of `followed.boxes`.
        present: Whether the warped mask showed anything; without it the box is the whole frame.
    """

    followed: Followed
    mask_logits: Float[Tensor, "N M M"]
    present: Bool[Tensor, "N"]


def _exact(like: Tensor) -> torch.autocast:
    """Places are computed in float32, whatever the network's precision."""
    return torch.autocast(like.device.type, enabled=False)


def region_boxes(masks: Float[Tensor, "N H W"], enlargement: float) -> Float[Tensor, "N 4"]:
    """The boxes around masks above one half, enlarged; that of an empty mask is the whole frame."""
    return enlarged_boxes(mask_boxes(masks.detach() > 0.5), enlargement)


def recalled_in_boxes(
    recalled: Float[Tensor, "N 2 h w"], boxes: Float[Tensor, "N 4"], grid: int
) -> Float[Tensor, "N 2 G G"]:
    """What boxes recall of annotated frames, of what whole frames recall.

    Args:
        recalled: A frame's maps, for each box those of its object; a cell stands for the pixels that it
            covers, as a label's share of it does.
        boxes: In pixels of the frame.
        grid: G.
    """
    index = torch.arange(len(boxes), device=boxes.device)
    # `pooled` has cell i on pixel STRIDE i, half a cell before the middle of what it covers.
    return pooled(recalled, boxes - (STRIDE - 1) / 2, index, grid, STRIDE)


def begin_to_follow(
    network: DyeNetNetwork,
    frames: SeenFrames,
    index: Int64[Tensor, "N"],
    masks: Float[Tensor, "N H W"],
    enlargement: float,
    recalled: Float[Tensor, "N 2 h w"] | None = None,
) -> Followed:
    """The hidden states of a starting frame, from its features and given masks.

    Args:
        network: On its device.
        frames: A batch of them.
        index: Which of them each object lies in.
        masks: The given masks, probabilities.
        enlargement: Factor on the boxes' sides.
        recalled: What the frame recalls of the objects, for a network with a matching guide.
    """
    boxes = region_boxes(masks, enlargement)
    given = cropped(masks, boxes, network.mask_grid)
    seen = frames.around(boxes, index)
    hidden = network.begin(*seen, given, _in_boxes(recalled, boxes, network))
    return Followed(masks, boxes, hidden, network.remember(*seen, given))


def follow(
    network: DyeNetNetwork,
    frames: SeenFrames,
    index: Int64[Tensor, "N"],
    before: Followed,
    flow: Float[Tensor, "B 2 H W"],
    flow_index: Int64[Tensor, "N"],
    enlargement: float,
    recalled: Float[Tensor, "N 2 h w"] | None = None,
) -> RolledOut:
    """The objects one frame further.

    Args:
        network: On its device.
        frames: A batch of them.
        index: Which of them each object lies in now.
        before: The objects in the frame before.
        flow: Of each clip: it lives on the new frame and leads to the frame before.
        flow_index: Which of them each object goes with.
        enlargement: Factor on the boxes' sides.
        recalled: What the frame recalls of the objects, for a network with a matching guide.
    """
    with _exact(flow):
        warped = warp(before.masks.unsqueeze(1), flow[flow_index])[:, 0]
        present = (warped.detach() > 0.5).flatten(1).any(1)
        boxes = region_boxes(warped, enlargement)
        hidden = warped_between_boxes(before.hidden.float(), before.boxes, boxes, flow, flow_index)
        guides = cropped(warped, boxes, network.mask_grid)
    seen = frames.around(boxes, index)
    in_boxes = _in_boxes(recalled, boxes, network)
    propagated: Propagated = network(*seen, hidden, guides, in_boxes, before.cells)
    size = (warped.shape[-2], warped.shape[-1])
    probs = torch.sigmoid(propagated.mask_logits.float())
    with _exact(flow):
        masks = pasted(probs, boxes, size)
    cells = network.remember(*seen, probs)
    return RolledOut(Followed(masks, boxes, propagated.hidden, cells), propagated.mask_logits, present)


def _in_boxes(recalled: Tensor | None, boxes: Tensor, network: DyeNetNetwork) -> Tensor | None:
    return None if recalled is None else recalled_in_boxes(recalled, boxes, network.mask_grid)
