"""OSVOS: One-Shot Video Object Segmentation.

Sergi Caelles, Kevis-Kokitsi Maninis, Jordi Pont-Tuset, Laura Leal-Taixé, Daniel Cremers, Luc Van Gool.
CVPR 2017, arXiv:1611.05198.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from tinct.networks.guided_pyramid import GuidedPyramid
from tinct.networks.side_outputs import SideLogits


@dataclass(frozen=True)
class Options:
    """The network's make and the way it is run."""

    backbone: str = "mobilenetv2_100"


class OsvosNetwork(nn.Module):
    """A frame in, the object's logits out; no frame knows of another."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.stream = GuidedPyramid(options.backbone, guides=0)

    def forward(self, frames: Float[Tensor, "B 3 H W"], *, deep_supervision: bool = False) -> SideLogits:
        """Logits of stride 4."""
        output: SideLogits = self.stream(self.stream.features(frames), deep_supervision=deep_supervision)
        return output
