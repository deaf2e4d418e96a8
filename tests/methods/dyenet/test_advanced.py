"""The advanced form as a preset: patches, mirror images, and the second stream of weights that have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tinct import zoo
from tinct.errors import WeightsError
from tinct.methods.dyenet import ADVANCED, DyeNet
from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork
from tinct.networks.weights import save_weights


def test_every_variant_has_it() -> None:
    for variant in zoo.method_record("dyenet").variants:
        options: Any = zoo.preset_options("dyenet", variant, "advanced")
        assert options.patches
        assert options.flip
        assert options.config.pyramid
        assert options.config.two_streams
    assert zoo.preset_options("dyenet", "resnet101", "advanced") == ADVANCED


@pytest.mark.parametrize("two_streams", [False, True])
def test_the_weights_say_whether_there_is_a_second_stream(tmp_path: Path, two_streams: bool) -> None:
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    network = DyeNetNetwork(replace(COMPACT, two_streams=two_streams))
    save_weights(file, network, method="dyenet", variant="mobilenetv2")
    segmenter = zoo.build_segmenter("dyenet", preset="advanced", weights=file, device="cpu")
    assert isinstance(segmenter, DyeNet)
    assert [member.network.config.two_streams for member in segmenter.members] == [two_streams] * 2
    assert [member.mirrored for member in segmenter.members] == [False, True]


def test_a_make_that_is_asked_for_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_weights(file, DyeNetNetwork(COMPACT), method="dyenet", variant="mobilenetv2")
    two = replace(COMPACT, two_streams=True)
    with pytest.raises(WeightsError, match="missing: motion"):
        zoo.build_segmenter("dyenet", preset="advanced", weights=file, device="cpu", config=two)


def test_broken_weights_are_told_of_as_ever(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="safetensors"):
        zoo.build_segmenter("dyenet", preset="advanced", weights=file, device="cpu")
