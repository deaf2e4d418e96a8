"""OSVOS's and MaskTrack's compact networks as a graph: `networks.guided_pyramid` after its backbone."""

from __future__ import annotations

from tinct.graphs.layers import Layers, Weights
from tinct.graphs.writer import Graph

STRIDES = (4, 8, 16, 32)


def stream_graph(method: str, weights: Weights, *, half: bool = False) -> Graph:
    """Logits of stride 4 from a frame and, where the weights look at masks, each object's previous mask."""
    g = Graph(method, half=half)
    n = Layers(g, weights)
    frame = g.input("frame", "uint8", ["height", "width", 3], "RGB, of the working size")
    guided = "stream.guides.0.0.weight" in weights
    objects = "N" if guided else 1
    masks = g.input("previous_masks", "float32", ["N", 1, "height", "width"], "in [0, 1]") if guided else ""
    maps = n.mobilenet(n.normalised(frame), "stream.backbone.body")
    taps = _pyramid(n, maps, [_guide(n, masks, i, like) for i, like in enumerate(maps)] if guided else [])
    parts = []
    for i, tap in enumerate(taps):
        prep = n.convolution(tap, f"stream.side_outputs.preps.{i}")
        part = n.convolution(prep, f"stream.side_outputs.fusion.{i}")
        parts.append(n.resized_like(part, maps[0]) if i else part)
    logits = g.node("Squeeze", n.add(*parts), g.constant([1]))
    g.output(logits, "logits", [objects, "h4", "w4"], "of the objects; the background's are 0")
    return g


def _pyramid(n: Layers, maps: list[str], guides: list[str]) -> list[str]:
    """The merged maps of strides 4 to 32, as `GuidedPyramid.forward` names them."""
    laterals = [n.convolution(maps[0], "stream.skip")]
    laterals += [n.convolution(each, f"stream.laterals.{i}") for i, each in enumerate(maps[1:])]
    if guides:
        laterals = [n.add(*pair) for pair in zip(laterals, guides, strict=True)]
    merged = n.convolution(n.relu(laterals[3]), "stream.smooth_32", act="relu")
    found = [merged]
    for level in (2, 1):
        below = n.relu(n.add(laterals[level], n.resized_like(merged, laterals[level])))
        merged = n.convolution(below, f"stream.smooth_{STRIDES[level]}", act="relu")
        found.insert(0, merged)
    coarse = n.resized_like(n.convolution(merged, "stream.narrow"), maps[0])
    fine = n.convolution(n.relu(n.add(laterals[0], coarse)), "stream.smooth_4", act="relu")
    return [fine, *found]


def _guide(n: Layers, masks: str, level: int, like: str) -> str:
    small = n.convolution(n.area_like(masks, like), f"stream.guides.{level}.0", act="relu")
    return n.convolution(small, f"stream.guides.{level}.2")
