"""Layers of the compact networks as graph nodes, by the names that their weights have in the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from tinct.graphs.writer import Graph

Weights: TypeAlias = Mapping[str, np.ndarray]

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])
"""As `tinct.networks.backbones` has them."""

MOBILENET_STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block in each of MobileNetV2's stages."""

PYRAMID_STAGES = (1, 2, 4, 6)
"""The stages after which the maps of strides 4, 8, 16 and 32 are taken."""


class Layers:
    """Adds layers to a graph.

    Args:
        graph: The graph.
        weights: Name → array, as in a weights file.
    """

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self.graph, self.weights = graph, weights

    def convolution(
        self, maps: str, name: str, *, stride: int = 1, act: str = "", groups: bool = False
    ) -> str:
        """A layer of the file, padded so that the size stays (strides round up); `act` "relu" or "relu6"."""
        weight = self.weights[f"{name}.weight"]
        bias = self.weights.get(f"{name}.bias")
        constants = [self.graph.constant(each) for each in (weight, bias) if each is not None]
        side = weight.shape[-1]
        out = self.graph.node(
            "Conv", maps, *constants, kernel_shape=[side, side], strides=[stride, stride],
            pads=[side // 2] * 4, group=len(weight) if groups else 1,
        )  # fmt: skip
        if act == "relu6":
            return self.graph.node("Clip", out, self.graph.constant(0.0), self.graph.constant(6.0))
        return self.relu(out) if act == "relu" else out

    def relu(self, maps: str) -> str:
        """max(x, 0)."""
        return self.graph.node("Relu", maps)

    def add(self, *terms: str) -> str:
        """The sum of several values."""
        total = terms[0]
        for term in terms[1:]:
            total = self.graph.node("Add", total, term)
        return total

    def resized_like(self, maps: str, like: str) -> str:
        """Bilinear interpolation to the size of other maps, pixel centres aligned."""
        g = self.graph
        own, other = g.node("Shape", maps), g.node("Shape", like)
        sizes = g.node("Concat", self.cut(own, 0, 2), self.cut(other, 2, 4), axis=0)
        return g.node(
            "Resize", maps, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel"
        )

    def area_like(self, maps: str, like: str) -> str:
        """The mean of each cell of other maps' grid; cells overlap where sides are no multiples."""
        g = self.graph
        own, other = g.node("Shape", maps), g.node("Shape", like)
        down, right = (self._cells(self.cut(own, i, i + 1), self.cut(other, i, i + 1)) for i in (2, 3))
        return g.node("MatMul", g.node("MatMul", down, maps), g.node("Transpose", right, perm=[1, 0]))

    def _cells(self, side: str, cells: str) -> str:
        """[cells, side]: each pixel's share of each cell along one side."""
        g = self.graph
        zero, one = g.constant(0), g.constant(1)
        pixels = g.node("Range", zero, g.node("Squeeze", side), one)
        numbers = g.node("Unsqueeze", g.node("Range", zero, g.node("Squeeze", cells), one), g.constant([1]))
        first = g.node("Div", g.node("Mul", numbers, side), cells)
        end = g.node("Add", g.node("Mul", g.node("Add", numbers, one), side), g.node("Sub", cells, one))
        inside = g.node("Not", g.node("Less", pixels, first))
        inside = g.node("And", inside, g.node("Less", pixels, g.node("Div", end, cells)))
        shares = g.cast(inside, "float32")
        return g.node("Div", shares, g.node("ReduceSum", shares, g.constant([1]), keepdims=1))

    def cut(self, value: str, first: int, last: int, axis: int = 0) -> str:
        """A slice along one axis."""
        ends = (self.graph.constant([each]) for each in (first, last, axis))
        return self.graph.node("Slice", value, *ends)

    def unit(self, maps: str) -> str:
        """Each pixel's channels, scaled to length 1."""
        g = self.graph
        length = g.node("ReduceL2", maps, axes=[1], keepdims=1)
        return g.node("Div", maps, g.node("Max", length, g.constant(1e-12)))

    def normalised(self, frame: str) -> str:
        """A frame [H, W, 3] of bytes as a network takes it: [1, 3, H, W], by ImageNet's mean and spread."""
        g = self.graph
        pixels = g.node("Unsqueeze", g.node("Transpose", frame, perm=[2, 0, 1]), g.constant([0]))
        scale = g.constant((1 / (255 * IMAGENET_STD)).reshape(3, 1, 1))
        offset = g.constant((IMAGENET_MEAN / IMAGENET_STD).reshape(3, 1, 1))
        return g.node("Sub", g.node("Mul", g.cast(pixels, "float32"), scale), offset)

    def mobilenet(self, pixels: str, name: str) -> list[str]:
        """MobileNetV2's maps of strides 4, 8, 16 and 32; `name` is its body's, such as "backbone.body"."""
        maps, found = self.convolution(pixels, f"{name}.conv_stem", stride=2, act="relu6"), []
        for stage, stride in enumerate(MOBILENET_STRIDES):
            block = 0
            while f"{name}.blocks.{stage}.{block}.conv_dw.weight" in self.weights:
                maps = self._inverted_residual(maps, f"{name}.blocks.{stage}.{block}", 1 if block else stride)
                block += 1
            if stage in PYRAMID_STAGES:
                found.append(maps)
        return found

    def _inverted_residual(self, maps: str, name: str, stride: int) -> str:
        if f"{name}.conv_pwl.weight" not in self.weights:  # the first block does not widen
            inner = self.convolution(maps, f"{name}.conv_dw", stride=stride, act="relu6", groups=True)
            return self.convolution(inner, f"{name}.conv_pw")
        wide = self.convolution(maps, f"{name}.conv_pw", act="relu6")
        inner = self.convolution(wide, f"{name}.conv_dw", stride=stride, act="relu6", groups=True)
        out = self.convolution(inner, f"{name}.conv_pwl")
        inputs, outputs = (self.weights[f"{name}.{layer}.weight"] for layer in ("conv_pw", "conv_pwl"))
        same = stride == 1 and inputs.shape[1] == len(outputs)
        return self.add(out, maps) if same else out
