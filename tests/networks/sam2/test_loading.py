"""Folders of `transformers`: what is loaded, and what is refused before anything is built."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_trackers import FAMILIES, TRACKERS, tiny_network

from tinct import zoo
from tinct.errors import MissingExtraError, MissingWeightsError, OptionError, WeightsError
from tinct.methods.edgetam import EDGETAM
from tinct.methods.sam2 import SAM2
from tinct.networks.sam2.loading import check_folder, load_network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM 2 as the hub lays it out."""
    path = tmp_path_factory.mktemp("weights")
    tiny_network("sam2").save_pretrained(path)
    return path


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.slow] * (name != "sam2")) for name in FAMILIES]
)
def test_what_was_saved_is_loaded(family: str, tmp_path: Path) -> None:
    network = tiny_network(family)
    network.save_pretrained(tmp_path)
    segmenter = zoo.build_segmenter(family, weights=tmp_path, device="cpu", precision="float32")
    assert isinstance(segmenter, TRACKERS[family])
    own, loaded = network.state_dict(), segmenter.network.state_dict()
    assert own.keys() == loaded.keys()
    assert all(torch.equal(own[name], loaded[name]) for name in own)
    frame, labels = np.full((40, 60, 3), 90, np.uint8), np.zeros((40, 60), np.uint8)
    labels[5:20, 5:20] = 1
    _, masks = segmenter.step(segmenter.start(frame, labels), frame)
    assert masks.object_ids == (1,)


def test_folders_that_are_not_what_they_should_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"not there\. Give a folder, or a repository of the hub"):
        check_folder(tmp_path / "nothing", SAM2)
    with pytest.raises(MissingWeightsError, match="is a file"):
        check_folder(folder / "config.json", SAM2)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(WeightsError, match=r"holds no safetensors, and pickles .* are refused"):
        check_folder(tmp_path, SAM2)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"no config\.json"):
        check_folder(tmp_path, SAM2)
    (tmp_path / "config.json").write_text("no json")
    with pytest.raises(WeightsError, match="cannot be read as a config of transformers"):
        check_folder(tmp_path, SAM2)
    with pytest.raises(WeightsError, match="of the model type 'sam2_video', not of EdgeTAM"):
        load_network(folder, EDGETAM)


def test_half_a_network_and_damaged_files_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, tmp_path / "half")
    tensors = load_file(folder / "model.safetensors")
    part = {name: tensor for name, tensor in tensors.items() if "memory_attention" not in name}
    save_file(part, tmp_path / "half/model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"does not hold all weights of SAM 2; .*memory_attention.* more"):
        load_network(tmp_path / "half", SAM2)
    data = (folder / "model.safetensors").read_bytes()
    (tmp_path / "half/model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="cannot be loaded as SAM 2"):
        load_network(tmp_path / "half", SAM2)


def test_transformers_missing_or_too_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"SAM 2 needs the package transformers.*tinct\[engines\]"):
        load_network(folder, SAM2)
    old = types.SimpleNamespace(__version__="4.40.0")
    monkeypatch.setitem(sys.modules, "transformers", old)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=r"newer transformers than 4\.40\.0, which lacks Sam2Video"):
        load_network(folder, SAM2)


def test_an_option_that_there_is_not(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"sam2 has no option 'precison'\. Did you mean 'precision'"):
        zoo.build_segmenter("sam2", weights=folder, precison="float32")
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] in SAM2.model_types
