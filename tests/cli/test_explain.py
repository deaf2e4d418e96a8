"""`tinct segment --explain` and `--proposals`, with DyeNet's real network and random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_kit import tinct_command
from PIL import Image

from tinct.io.mask_files import write_mask

H, W, FRAMES = 32, 48, 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork
    from tinct.networks.weights import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, DyeNetNetwork(COMPACT), method="dyenet", variant="mobilenetv2")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "clip").mkdir()
    draws = np.random.default_rng(0)
    for t in range(FRAMES):
        Image.fromarray(draws.integers(0, 255, (H, W, 3)).astype(np.uint8)).save(tmp_path / f"clip/{t}.png")
    labels = np.zeros((H, W), np.uint8)
    labels[4:28, 6:36] = 3
    write_mask(tmp_path / "first.png", labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def segment(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    command = ["segment", "clip", "--mask", "first.png", "--out", "out", "--device", "cpu", *words]
    return tinct_command(monkeypatch, *command)


def test_the_account_is_written_as_a_picture_and_as_data(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--method", "dyenet", "--preset", "fast", "--weights", str(weights), "--no-overlay")
    (folder / "boxes.json").write_text(json.dumps({"1": [[4, 2, 40, 30, 0.9]], "2": []}))
    code = segment(
        monkeypatch, *words, "--explain", "why.png", "--explain", "why.json", "--proposals", "boxes.json"
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "dyenet sees the whole video before the first mask comes" in said.err
    assert "why.png" in said.out
    with Image.open(folder / "why.png") as picture:
        assert picture.width > 400
    trace = json.loads((folder / "why.json").read_text())
    assert trace["format"] == "tinct-explanation-1"
    assert trace["frames"] == ["0", "1", "2"]
    assert trace["object_ids"] == [3]
    assert trace["without_proposals"] == [0, 2]
    run = json.loads((folder / "out/run.json").read_text())
    assert run["run"]["proposals"].startswith("boxes-")
    assert len(set(run["seconds_per_frame"]["values"])) == 1
    assert run["seconds_per_frame"]["frames"] == FRAMES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--explain", "why.png"), "feelvos explains nothing; leave --explain out, or take one of dyenet"),
        (("--proposals", "boxes.json"), "feelvos uses no object proposals"),
        (("--method", "dyenet", "--explain", "why.pdf"), "written as FILE.png"),
        (("--method", "dyenet", "--proposals", "nowhere.json"), "no proposals file and no detector"),
        (("--method", "dyenet", "--proposals", "boxes.json"), "'00007', which the video lacks"),
    ],
)
def test_what_cannot_be_done_is_explained(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    (folder / "boxes.json").write_text(json.dumps({"00007": []}))
    assert segment(monkeypatch, *words) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (folder / "out").exists()
