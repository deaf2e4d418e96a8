"""A preset's options with changes, of the variant's backbone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tinct.errors import OptionError
from tinct.networks.presets import variant_options


@dataclass(frozen=True)
class Options:
    backbone: str = "vgg16"
    height: int | None = None


PRESETS = {"vgg16": {"default": Options(), "fast": Options(height=288)}}


def test_a_preset_with_changes() -> None:
    assert variant_options(PRESETS, "vgg16", "fast", {}) == Options(height=288)
    assert variant_options(PRESETS, "vgg16", "fast", {"height": 9}) == Options(height=9)


def test_another_backbone_needs_other_weights() -> None:
    with pytest.raises(OptionError, match="backbone=vgg19 changes the network of vgg16"):
        variant_options(PRESETS, "vgg16", "default", {"backbone": "vgg19"})
