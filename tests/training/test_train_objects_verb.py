"""`tinct train osvos|masktrack|maskrnn`: every option arrives."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from command_kit import tinct_command

from tinct.training.interruption import TrainingInterrupted
from tinct.training.options import Outcome
from tinct.training.recipes import object_recipe
from tinct.training.sources import Sources


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, Any, dict[str, Any]]]:
    made: list[tuple[Any, Any, Any, dict[str, Any]]] = []

    def train(recipe: Any, data: Any, options: Any, **others: Any) -> Outcome:
        made.append((recipe, data, options, others))
        return Outcome(True, "video", 3, 3)

    monkeypatch.setattr(object_recipe, "train_by_recipe", train)
    return made


@pytest.mark.parametrize("method", ["osvos", "masktrack", "maskrnn"])
def test_every_option_arrives(method: str, calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code = tinct_command(
        monkeypatch, "train", method, "--data", "D", "--out", "O", "--split", "fit", "--year", "2017",
        "--stills", "S", "--variant", "mobilenetv2", "--steps", "a=5", "--dev", "dev", "--seed", "7",
        "--init", "W.safetensors", "--imagenet", "hub", "--mixed-precision", "bf16", "--cpu", "--workers",
        "2", "--save-every", "9", "--stop-after", "30m", "--resume",
    )  # fmt: skip
    assert code == 0
    [(recipe, data, options, others)] = calls
    assert (recipe.method, recipe.variant) == (method, "mobilenetv2")
    assert data == Sources(Path("D"), "fit", Path("S"), "2017")
    assert vars(options) == {
        "out": Path("O"), "method": method, "variant": "mobilenetv2", "seed": 7, "mixed_precision": "bf16",
        "cpu": True, "workers": 2, "save_every": 9, "log_every": 20, "stop_after_s": 1800.0, "resume": True,
    }  # fmt: skip
    assert callable(others.pop("progress"))
    assert others == {
        "steps": {"a": 5}, "imagenet": "hub", "init": Path("W.safetensors"), "dev": "dev",
    }  # fmt: skip


def test_photos_alone_are_enough(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tinct_command(monkeypatch, "train", "masktrack", "--stills", "S", "--out", "O") == 0
    assert calls[0][1] == Sources(None, "train", Path("S"))


def test_a_variant_without_a_recipe(calls: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert tinct_command(monkeypatch, "train", "osvos", "--out", "O", "--variant", "mobilnetv2") == 1
    assert "Did you mean 'mobilenetv2'" in capsys.readouterr().err
    assert not calls


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def train(*_: Any, **__: Any) -> Outcome:
        raise TrainingInterrupted("Stopped after step 3; go on with --resume.", signal.SIGTERM)

    monkeypatch.setattr(object_recipe, "train_by_recipe", train)
    assert tinct_command(monkeypatch, "train", "osvos", "--out", "O") == 143
    assert "go on with --resume" in capsys.readouterr().err
