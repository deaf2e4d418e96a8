from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tinct import zoo
from tinct.errors import OptionError, WeightsError
from tinct.networks.flow import DisFlow

CARD = {
    "method": "feelvos",
    "variant": "mobilenetv2",
    "file": "feelvos_mobilenetv2.safetensors",
    "sha256": hashlib.sha256(b"weights").hexdigest(),
    "recipe": "tinct train feelvos --data ROOT",
    "data": "a few clips, CC BY",
    "hardware": "two cores",
    "seconds": 12.5,
    "scores": {"dev J&F": {"value": 0.9, "source": "ours", "command": "tinct score"}},
    "remarks": "for people",
}


@dataclass(frozen=True)
class Options:
    width: int = 1
    depth: int = 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with one card and its file, in place of the package's."""
    (tmp_path / "feelvos_mobilenetv2.json").write_text(json.dumps(CARD))
    (tmp_path / "feelvos_mobilenetv2.safetensors").write_bytes(b"weights")
    monkeypatch.setattr("tinct.zoo.build.WEIGHTS_FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the method's `build` was called with; the method itself is replaced."""
    calls: list[tuple[Any, ...]] = []
    module = ModuleType("stand_in")
    module.Options = Options  # type: ignore[attr-defined]
    module.PRESETS = {v: {"default": Options(), "fast": Options(0)} for v in ("mobilenetv2", "xception65")}  # type: ignore[attr-defined]
    module.build = lambda *arguments, **overrides: calls.append((*arguments, overrides))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinct.methods.feelvos", module)
    return calls


def test_the_default_is_built_with_the_packages_weights(folder: Path, built: list[tuple[Any, ...]]) -> None:
    zoo.build_segmenter(device="cpu", backend="torch", depth=3)
    path = folder / "feelvos_mobilenetv2.safetensors"
    assert built == [("mobilenetv2", "default", path, torch.device("cpu"), {"depth": 3})]


def test_weights_of_ones_own_are_taken(tmp_path: Path, built: list[tuple[Any, ...]]) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"mine")
    zoo.build_segmenter("feelvos", "xception65", "fast", str(own), "cpu")
    assert built == [("xception65", "fast", own, torch.device("cpu"), {})]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "feelvoz"}, "no method 'feelvoz'. Did you mean 'feelvos'"),
        ({"variant": "mobilenet"}, "no variant 'mobilenet'. Did you mean 'mobilenetv2'"),
        ({"preset": "fats"}, "no preset 'fats'. Did you mean 'fast'"),
        ({"widht": 3}, "no option 'widht'. Did you mean 'width'"),
        ({"device": "cudo"}, "no device 'cudo'. Did you mean 'cuda'"),
        ({"device": "cuda:x"}, "no device 'cuda:x'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(
    folder: Path, built: list[tuple[Any, ...]], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as error:
        zoo.build_segmenter(**{"device": "cpu", **arguments})
    assert message in str(error.value)
    assert built == []


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(OptionError, match="use --device cpu or auto"):
        zoo.resolve_device(device)
    assert zoo.resolve_device("auto") == torch.device("cpu")
    assert zoo.resolve_device("cpu") == torch.device("cpu")


def test_a_device_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert zoo.resolve_device("auto") == torch.device("cuda")
    assert zoo.resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(OptionError, match="the last one here is cuda:1"):
        zoo.resolve_device("cuda:2")


def test_a_card_is_read_with_the_source_of_its_scores(folder: Path) -> None:
    record = zoo.weights_record("feelvos", "mobilenetv2")
    assert record is not None
    assert record.path == folder / "feelvos_mobilenetv2.safetensors"
    assert record.scores["dev J&F"] == zoo.Score(0.9, "ours", "tinct score")
    assert zoo.weights_record("feelvos", "xception65") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({**CARD, "scores": {"J": 0.9}})])
def test_a_card_that_is_none_is_explained(folder: Path, text: str) -> None:
    (folder / "feelvos_mobilenetv2.json").write_text(text)
    with pytest.raises(WeightsError, match="model card"):
        zoo.weights_record("feelvos", "mobilenetv2")


def test_a_score_has_a_known_source() -> None:
    with pytest.raises(WeightsError, match="ours, paper or published"):
        zoo.Score(0.9, "hearsay", "")


def test_damaged_weights_are_refused(folder: Path) -> None:
    (folder / "feelvos_mobilenetv2.safetensors").write_bytes(b"weight")
    with pytest.raises(WeightsError, match="damaged"):
        zoo.resolve_weights("feelvos", "mobilenetv2", None)


def test_missing_weights_are_explained(folder: Path) -> None:
    with pytest.raises(WeightsError, match="no weights for feelvos xception65"):
        zoo.resolve_weights("feelvos", "xception65", None)
    with pytest.raises(WeightsError, match="cannot be read"):
        zoo.resolve_weights("feelvos", "xception65", folder / "none.safetensors")


def test_every_row_is_whole_and_every_card_in_the_package_is_right() -> None:
    for method, record in zoo.METHODS.items():
        assert record.default_variant in record.variants
        assert record.paper_variant in record.variants
        assert all(score.source == "paper" for score in record.paper_scores.values())
        for variant in record.variants:
            card = zoo.weights_record(method, variant)
            if card is not None:
                assert (card.method, card.variant) == (method, variant)
                assert zoo.resolve_weights(method, variant, None) == (card.path, card.sha256, None)
                assert all(score.command for score in card.scores.values())


def test_what_a_method_takes_is_what_its_row_says() -> None:
    for method, record in zoo.METHODS.items():
        module = importlib.import_module(record.module)
        assert set(module.PRESETS) == set(record.variants)
        for variant in record.variants:
            assert set(module.PRESETS[variant]) == set(record.presets_of(variant))
            for preset in record.presets_of(variant):
                options = zoo.preset_options(method, variant, preset)
                assert hasattr(options, "fine_tuning") == record.fine_tunes
        taken = inspect.signature(module.build).parameters
        assert (("flow" in taken), ("proposals" in taken)) == (record.uses_flow, record.uses_proposals)


def test_a_preset_that_another_variant_has_is_named_with_it() -> None:
    """The compact network learnt with what the paper lacks: taken away, it is no network that was trained."""
    with pytest.raises(OptionError, match=r"feelvos mobilenetv2 has no preset 'paper'\. xception65 has it"):
        zoo.preset_options("feelvos", None, "paper")
    with pytest.raises(OptionError, match=r"no preset 'papr'\. Did you mean 'paper'"):
        zoo.preset_options("feelvos", "xception65", "papr")


def test_what_a_row_says_of_recipes_and_ablations_is_so() -> None:
    from tinct.evaluation.ablation_rows import ABLATIONS

    assert zoo.methods_where("has_ablation") == tuple(name for name in zoo.METHODS if name in ABLATIONS)
    for method, record in zoo.METHODS.items():
        if record.training is None:
            assert (*record.recipe_parts, *record.recipe_additions) == ()
            continue
        recipes = getattr(importlib.import_module(f"tinct.training.recipes.{method}"), "RECIPES", {})
        parts = {part for recipe in recipes.values() for part in recipe.parts}
        additions = {part for recipe in recipes.values() for part in recipe.additions}
        assert (set(record.recipe_parts), set(record.recipe_additions)) == (parts, additions)


@pytest.mark.parametrize("capability", zoo.CAPABILITIES)
def test_one_check_serves_all_that_a_method_can_do(capability: str) -> None:
    able = zoo.methods_where(capability)
    unable = set(zoo.METHODS) - set(able)
    for method in able:
        zoo.check_capability(method, capability)
    assert unable
    for method in unable:
        with pytest.raises(OptionError, match=f"^{method} .*take one of {', '.join(able)}"):
            zoo.check_capability(method, capability)
    with pytest.raises(OptionError, match="no method 'feelvoz'"):
        zoo.check_capability("feelvoz", capability)


def test_a_budget_replaces_that_of_the_preset_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinct.fine_tuning.fine_tune import Budget
    from tinct.methods import osvos

    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(osvos, "build", lambda *_, **overrides: calls.append(overrides))
    own = folder / "own.safetensors"
    own.write_bytes(b"mine")
    zoo.build_segmenter("osvos", weights=own, device="cpu", fine_tune="60s")
    zoo.build_segmenter("osvos", weights=own, device="cpu")
    tuning = osvos.COMPACT.fine_tuning
    assert calls == [{"fine_tuning": dataclasses.replace(tuning, budget=Budget(seconds=60.0))}, {}]
    budget = zoo.fine_tuning_budget("osvos", None, "default", None, torch.device("cpu"))
    assert budget == tuning.budget
    assert zoo.fine_tuning_budget("feelvos", None, "default", "none", torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "feelvos", "fine_tune": "60s"}, "feelvos does not fine-tune.*osvos, masktrack, maskrnn"),
        ({"method": "osvos", "fine_tune": "soon"}, "give auto, none, a number of steps"),
        ({"method": "osvos", "preset": "defalt", "fine_tune": "60s"}, "no preset 'defalt'"),
        ({"method": "osvos", "flow": DisFlow()}, "osvos uses no optical flow.*masktrack, maskrnn"),
    ],
)
def test_what_a_method_does_not_take_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        zoo.build_segmenter(**{"device": "cpu", **arguments})
