"""FEELVOS's network and matching in torch, on any of its devices."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tinct.inference.devices import OnDevice
from tinct.networks.feelvos import FeelvosNetwork
from tinct.networks.feelvos_parts import FrameEncoding, ObjectMatches
from tinct.ops.matching import local_matching, match_reference, reference_set
from tinct.ops.membership import label_membership
from tinct.ops.pixel_sets import PixelSet, ReferenceSet
from tinct.ops.precision import Precision, bfloat16_is_faster
from tinct.ops.resize import enlarged_probs, resize_area
from tinct.shapes import Bool, Image, Int64


class TorchBackend(OnDevice):
    """The backend of every variant and device.

    Args:
        network: Never changed.
        device: Where it runs.
        precision: "float32", "bfloat16", or "auto": bfloat16 where this device is faster with it.
    """

    name = "torch"
    array_type = Tensor

    def __init__(
        self, network: FeelvosNetwork, device: torch.device | None = None, precision: Precision = "auto"
    ) -> None:
        self.device = device or torch.device("cpu")
        # A copy: moving it and switching it to evaluation would change the network that was given.
        inner: Any = deepcopy(network).to(self.device)
        self.network: FeelvosNetwork = inner.to(memory_format=torch.channels_last).eval()
        lowered = precision == "bfloat16" or (precision == "auto" and bfloat16_is_faster(self.device.type))
        self.precision: Precision = "bfloat16" if lowered else "float32"

    def inference(self) -> torch.inference_mode:
        """No gradients."""
        return torch.inference_mode()

    def encode(self, frame: Image) -> FrameEncoding:
        """A frame of the working size, seen by the network."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(self.device)
        with torch.inference_mode(), self._lowered():
            seen = self.network.encode(pixels.permute(2, 0, 1)[None].float() / 255)
        return FrameEncoding(seen.features, seen.embedding.float(), seen.skip)

    def _lowered(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def reference(self, pixels: PixelSet, temperature: float | None) -> ReferenceSet:
        """Reference pixels made ready for `match`."""
        return reference_set(
            pixels.embedding, pixels.membership, temperature=temperature, precision=self.precision
        )

    def match(self, reference: ReferenceSet, embedding: Float[Tensor, "C H W"]) -> Float[Tensor, "L H W"]:
        """Global matching (eq. 2)."""
        nearest = match_reference(reference, embedding.flatten(1).T)
        return nearest.reshape(-1, *embedding.shape[-2:])

    def match_window(
        self,
        embedding: Float[Tensor, "C H W"],
        previous: Float[Tensor, "C H W"],
        membership: Float[Tensor, "L H W"],
        radius: int,
        temperature: float | None,
    ) -> Float[Tensor, "L H W"]:
        """Local matching (eq. 5)."""
        return local_matching(
            embedding, previous, membership, radius=radius, temperature=temperature, precision=self.precision
        )

    def logits(
        self, encoding: FrameEncoding, matches: ObjectMatches, temperature: float | None
    ) -> Float[Tensor, "L H4 W4"]:
        """The head (3.6)."""
        with self._lowered():
            [output] = self.network(encoding, [matches], temperature)
        logits: Tensor = output.logits.float()
        return logits

    def probs(
        self, logits: Float[Tensor, "L h w"], size: tuple[int, int], *, align_corners: bool
    ) -> Float[np.ndarray, "N H W"]:
        """The objects' probabilities at the frame's size."""
        return np.asarray(enlarged_probs(logits, size, align_corners=align_corners).cpu().numpy())

    def softmax(self, logits: Float[Tensor, "L h w"]) -> Float[Tensor, "L h w"]:
        """Over the labels."""
        return logits.softmax(0)

    def membership(
        self, labels: Tensor, objects: int, grid: tuple[int, int], *, soft: bool, align_corners: bool = False
    ) -> Float[Tensor, "L h w"]:
        """Which cell of a grid belongs to which label."""
        return label_membership(labels, objects, grid, soft=soft, align_corners=align_corners)

    def resized(self, maps: Float[Tensor, "L H W"], grid: tuple[int, int]) -> Float[Tensor, "L h w"]:
        """The mean of each cell of a grid."""
        return resize_area(maps, grid)

    def array(self, values: Int64[np.ndarray, "H W"]) -> Tensor:
        """Labels on the device."""
        return torch.from_numpy(values).to(self.device)

    def numpy(self, array: Tensor) -> np.ndarray:
        """A tensor as an array on the processor."""
        return np.asarray(array.cpu().numpy())

    def masked(self, logits: Tensor, where: Bool[np.ndarray, "L H W"], value: float) -> Tensor:
        """A copy with another value at some places."""
        return logits.masked_fill(torch.from_numpy(where).to(self.device), value)
