"""ImageNet weights from the hub and from files, with toy networks."""

from __future__ import annotations

import copy
import io
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from tinct.errors import OptionError, WeightsError
from tinct.networks.imagenet import load_imagenet, read_tensor_pickle


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


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file of another author's."""
    path = tmp_path / "foreign.pth"
    torch.save(foreign_state(), path)
    return path


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and none of its files."""

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)


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


def test_a_checkpoint_of_other_names_in_the_same_order(checkpoint: Path) -> None:
    network = ToyNetwork()
    origin = load_imagenet(network, "mobilenetv2_100", str(checkpoint))
    assert_loaded(network)
    assert origin == f"ImageNet weights of mobilenetv2_100: {checkpoint}; 6 tensors"


@pytest.mark.parametrize("source", ["auto", "hub"])
def test_without_a_network_one_line_names_both_ways(source: str) -> None:
    with pytest.raises(WeightsError, match=r"cannot be reached.*go online.*--imagenet FILE") as caught:
        load_imagenet(ToyNetwork(), "mobilenetv2_100", source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["registry", "absent.pth", "."])
def test_a_source_that_is_neither_word_nor_file(source: str) -> None:
    with pytest.raises(OptionError, match="none of auto, hub, none, nor a file"):
        load_imagenet(ToyNetwork(), "mobilenetv2_100", source)


def test_from_chance_nothing_changes() -> None:
    model = ToyNetwork()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert load_imagenet(model, "mobilenetv2_100", "none").endswith("it starts from chance")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_classifier_without_weights_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "headless.pth"
    torch.save(OrderedDict(list(foreign_state().items())[:6]), path)
    network = ToyNetwork(classifier=True)
    before = network.classifier.weight.clone()
    load_imagenet(network, "mobilenetv2_100", str(path))
    assert_loaded(network)
    assert torch.equal(network.classifier.weight, before)


def test_networks_that_differ_are_refused(checkpoint: Path) -> None:
    refused("has shape", str(checkpoint), ToyNetwork(width=5))
    other_order = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(3, 4, 1))
    refused("another network", str(checkpoint), other_order)
    refused("tensors, the model needs", str(checkpoint), nn.Sequential(ToyNetwork(), ToyNetwork()))


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


def test_pickles_that_run_code_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for state, match in (({"a": Attack()}, "plain tensors"), ({"a": 1}, "other than named tensors")):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with pytest.raises(WeightsError, match=match):
            read_tensor_pickle(buffer.getvalue())
    assert capsys.readouterr().out == ""


def test_hub_weights_come_from_its_cache_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = timm.create_model("mobilenetv2_050")
    path = tmp_path / "model.safetensors"
    save_file(whole.state_dict(), path)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(path))
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
    with pytest.raises(WeightsError, match=r"did not give .* of mobilenetv2_100 \(reset\)"):
        load_imagenet(ToyNetwork(), "mobilenetv2_100", "hub")
