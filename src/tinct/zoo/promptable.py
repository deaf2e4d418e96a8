"""Builds what segments one frame by clicks, boxes and scribbles."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinct.errors import MissingWeightsError, OptionError, near_match
from tinct.inference.devices import resolve_device
from tinct.zoo.build import build_segmenter, check_variant, resolve_weights
from tinct.zoo.methods import PROMPTABLE, methods_where

if TYPE_CHECKING:
    import torch

    from tinct.inference.promptable import PromptableSegmenter

GRABCUT = "grabcut"
"""The one that needs no weights."""

PROMPTABLE_NAMES = (*PROMPTABLE, GRABCUT, *methods_where("takes_clicks"))


def promptable_beside(
    method: str,
    variant: str | None = None,
    weights: Path | str | None = None,
    device: str | torch.device = "auto",
) -> PromptableSegmenter:
    """What is asked with clicks beside a method: the method itself if it takes them, else the default.

    Raises:
        OptionError, WeightsError: As `build_promptable`.
    """
    if method in methods_where("takes_clicks"):
        return build_promptable(method, variant, weights, device)
    return build_promptable(device=device)


def build_promptable(
    method: str | None = None,
    variant: str | None = None,
    weights: Path | str | None = None,
    device: str | torch.device = "auto",
    **overrides: Any,
) -> PromptableSegmenter:
    """A segmenter of one frame by prompts.

    Args:
        method: A name of `PROMPTABLE_NAMES`; None for `click`, or for `grabcut` where there are no weights of
            `click`.
        variant: None for the method's default.
        weights: As for `build_segmenter`; None for those in the package, or of the method on the hub.
        device: As for `build_segmenter`.
        **overrides: Fields of the method's `Options`.

    Raises:
        OptionError: An unknown method, variant or device.
        WeightsError: The weights are missing or not what they should be.
    """
    name = method or "click"
    if name == GRABCUT:
        from tinct.methods.grabcut import GrabCut

        return GrabCut()
    if name in methods_where("takes_clicks"):
        both: Any = build_segmenter(name, variant, weights=weights, device=device, **overrides)
        return both  # type: ignore[no-any-return]
    if name not in PROMPTABLE:
        raise OptionError(f"There is no segmenter by prompts {name!r}. {near_match(name, PROMPTABLE_NAMES)}")
    variant = check_variant(name, variant)
    target = resolve_device(device)
    try:
        path = resolve_weights(name, variant, weights).path
    except MissingWeightsError:
        if method is not None or weights is not None:
            raise
        return build_promptable(GRABCUT)
    module = importlib.import_module(PROMPTABLE[name].module)
    segmenter: PromptableSegmenter = module.build(variant, "default", path, target, **overrides)
    return segmenter
