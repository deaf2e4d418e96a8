"""DyeNet; see `tinct.methods.dyenet.loop` for the paper's loop and where its parts are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from tinct.errors import OptionError
from tinct.io.regular_files import check_regular
from tinct.methods.dyenet.ensemble import BACKBONES, ENSEMBLE, ensemble_network, join_weights
from tinct.methods.dyenet.loop import DyeNet
from tinct.methods.dyenet.options import ADVANCED, PRESETS, Options
from tinct.networks.dyenet.network import DyeNetNetwork
from tinct.networks.dyenet.proposal_sources import ProposalSource
from tinct.networks.flow import FlowEstimator
from tinct.networks.weights import load_weights
from tinct.ops.allocator import keep_freed_memory

__all__ = ["ADVANCED", "PRESETS", "DyeNet", "Options", "build", "join_weights"]


def build(
    variant: str,
    preset: str,
    weights: Path,
    device: torch.device,
    *,
    flow: FlowEstimator | None = None,
    proposals: ProposalSource | None = None,
    **overrides: Any,
) -> DyeNet:
    """A segmenter with weights from a file, as the zoo asks for it.

    Where the preset has a second stream and the weights have none, there is none.

    Raises:
        OptionError: A config of another backbone than the variant's.
        WeightsError: The file does not fit.
    """
    # It makes and frees large maps of boxes all the time: 0.40 s a frame without, 0.24 with.
    keep_freed_memory()
    options = replace(PRESETS[variant][preset], **overrides)
    backbone = options.config.backbone
    if backbone != (BACKBONES[0] if variant == ENSEMBLE else variant):
        raise OptionError(
            f"config.backbone = {backbone} came with the variant {variant}; choose the variant {backbone}."
        )
    if options.config.two_streams and "config" not in overrides and not _has_second_stream(weights):
        options = replace(options, config=replace(options.config, two_streams=False))
    if variant == ENSEMBLE:
        networks = ensemble_network(options.config)
        load_weights(weights, networks, method="dyenet", variant=variant)
        return DyeNet(list(networks.values()), options, device, flow, proposals)
    network = DyeNetNetwork(options.config)
    load_weights(weights, network, method="dyenet", variant=variant)
    return DyeNet(network, options, device, flow, proposals)


def _has_second_stream(weights: Path) -> bool:
    """Whether a file of one network, or of an ensemble, has a flow stream; a broken one may."""
    try:
        check_regular(weights)
        with safe_open(weights, framework="pt") as file:
            return any("motion" in name.split(".") for name in file.keys())  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError):
        return True
