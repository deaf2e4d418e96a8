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

from tinct.networks.dyenet.network import DyeNetNetwork, Propagated
from tinct.networks.dyenet.patches import SeenFrames
from tinct.networks.dyenet.template_guide import TemplateCells
from tinct.ops.boxes import enlarged_boxes, mask_boxes
from tinct.ops.rois import cropped, pasted, warped_between_boxes
from tinct.ops.warp import warp


class Followed(NamedTuple):
    """Objects in the frame that was reached.

    Attributes:
        masks: [N, H, W], probabilities in the frame.
        boxes: [N, 4], in pixels of the frame.
        hidden: [N, d, m, m], the hidden states, in the boxes' grids.
        cells: What the frame shows of them, for a network with a template guide.
    """

    masks: Float[Tensor, "N H W"]
    boxes: Float[Tensor, "N 4"]
    hidden: Float[Tensor, "N d m m"]
    cells: TemplateCells | None


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


TEMPLATE_ENLARGEMENT = 1.8
"""Factor on the sides of a template's box: its surroundings tell what the object is not."""


def templates_of(
    network: DyeNetNetwork,
    frames: SeenFrames,
    index: Int64[Tensor, "N"],
    masks: Float[Tensor, "N H W"],
) -> TemplateCells | None:
    """What masks of pictures teach of their objects; None for a network without a template guide.

    Args:
        network: On its device.
        frames: A batch of them.
        index: Which of them each object lies in.
        masks: Of the objects there, probabilities.
    """
    if network.template_guide is None:
        return None
    boxes = region_boxes(masks, TEMPLATE_ENLARGEMENT)
    return network.remember(*frames.around(boxes, index), cropped(masks, boxes, network.mask_grid))


def begin_to_follow(
    network: DyeNetNetwork,
    frames: SeenFrames,
    index: Int64[Tensor, "N"],
    masks: Float[Tensor, "N H W"],
    enlargement: float,
    templates: TemplateCells | None = None,
) -> Followed:
    """The hidden states of a starting frame, from its features and given masks.

    Args:
        network: On its device.
        frames: A batch of them.
        index: Which of them each object lies in.
        masks: The given masks, probabilities.
        enlargement: Factor on the boxes' sides.
        templates: Of the objects.
    """
    boxes = region_boxes(masks, enlargement)
    given = cropped(masks, boxes, network.mask_grid)
    seen = frames.around(boxes, index)
    hidden = network.begin(*seen, given, templates)
    return Followed(masks, boxes, hidden, network.remember(*seen, given))


def follow(
    network: DyeNetNetwork,
    frames: SeenFrames,
    index: Int64[Tensor, "N"],
    before: Followed,
    flow: Float[Tensor, "B 2 H W"],
    flow_index: Int64[Tensor, "N"],
    enlargement: float,
    templates: TemplateCells | None = None,
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
        templates: Of the objects.
    """
    with _exact(flow):
        warped = warp(before.masks.unsqueeze(1), flow[flow_index])[:, 0]
        present = (warped.detach() > 0.5).flatten(1).any(1)
        boxes = region_boxes(warped, enlargement)
        hidden = warped_between_boxes(before.hidden.float(), before.boxes, boxes, flow, flow_index)
        guides = cropped(warped, boxes, network.mask_grid)
    seen = frames.around(boxes, index)
    propagated: Propagated = network(*seen, hidden, guides, templates, before.cells)
    size = (warped.shape[-2], warped.shape[-1])
    probs = torch.sigmoid(propagated.mask_logits.float())
    with _exact(flow):
        masks = pasted(probs, boxes, size)
    cells = network.remember(*seen, probs)
    return RolledOut(Followed(masks, boxes, propagated.hidden, cells), propagated.mask_logits, present)
