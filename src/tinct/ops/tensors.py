"""Frames, flow and masks as tensors, and objects' logits as their masks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tinct.io.flow_files import Flow
from tinct.io.masks import ObjectMasks
from tinct.ops.resize import enlarged_probs
from tinct.shapes import Image


def frame_tensor(frame: Image, device: torch.device) -> Float[Tensor, "1 3 H W"]:
    """A frame as networks take it, in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(device)
    return pixels.permute(2, 0, 1)[None].float() / 255


def flow_tensor(flow: Flow, device: torch.device) -> Float[Tensor, "1 2 H W"]:
    """Flow as `tinct.ops.warp` takes it, in pixels."""
    return torch.from_numpy(flow).to(device).permute(2, 0, 1)[None]


def masks_tensor(masks: ObjectMasks, size: tuple[int, int], device: torch.device) -> Float[Tensor, "N h w"]:
    """The masks' probabilities at another size (H, W), bilinear."""
    probs = torch.from_numpy(masks.probs).to(device)
    return F.interpolate(probs[None], size=size, mode="bilinear", align_corners=False)[0]


def object_probs(logits: Float[Tensor, "N h w"], size: tuple[int, int]) -> Float[Tensor, "N H W"]:
    """Probabilities at a size (H, W) of objects beside a background whose logit is 0 everywhere."""
    return enlarged_probs(F.pad(logits, (0, 0, 0, 0, 1, 0)), size)


def object_masks(
    object_ids: tuple[int, ...], logits: Float[Tensor, "N h w"], size: tuple[int, int]
) -> ObjectMasks:
    """Masks of a frame of a size (H, W); a pixel goes to the object with the highest logit above 0."""
    return ObjectMasks(object_ids, object_probs(logits, size).cpu().numpy())
