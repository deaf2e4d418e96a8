"""The names and shapes of the compact networks' weights, against which a file is checked without torch."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

from tinct.networks.feelvos_parts import FeelvosConfig

STEM, EXPANSION = 32, 6
STAGES = ((16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))
"""MobileNetV2's channels and blocks, as `tinct.networks.mobilenet` has them."""

FINE, COARSER = 24, (32, 96, 320)
"""Channels of its maps of stride 4, and of strides 8, 16 and 32."""

SKIP = 24

Shapes = dict[str, tuple[int, ...]]


def feelvos_shapes(config: FeelvosConfig) -> dict[str, SimpleNamespace]:
    """Name → something with the shape that the tensor must have (`io.weights_file.check_shapes`)."""
    features, embedding, width = config.feature_channels, config.embedding_channels, config.head_channels
    kernel, maps = config.head_kernel, 7
    found: Shapes = {"embedding.log_length": ()}
    found |= dict(_mobilenet("extractor.backbone.body"))
    for i, channels in enumerate(COARSER):
        found |= _layer(f"extractor.laterals.{i}", features, channels, 1)
    for name in ("extractor.smooth_16", "extractor.smooth_8"):
        found |= _layer(name, features, features, 3)
    found |= _layer("extractor.skip", SKIP, FINE, 1)
    found |= _layer("embedding.projection", embedding, sum(COARSER), 1, bias=False)
    found |= _layer("embedding.branch", embedding, features, 1)
    found |= _layer("head.first.on_features", width, features, kernel)
    found |= _layer("head.first.on_maps", width, maps, kernel, bias=False)
    for i in range(config.head_layers - 1):
        found |= _layer(f"head.layers.{i}.0", width, width, kernel)
    found |= _layer("head.score", 1, width, 1)
    refinement = "head.refinement"
    found |= _layer(f"{refinement}.narrow", SKIP, width, 1)
    found |= _layer(f"{refinement}.first.on_features", SKIP, SKIP, 3)
    found |= _layer(f"{refinement}.first.on_maps", SKIP, SKIP + 1, 3, bias=False)
    found |= _layer(f"{refinement}.second", SKIP, SKIP, 3)
    found |= _layer(f"{refinement}.score", 1, SKIP, 1)
    return {name: SimpleNamespace(shape=shape) for name, shape in found.items()}


def _layer(name: str, outputs: int, inputs: int, kernel: int, *, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outputs, inputs, kernel, kernel)}
    return shapes | {f"{name}.bias": (outputs,)} if bias else shapes


def _mobilenet(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _layer(f"{name}.conv_stem", STEM, 3, 3).items()
    inputs = STEM
    for stage, (channels, blocks) in enumerate(STAGES):
        for block in range(blocks):
            place, wide = f"{name}.blocks.{stage}.{block}", inputs * EXPANSION if stage else inputs
            if stage:
                yield from _layer(f"{place}.conv_pw", wide, inputs, 1).items()
            yield from _layer(f"{place}.conv_dw", wide, 1, 3).items()
            yield from _layer(f"{place}.{'conv_pwl' if stage else 'conv_pw'}", channels, wide, 1).items()
            inputs = channels
