"""`tinct evaluate` and `tinct ablate` with DyeNet, whose network is the real one with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_kit import tinct_command
from PIL import Image

from tinct.io.mask_files import write_mask

H, W, FRAMES = 32, 48, 4
NAMES = ("ant", "bee")

Tinct = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork
    from tinct.networks.weights import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_weights(path, DyeNetNetwork(COMPACT), method="dyenet", variant="mobilenetv2")
    return str(path)


@pytest.fixture
def tinct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tinct:
    """`tinct words...` beside a DAVIS of two sequences and a file of boxes for each; code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    Path("boxes").mkdir()
    for seed, name in enumerate(NAMES):
        draws = np.random.default_rng(seed)
        frames, labels = (Path("DAVIS", kind, "480p", name) for kind in ("JPEGImages", "Annotations"))
        for folder in (frames, labels):
            folder.mkdir(parents=True)
        for t in range(FRAMES):
            truth = np.zeros((H, W), np.uint8)
            truth[6:26, 8 + t : 30 + t] = 1
            frame = draws.integers(90, 130, (H, W, 3), np.uint8)
            frame[truth > 0] = (220, 60, 30)
            Image.fromarray(frame).save(frames / f"{t:05d}.jpg")
            write_mask(labels / f"{t:05d}.png", truth)
        Path("boxes", f"{name}.json").write_text(json.dumps({"00001": [[8, 5, 32, 27, 0.9]]}))
    Path("DAVIS/ImageSets/2017").mkdir(parents=True)
    Path("DAVIS/ImageSets/2017/val.txt").write_text("\n".join(NAMES))

    def run(*words: str) -> tuple[int, str, str]:
        code = tinct_command(monkeypatch, *words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def evaluation(weights: str, *more: str) -> tuple[str, ...]:
    where = ("evaluate", "--dataset", "davis-2017", "--root", "DAVIS", "--out", "out", "--no-report")
    return (*where, "--method", "dyenet", "--preset", "fast", "--weights", weights, "--device", "cpu", *more)


def test_each_sequence_has_its_own_boxes_and_leaves_its_account(tinct: Tinct, weights: str) -> None:
    code, _, said = tinct(*evaluation(weights, "--proposals", "boxes"))
    assert code == 0, said
    for name in NAMES:
        trace = json.loads(Path("out", name, "why.json").read_text())
        assert trace["without_proposals"] == [0, 2, 3]
        assert trace["rounds"][0]["retrieved_share"] == 1 / FRAMES
        run = json.loads(Path("out", name, "run.json").read_text())["run"]
        assert run["proposals"].startswith("boxes-")
    Path("boxes/bee.json").write_text("{}")
    code, _, said = tinct(*evaluation(weights, "--proposals", "boxes"))
    assert code == 1
    assert "proposals: " in said


def test_a_file_serves_a_single_sequence(tinct: Tinct, weights: str) -> None:
    one = evaluation(weights, "--proposals", "boxes/ant.json", "--sequences", "ant", "--max-frames", "3")
    code, said, _ = tinct(*one)
    assert code == 0
    assert "max_frames = 3" in said
    assert len(list(Path("out/ant/masks").iterdir())) == 3
    scores = json.loads(Path("out/scores.json").read_text())
    assert scores["settings"]["max_frames"] == 3
    assert scores["sequences"]["ant"]["frames_scored"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--proposals", "boxes/ant.json"], "a file of one video, and 2 sequences were chosen"),
        (["--proposals", "DAVIS"], "lacks ant.json and 1 more of the 2 files"),
        (["--proposals", "bokses"], "no proposals file and no detector 'bokses'"),
        (["--proposals", "boxes", "--method", "feelvos"], "feelvos uses no object proposals"),
    ],
)
def test_boxes_that_do_not_fit_are_told_before_anything_is_segmented(
    tinct: Tinct, weights: str, words: list[str], message: str
) -> None:
    code, _, said = tinct(*evaluation(weights, *words))
    assert code == 1
    assert message in said
    assert not Path("out").exists()


def test_too_few_frames_are_refused(tinct: Tinct, weights: str) -> None:
    assert tinct(*evaluation(weights, "--max-frames", "2"))[0] == 2


def test_the_papers_rows_run_and_go_on(tinct: Tinct, weights: str) -> None:
    words = ("ablate", "dyenet", "--data", "DAVIS", "--dataset", "davis-2017", "--out", "table", "--weights",
             weights, "--rows", "re-mp,rounds-1", "--max-frames", "3", "--sequences", "ant", "--device",
             "cpu", "--preset", "fast", "--markdown")  # fmt: skip
    code, said, errors = tinct(*words)
    assert code == 0, errors
    assert "row 2 of 2: rounds-1" in errors
    assert "| Re-MP |" in said
    assert "0.610" in said
    assert "rounds-1: masks retrieved / known after each round: 0: 33.3% /" in said
    content = json.loads(Path("table/ablation.json").read_text())
    assert (content["measure"], content["sequences"], content["max_frames"]) == ("G", ["ant"], 3)
    assert "Ours: mean on davis-2017 val, a trial of 3 frames each;" in said
    assert [row["name"] for row in content["rows"]] == ["re-mp", "rounds-1"]
    assert [len(row["rounds"]) for row in content["rows"]] == [1, 2]
    masks = {path: path.stat().st_mtime_ns for path in Path("table").glob("*/ant/masks/*.png")}
    assert len(masks) == 6
    assert tinct(*words)[:2] == (0, said)
    assert {path: path.stat().st_mtime_ns for path in Path("table").glob("*/ant/masks/*.png")} == masks


def test_parts_to_leave_out_are_shown_where_there_are_some(tinct: Tinct) -> None:
    shown = {method: tinct("train", method, "--help")[1] for method in ("osvos", "masktrack", "dyenet")}
    assert "--without" not in shown["osvos"]
    assert "deformation" in shown["masktrack"]
    assert "attention" in shown["dyenet"]
    code, _, said = tinct("train", "osvos", "--out", "o", "--without", "attention")
    assert code == 1
    assert "no part 'attention' to leave out. It has none that can be." in said


def test_parts_to_add_are_shown_where_there_are_some(tinct: Tinct) -> None:
    shown = {method: tinct("train", method, "--help")[1] for method in ("osvos", "dyenet")}
    assert "--with " not in shown["osvos"]
    assert "pyramid" in shown["dyenet"]
    code, _, said = tinct("train", "dyenet", "--out", "o", "--with", "pyramid")
    assert code == 1
    assert "no part 'pyramid' to add" in said
