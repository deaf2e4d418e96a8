"""The ensemble of two backbones (section 3): one file holds the weights of both networks.

Each network is trained by itself (`tinct train dyenet --variant resnet101`, `--variant xception65`);
`join_weights` (`tinct join dyenet`) puts their files together, so that the ensemble is a variant like any
other: one file, one hash, one model card. How their outputs become one is said in `members`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from tinct.errors import OptionError
from tinct.networks.dyenet.network import PAPER, DyeNetConfig, DyeNetNetwork
from tinct.networks.weights import load_weights, save_weights

ENSEMBLE = "ensemble"
"""The variant."""

BACKBONES = ("resnet101", "xception65")
"""Of its networks; the first one proposes the boxes."""


def ensemble_network(config: DyeNetConfig) -> nn.ModuleDict:
    """A network of each backbone, randomly initialised; all else of the config is the same for both."""
    return nn.ModuleDict({name: DyeNetNetwork(replace(config, backbone=name)) for name in BACKBONES})


def join_weights(weights: Mapping[str, Path], out: Path, config: DyeNetConfig | None = None) -> str:
    """Write the ensemble's weights, from those of its networks.

    Args:
        weights: Backbone → its file, for each of `BACKBONES`.
        out: Ends in `.safetensors`; an existing file is replaced.
        config: What both were trained with, but for the backbone; None for the paper's, with the parts
            (pyramid, second stream, region attention) that the first file has.

    Returns:
        The SHA-256 of the file.

    Raises:
        OptionError: Other backbones came.
        WeightsError: A file is missing, of another variant, or does not fit the config.
        OutputError: The file cannot be written.
    """
    if set(weights) != set(BACKBONES):
        raise OptionError(
            f"Weights of {', '.join(weights) or 'nothing'} came; the ensemble is made of "
            f"{' and '.join(BACKBONES)}, one file of each."
        )
    network = ensemble_network(config or _config_of(weights[BACKBONES[0]]))
    joined = {}
    for name in BACKBONES:
        load_weights(weights[name], network[name], method="dyenet", variant=name)
        joined[name] = hashlib.sha256(weights[name].read_bytes()).hexdigest()
    return save_weights(out, network, method="dyenet", variant=ENSEMBLE, extra=joined)


def _config_of(weights: Path) -> DyeNetConfig:
    """The paper's config with the parts that weights have."""
    try:
        with safe_open(weights, framework="pt") as file:
            first = {name.split(".")[0] for name in file.keys()}  # noqa: SIM118 (not a dict)
            parts = {".".join(name.split(".")[:2]) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return PAPER  # `load_weights` says what is wrong with the file
    return replace(
        PAPER,
        pyramid="extractor.lateral" in parts,
        two_streams="motion" in first,
        attention="recurrent.attention" in parts,
    )
