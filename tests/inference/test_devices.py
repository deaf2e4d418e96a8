"""A segmenter on another device is a new one of the same weights and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tinct import zoo
from tinct.errors import OptionError
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.devices import OnDevice, resolve_device
from tinct.methods import maskrnn
from tinct.networks.flow import DisFlow

CPU = torch.device("cpu")


def built(method: str, **how: Any) -> Any:
    return zoo.build_segmenter(method, preset="fast", device=CPU, backend="torch", **how)


SEGMENTERS: dict[str, Callable[[], Any]] = {
    **{method: lambda method=method: built(method) for method, row in zoo.METHODS.items() if not row.hub},
    "masktrack with flow": lambda: built("masktrack", flow=DisFlow()),
    "both ways": lambda: Bidirectional(built("feelvos")),
    "looking ahead": lambda: maskrnn.MaskRnnLookingAhead(built("maskrnn")),
}


def modules_of(segmenter: Any) -> list[torch.nn.Module]:
    inner = getattr(segmenter, "segmenter", segmenter)
    return list(inner.networks) if hasattr(inner, "networks") else [getattr(inner, "backend", inner).network]


@pytest.mark.parametrize("make", SEGMENTERS.values(), ids=SEGMENTERS)
def test_a_segmenter_is_moved_as_a_copy(make: Callable[[], Any]) -> None:
    segmenter = make()
    moved = segmenter.to("cpu")
    assert type(moved) is type(segmenter)
    assert moved is not segmenter
    inner, other = (getattr(one, "segmenter", one) for one in (segmenter, moved))
    assert other.device == CPU
    assert other.options == inner.options
    assert getattr(other, "flow", None) is getattr(inner, "flow", None)
    for one, copy in zip(modules_of(segmenter), modules_of(moved), strict=True):
        assert one is not copy
        weights, copies = one.state_dict(), copy.state_dict()
        assert weights.keys() == copies.keys()
        assert all(torch.equal(weights[name], copies[name]) for name in weights)
        assert not {t.data_ptr() for t in weights.values() if t.numel()} & {
            t.data_ptr() for t in copies.values() if t.numel()
        }


def test_the_weights_go_to_the_device_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = built("feelvos")
    asked: list[Any] = []
    original = torch.nn.Module.to
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def to(self: torch.nn.Module, *where: Any, **how: Any) -> torch.nn.Module:
        asked.extend(where)
        return original(self, **how) if how else self

    monkeypatch.setattr(torch.nn.Module, "to", to)
    moved = segmenter.to(torch.device("cuda", 1))
    assert asked == [torch.device("cuda:1")]
    assert (moved.device, segmenter.device) == (torch.device("cuda:1"), CPU)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(OptionError, match="no device 'meta'"):
        built("feelvos").to("meta")
    with pytest.raises(OptionError, match="no device 'meta'"):
        resolve_device(torch.device("meta"))


def test_a_segmenter_that_does_not_say_what_it_is_made_of_is_not_moved() -> None:
    class Forgetful(OnDevice):
        def __init__(self, network: str, device: torch.device) -> None:
            self.device = device

    with pytest.raises(
        OptionError, match=r"no attribute 'network'.*build_segmenter\(\.\.\., device=\"cpu\"\)"
    ):
        Forgetful("network", CPU).to("cpu")


def test_segmenters_show_themselves_in_a_line() -> None:
    segmenter = built("feelvos")
    assert repr(segmenter) == "Feelvos(mobilenetv2 on cpu)"
    assert repr(Bidirectional(segmenter)) == "Bidirectional(Feelvos(mobilenetv2 on cpu))"
    assert repr(built("dyenet")) == "DyeNet(mobilenetv2 on cpu)"


def test_a_states_repr_holds_no_numbers_of_its_tensors() -> None:
    draws = np.random.default_rng(0)
    frame = draws.integers(0, 256, (48, 64, 3), np.uint8)
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:30] = 5
    for method in ("feelvos", "osvos", "masktrack", "maskrnn"):
        how = {} if method == "feelvos" else {"fine_tune": "none"}
        shown = repr(built(method, **how).start(frame, labels))
        assert shown.count("\n") == 0
        assert "object_ids=(5,)" in shown
        assert len(shown) < 1500, shown
