"""A new method is its file and its row (and a recipe): every verb then knows it without a line more."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
import toy_method
from command_kit import tinct_command
from PIL import Image

from tinct import zoo
from tinct.cli.train import train_app, training_verb
from tinct.io.mask_files import read_label_png, write_mask
from tinct.runs.segmenter_config import SegmenterConfig

ROW = zoo.MethodRecord(
    title="TOY: Objects That Stay (Nobody 2026)",
    module="toy_method",
    variants={"tiny": "the only one"},
    default_variant="tiny",
    paper_variant="tiny",
    paper_scores={"DAVIS-2016 val J": zoo.Score(0.5, "paper", "table 1")},
    training=zoo.TrainingHelp("Train the toy; the result is OUT/squares.safetensors.", steps="squares=10"),
    recipe_parts=("decay",),
)

Tinct = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def labels_at(index: int) -> np.ndarray:
    labels = np.zeros((20, 30), np.uint8)
    labels[4:12, 4 + index : 14 + index] = 1
    return labels


@pytest.fixture
def tinct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tinct:
    """`tinct words...` where the toy is in the zoo with weights, beside a tiny dataset `DAVIS`."""
    monkeypatch.setitem(cast(dict[str, zoo.MethodRecord], zoo.METHODS), "toy", ROW)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "toy_tiny.safetensors").write_bytes(b"toy")
    card: dict[str, Any] = {"method": "toy", "variant": "tiny", "file": "toy_tiny.safetensors"}
    card |= {"sha256": hashlib.sha256(b"toy").hexdigest(), "recipe": "tinct train toy --out runs/toy"}
    card |= {"data": "made-up squares (CC0)", "hardware": "a laptop", "seconds": 3.0}
    card |= {"scores": {"squares J": {"value": 0.7, "source": "ours", "command": "tinct evaluate"}}}
    (tmp_path / "weights" / "toy_tiny.json").write_text(json.dumps(card))
    monkeypatch.setattr("tinct.zoo.build.WEIGHTS_FOLDER", tmp_path / "weights")
    for folder in ("JPEGImages/480p/box", "Annotations/480p/box", "ImageSets/2016"):
        (tmp_path / "DAVIS" / folder).mkdir(parents=True)
    (tmp_path / "DAVIS/ImageSets/2016/val.txt").write_text("box\n")
    for index in range(4):
        frame = np.repeat(labels_at(index)[..., None] * np.uint8(200), 3, axis=2)
        Image.fromarray(frame).save(tmp_path / f"DAVIS/JPEGImages/480p/box/{index:05d}.jpg")
        write_mask(tmp_path / f"DAVIS/Annotations/480p/box/{index:05d}.png", labels_at(index))
    monkeypatch.chdir(tmp_path)
    return lambda *words: tinct_command(monkeypatch, *words)


def test_it_is_listed_and_shown(tinct: Tinct, capsys: Capture) -> None:
    assert tinct("models") == 0
    assert "toy          tiny*" in capsys.readouterr().out
    assert tinct("models", "toy") == 0
    shown = capsys.readouterr().out
    assert "made-up squares (CC0)" in shown
    assert "0.500  DAVIS-2016 val J (paper: table 1)" in shown
    assert tinct("models", "toy", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["presets"]["fast"] == {"decay": 0.8}


def test_it_segments(tinct: Tinct, capsys: Capture) -> None:
    mask = "DAVIS/Annotations/480p/box/00000.png"
    words = ("segment", "DAVIS/JPEGImages/480p/box", "--mask", mask, "--method", "toy", "--device", "cpu")
    assert tinct(*words, "--out", "run") == 0
    assert np.array_equal(read_label_png(Path("run/masks/00003.png")), labels_at(0))
    assert json.loads(Path("run/run.json").read_text())["run"]["method"] == "toy"
    refused = {"--flow": "dis", "--fine-tune": "20", "--proposals": "boxes.json", "--explain": "why.json"}
    for option, value in refused.items():
        assert tinct(*words, "--out", "other", option, value) == 1
        assert f"leave {option}" in capsys.readouterr().err


def test_it_is_evaluated(tinct: Tinct) -> None:
    words = ("--root", "DAVIS", "--out", "scored", "--method", "toy", "--device", "cpu", "--no-report")
    assert tinct("evaluate", "--dataset", "davis-2016", *words) == 0
    content = json.loads(Path("scored/scores.json").read_text())
    assert content["run"]["method"] == "toy"
    assert 0 < content["J"]["mean"] < 1


def test_its_options_can_be_set_from_python(tinct: Tinct) -> None:
    built = SegmenterConfig("toy", device="cpu", preset="fast", options={"decay": 0.7}).build()
    assert isinstance(built, toy_method.Toy)
    assert built.options == toy_method.Options(0.7)


def test_it_is_trained_by_its_recipe(tinct: Tinct, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert ROW.training is not None
    # The verbs are made from the zoo when the command line is loaded, which happened without the toy.
    train_app.command("toy")(training_verb("toy", ROW, ROW.training))
    try:
        assert tinct("train", "toy", "--help") == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "Train the toy; the result is OUT/squares.safetensors." in shown
        assert "Steps of stages: squares=10." in shown
        assert "as the paper's ablation does: decay." in shown
        recipe = ModuleType("tinct.training.recipes.toy")
        recipe.RECIPES = {}  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, recipe.__name__, recipe)
        assert tinct("train", "toy", "--variant", "tiny", "--out", "runs/toy") == 1
        assert "toy has no recipe for 'tiny'" in capsys.readouterr().err
    finally:
        train_app.registered_commands.pop()
