"""MaskRNN: Instance Level Video Object Segmentation.

Yuan-Ting Hu, Jia-Bin Huang, Alexander G. Schwing. NIPS 2017, arXiv:1803.11187.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tinct.networks.two_streams import TwoStreams

COMPACT_BACKBONES = {"mobilenetv2": "mobilenetv2_100"}
"""Backbones of compact variants, and timm's names for them."""


@dataclass(frozen=True)
class Options:
    """The network's make and the way it is run.

    Attributes:
        backbone: "mobilenetv2".
    """

    backbone: str = "mobilenetv2"


class MaskRnnNetwork(nn.Module):
    """Both streams and the localization net of one object."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.streams = TwoStreams(COMPACT_BACKBONES[options.backbone])
