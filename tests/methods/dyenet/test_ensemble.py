"""The ensemble of two backbones as a variant of the zoo: one file of both networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tinct import zoo
from tinct.errors import OptionError, WeightsError
from tinct.inference.segmenter import segment_video
from tinct.io.video import Video
from tinct.methods.dyenet import DyeNet, Options, join_weights
from tinct.networks.dyenet.network import DyeNetConfig, DyeNetNetwork
from tinct.networks.weights import load_weights, save_weights

CONFIG = DyeNetConfig(roi_grid=6, hidden=6)
EASY = {"config": CONFIG, "least_area": 0.0, "least_box_cells": 0.0, "working_height": None, "re_id": False}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, thin_networks: Any) -> Iterator[dict[str, Path]]:
    """Backbone → weights that chance made; the papers' networks stay thin while the tests run."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    with thin_networks():
        made = {}
        for name in ("resnet101", "xception65"):
            made[name] = folder / f"{name}.safetensors"
            network = DyeNetNetwork(replace(CONFIG, backbone=name))
            save_weights(made[name], network, method="dyenet", variant=name)
        yield made


def test_the_joined_file_makes_the_ensemble_of_both(files: dict[str, Path], tmp_path: Path) -> None:
    joined = tmp_path / "both.safetensors"
    sha256 = join_weights(files, joined, CONFIG)
    assert zoo.resolve_weights("dyenet", "ensemble", joined) == zoo.LocatedWeights(joined, sha256)
    both = zoo.build_segmenter("dyenet", "ensemble", "paper", joined, "cpu", **EASY)
    assert isinstance(both, DyeNet)
    assert [member.network.config.backbone for member in both.members] == ["resnet101", "xception65"]
    for member, (name, file) in zip(both.members, files.items(), strict=True):
        alone = DyeNetNetwork(replace(CONFIG, backbone=name))
        load_weights(file, alone, method="dyenet", variant=name)
        found = member.network.state_dict()
        assert all(torch.equal(found[key], tensor) for key, tensor in alone.state_dict().items())
    draws = np.random.default_rng(0)
    video = Video.from_arrays([draws.integers(0, 255, (40, 56, 3)).astype(np.uint8) for _ in range(2)])
    labels = np.zeros((40, 56), np.uint8)
    labels[8:30, 10:40] = 3
    results = [masks for _, masks in segment_video(both, video, {0: labels})]
    assert [masks.object_ids for masks in results] == [(3,), (3,)]
    assert np.isfinite(results[1].probs).all()


def test_the_joined_file_says_of_what_it_is_made(files: dict[str, Path], tmp_path: Path) -> None:
    joined = tmp_path / "both.safetensors"
    join_weights(files, joined, CONFIG)
    with safe_open(joined, framework="pt") as file:
        metadata = file.metadata()
    assert {name: metadata[name] for name in files} == {n: zoo.file_sha256(f) for n, f in files.items()}


def test_files_that_do_not_belong_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "both.safetensors"
    with pytest.raises(OptionError, match="resnet101 came; the ensemble is made of resnet101 and xception65"):
        join_weights({"resnet101": files["resnet101"]}, out, CONFIG)
    swapped = {"resnet101": files["xception65"], "xception65": files["resnet101"]}
    with pytest.raises(WeightsError, match=r"weights of dyenet \(xception65\), not of dyenet \(resnet101\)"):
        join_weights(swapped, out, CONFIG)
    with pytest.raises(WeightsError, match="does not fit"):
        join_weights(files, out, replace(CONFIG, hidden=7))
    assert not out.exists()
    with pytest.raises(WeightsError, match=r"not of dyenet \(ensemble\)"):
        zoo.build_segmenter("dyenet", "ensemble", "paper", files["resnet101"], "cpu", config=CONFIG)
    config = replace(CONFIG, backbone="xception65")
    with pytest.raises(OptionError, match="xception65 came with the variant ensemble"):
        zoo.build_segmenter("dyenet", "ensemble", "paper", files["resnet101"], "cpu", config=config)


def test_without_weights_it_says_what_to_join() -> None:
    with pytest.raises(WeightsError, match=r"join those of resnet101 and xception65 with `tinct join"):
        zoo.build_segmenter("dyenet", "ensemble", device="cpu")


def test_every_preset_is_of_the_first_backbone() -> None:
    for preset in zoo.PRESETS:
        options = zoo.preset_options("dyenet", "ensemble", preset)
        assert isinstance(options, Options)
        assert options.config.backbone == "resnet101"
