from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_kit import tinct_command

from tinct.errors import OptionError
from tinct.networks.flow import DisFlow
from tinct.training import stage_run
from tinct.training.interruption import TrainingInterrupted
from tinct.training.options import Outcome
from tinct.training.overrides import Overrides
from tinct.training.recipes import recipe as recipes
from tinct.training.sources import Sources

METHODS = ["feelvos", "osvos", "masktrack", "maskrnn", "dyenet"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, Any, dict[str, Any]]]:
    made: list[tuple[Any, Any, Any, dict[str, Any]]] = []

    def train(recipe: Any, data: Any, options: Any, **others: Any) -> Outcome:
        made.append((recipe, data, options, others))
        return Outcome(True, "video", 3, 3)

    monkeypatch.setattr(recipes, "train_by_recipe", train)
    return made


@pytest.mark.parametrize("method", METHODS)
def test_every_option_arrives(
    method: str, calls: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = tinct_command(
        monkeypatch, "train", method, "--data", "davis=D", "--out", "O", "--split", "fit", "--year", "2017",
        "--stills", "S", "--variant", "mobilenetv2", "--steps", "a=5,b=3", "--dev", "dev", "--seed", "7",
        "--init", "W.safetensors", "--imagenet", "hub", "--mixed-precision", "bf16", "--cpu", "--workers",
        "2", "--save-every", "9", "--stop-after", "30m", "--resume", "--batch", "a=2,b=6", "--learning-rate",
        "1e-4", "--accumulate", "2", "--crop", "321x320", "--log-every", "5", "--flow", "dis",
    )  # fmt: skip
    assert code == 0
    [(recipe, data, options, others)] = calls
    assert (recipe.method, recipe.variant) == (method, "mobilenetv2")
    assert data == Sources.of_folders(Path("D"), "fit", Path("S"), "2017")
    assert vars(options) == {
        "out": Path("O"), "method": method, "variant": "mobilenetv2", "seed": 7, "mixed_precision": "bf16",
        "cpu": True, "workers": 2, "save_every": 9, "log_every": 5, "stop_after_s": 1800.0, "resume": True,
    }  # fmt: skip
    assert callable(others.pop("progress"))
    overrides = vars(others.pop("overrides"))
    assert overrides.pop("flow").name == DisFlow().name
    assert overrides == {
        "batch": {"a": 2, "b": 6}, "learning_rate": {"": 1e-4}, "accumulate": 2, "crop": (321, 320)
    }  # fmt: skip
    assert others == {
        "steps": {"a": 5, "b": 3}, "imagenet": "hub", "init": Path("W.safetensors"), "dev": "dev",
    }  # fmt: skip
    assert capsys.readouterr().out == f"Finished: {Path('O/video.safetensors')}\n"


def test_little_is_needed(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tinct_command(monkeypatch, "train", "feelvos", "--data", "davis-2016=D", "--out", "O") == 0
    [(_, data, options, others)] = calls
    assert data == Sources.of_folders(Path("D"))
    assert others["overrides"] == Overrides()
    assert (options.seed, options.mixed_precision, options.stop_after_s, options.resume) == (
        0,
        "auto",
        None,
        False,
    )
    assert (others["steps"], others["init"], others["dev"]) == (None, None, None)


def test_photos_alone_are_enough_for_masktrack_and_not_for_feelvos(
    calls: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tinct_command(monkeypatch, "train", "masktrack", "--stills", "S", "--out", "O") == 0
    assert calls[0][1] == Sources.of_folders(stills=Path("S"))
    assert tinct_command(monkeypatch, "train", "feelvos", "--stills", "S", "--out", "O") == 2
    assert "'--data'" in capsys.readouterr().err


def test_a_variant_without_a_recipe(
    calls: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", "davis=D", "--out", "O", "--variant", "mobilnetv2"]
    assert tinct_command(monkeypatch, "train", "feelvos", *arguments) == 1
    assert "Did you mean 'mobilenetv2'" in capsys.readouterr().err
    assert not calls


@pytest.mark.parametrize(
    ("method", "option", "shown"),
    [("osvos", "--without", False), ("masktrack", "--without", True), ("dyenet", "--with", True)],
)
def test_parts_are_offered_where_there_are_some(
    method: str, option: str, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tinct_command(monkeypatch, "train", method, "--help") == 0
    assert (f"{option} PART" in capsys.readouterr().out) == shown


def test_a_part_is_left_out(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--out", "O", "--without", "attention", "--with", "two-streams"]
    assert tinct_command(monkeypatch, "train", "dyenet", *arguments) == 0
    config = calls[0][0].task.args[0]
    assert (config.attention, config.two_streams) == (False, True)


def test_threads_are_the_networks(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    assert tinct_command(monkeypatch, "train", "feelvos", "--data=davis=D", "--out=O", "--threads=3") == 0
    assert asked[0] == 3


@pytest.mark.parametrize(
    "words", [["--steps", "video"], ["--stop-after", "soon"], ["--mixed-precision", "half"]]
)
def test_values_that_cannot_be_understood(
    words: list[str], calls: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert tinct_command(monkeypatch, "train", "feelvos", "--data", "davis=D", "--out", "O", *words) == 1
    assert "tinct: error:" in capsys.readouterr().err
    assert not calls


def test_an_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def train(*_: Any, **__: Any) -> Outcome:
        raise TrainingInterrupted("Stopped after step 3; go on with --resume.", signal.SIGTERM)

    monkeypatch.setattr(recipes, "train_by_recipe", train)
    assert tinct_command(monkeypatch, "train", "feelvos", "--data", "davis=D", "--out", "O") == 143
    assert "go on with --resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(False, "stills", 20, 20), "Stopped after step 20 of stage 'stills'; go on with --resume."),
        (Outcome(True, "video", 9, 0), "nothing was left to do"),
        (Outcome(True, "video", 9, 4), "Finished: "),
    ],
)
def test_the_last_line_says_what_happened(outcome: Outcome, text: str) -> None:
    assert text in outcome.summary(Path("out"))


def test_without_accelerate_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    specification = importlib.util.spec_from_file_location("without_accelerate", stage_run.__file__)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    with pytest.raises(OptionError, match=r"pip install 'tinct\[train\]'"):
        specification.loader.exec_module(module)


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "tinct", "train", "feelvos", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--stop-after" in done.stdout
