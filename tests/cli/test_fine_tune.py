"""Fine-tuning and flow on the command line: what is understood, said, recorded and refused."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_kit import tinct_command
from PIL import Image

from tinct.cli.application import show_warning
from tinct.fine_tuning import budget as tuning_budget
from tinct.fine_tuning.fine_tune import FineTuningWarning
from tinct.io.flow_files import write_flo
from tinct.io.mask_files import read_label_png, write_mask
from tinct.methods import masktrack, osvos
from tinct.networks.weights import save_weights
from tinct.runs import segment_to_folder as predict

H, W, FRAMES = 48, 64, 4

Tinct = Callable[..., int]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Method → weights that chance made."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    networks = {
        "osvos": osvos.OsvosNetwork(osvos.COMPACT),
        "masktrack": masktrack.MaskTrackNetwork(masktrack.COMPACT),
    }
    for method, network in networks.items():
        save_weights(folder / f"{method}.safetensors", network, method=method, variant="mobilenetv2")
    return {method: str(folder / f"{method}.safetensors") for method in networks}


def write_frames(folder: Path, suffix: str = "png") -> None:
    draws = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for t in range(FRAMES):
        frame = draws.integers(90, 130, (H, W, 3), np.uint8)
        frame[8:24, 6 + t : 26 + t] = (220, 60, 30)
        Image.fromarray(frame).save(folder / f"{t:05d}.{suffix}")


def square(left: int, object_id: int = 1) -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[8:24, left : left + 20] = object_id
    return labels


@pytest.fixture
def tinct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tinct:
    """`tinct words...` in a folder with a clip, two masks, and a dataset of one sequence."""
    write_frames(tmp_path / "clip")
    write_mask(tmp_path / "first.png", square(6))
    write_mask(tmp_path / "last.png", square(9))
    write_frames(tmp_path / "DAVIS" / "JPEGImages" / "480p" / "cow", "jpg")
    (tmp_path / "DAVIS" / "Annotations" / "480p" / "cow").mkdir(parents=True)
    for t in range(FRAMES):
        write_mask(tmp_path / "DAVIS" / "Annotations" / "480p" / "cow" / f"{t:05d}.png", square(6 + t))
    (tmp_path / "DAVIS" / "ImageSets" / "2016").mkdir(parents=True)
    (tmp_path / "DAVIS" / "ImageSets" / "2016" / "val.txt").write_text("cow\n")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> int:
        return tinct_command(monkeypatch, *words)

    return run


def run_record(out: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(out, "run.json").read_text())
    return content


def segment_words(method: str, weights: dict[str, str], *more: str) -> tuple[str, ...]:
    return ("segment", "clip", "--mask", "first.png", "--out", "out", "--no-overlay", "--device", "cpu",
            "--method", method, "--weights", weights[method], "--preset", "paper", *more)  # fmt: skip


def test_a_budget_is_kept_recorded_and_belongs_to_the_run(
    tinct: Tinct, weights: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tinct(*segment_words("osvos", weights, "--fine-tune", "2")) == 0
    found = run_record("out")
    assert found["run"]["fine_tuning"] == "2 steps"
    assert [(entry["object_id"], entry["steps"]) for entry in found["fine_tuned"]] == [(1, 2)]
    assert capsys.readouterr().err == "tinct: first.png → frame 0 (00000)\n"
    assert tinct(*segment_words("osvos", weights, "--fine-tune", "3", "--resume")) == 1
    assert 'fine_tuning: "2 steps" there, "3 steps" now' in capsys.readouterr().err
    assert tinct(*segment_words("osvos", weights, "--fine-tune", "2", "--resume")) == 0
    assert "every mask was there already" in capsys.readouterr().out


def test_auto_says_what_it_chose(
    tinct: Tinct, weights: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_budget, "auto_budget", lambda _: tuning_budget.Budget(steps=1))
    assert tinct(*segment_words("osvos", weights, "--fine-tune", "auto")) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == ["tinct: fine-tuning 1 step per object (auto, on cpu)"]
    assert run_record("out")["run"]["fine_tuning"] == "1 step"


def test_a_bar_shows_how_far_fine_tuning_is(
    tinct: Tinct, weights: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert tinct(*segment_words("osvos", weights, "--fine-tune", "2")) == 0
    said = capsys.readouterr().err
    assert "fine-tune" in said
    assert "2/2" in said


def test_none_leaves_the_parent_network(tinct: Tinct, weights: dict[str, str]) -> None:
    assert tinct(*segment_words("masktrack", weights, "--fine-tune", "none")) == 0
    assert run_record("out")["run"]["fine_tuning"] == "none"
    assert "fine_tuned" not in run_record("out")


def test_flow_from_an_estimator_with_a_cache_and_from_a_folder(tinct: Tinct, weights: dict[str, str]) -> None:
    none = ("--fine-tune", "none", "--preset", "fast")
    more = (*none, "--flow", "dis", "--flow-cache", "kept")
    assert tinct(*segment_words("masktrack", weights, *more)) == 0
    assert len(list(Path("kept").iterdir())) == FRAMES - 1
    assert run_record("out")["run"]["flow"].startswith("dis-")
    Path("flow").mkdir()
    for t in range(FRAMES - 1):
        write_flo(Path("flow", f"{t + 1:05d}_{t:05d}.flo"), np.full((H, W, 2), -1, np.float32))
    words = segment_words("masktrack", weights, *none, "--flow", "flow")
    assert tinct(*words, "--out", "other") == 0
    assert run_record("other")["run"]["flow"] == "folder flow"


def test_a_flow_file_that_lacks_is_told_before_anything_is_learnt(
    tinct: Tinct, weights: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("flow").mkdir()
    for t in range(FRAMES - 2):
        write_flo(Path("flow", f"{t + 1:05d}_{t:05d}.flo"), np.full((H, W, 2), -1, np.float32))
    more = ("--fine-tune", "1", "--preset", "fast", "--flow", "flow")
    assert tinct(*segment_words("masktrack", weights, *more)) == 1
    assert "00003_00002.flo cannot be read" in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_download_is_told_in_one_line(
    tinct: Tinct, weights: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: "hub")
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    assert tinct(*segment_words("masktrack", weights, "--flow", "raft-small")) == 1
    said = capsys.readouterr()
    assert said.out == ""
    _, notice, error = said.err.splitlines()
    assert re.fullmatch(r"tinct: downloading RAFT's weights from https://\S+/raft_small\S+\.pth", notice)
    assert error.startswith("tinct: error: RAFT's weights cannot be had")


def test_masks_run_both_ways(
    tinct: Tinct, weights: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--mask", "3:last.png", "--direction", "both", "--fine-tune", "1")
    assert tinct(*segment_words("masktrack", weights, *more)) == 0
    assert run_record("out")["run"]["direction"] == "both"
    for t, left in ((0, 6), (3, 9)):
        np.testing.assert_array_equal(read_label_png(Path("out", "masks", f"{t:05d}.png")), square(left))
    # Both painted frames were learnt from at once.
    assert len(run_record("out")["fine_tuned"]) == 1


def test_an_interrupted_run_keeps_what_it_learnt(
    tinct: Tinct, weights: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = segment_words("masktrack", weights, "--fine-tune", "2")
    write = predict.write_mask

    def interrupt(path: Path, labels: np.ndarray) -> None:
        if path.stem == "00002":
            raise KeyboardInterrupt
        write(path, labels)

    monkeypatch.setattr(predict, "write_mask", interrupt)
    assert tinct(*words) == 130
    first = run_record("out")["fine_tuned"]
    monkeypatch.setattr(predict, "write_mask", write)
    assert tinct(*words, "--resume") == 0
    assert run_record("out")["fine_tuned"] == first
    assert run_record("out")["resumed_at"] == 2


def test_evaluate_takes_the_same_options(tinct: Tinct, weights: dict[str, str]) -> None:
    words = ("evaluate", "--dataset", "davis-2016", "--root", "DAVIS", "--method", "osvos", "--device", "cpu",
             "--weights", weights["osvos"], "--out", "runs", "--metrics", "J", "--no-report")  # fmt: skip
    assert tinct(*words, "--fine-tune", "1", "--preset", "paper") == 0
    assert run_record("runs/cow")["run"]["fine_tuning"] == "1 step"
    run = json.loads(Path("runs/scores.json").read_text())["run"]
    assert (run["fine_tuning"], run["tuning_steps"], run["tuning_diverged"]) == ("1 step", 1, 0)
    assert run["tuning_seconds"] == run_record("runs/cow")["fine_tuned"][0]["seconds"]


def test_evaluate_finds_the_flow_of_each_sequence(
    tinct: Tinct, weights: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate", "--dataset", "davis-2016", "--root", "DAVIS", "--method", "masktrack", "--weights",
             weights["masktrack"], "--metrics", "J", "--no-report", "--fine-tune", "none")  # fmt: skip
    words = (*words, "--flow", "flow/")
    Path("flow/cow").mkdir(parents=True)
    assert tinct(*words, "--out", "runs") == 1
    assert "00001_00000.flo cannot be read" in capsys.readouterr().err
    for t in range(FRAMES - 1):
        write_flo(Path(f"flow/cow/{t + 1:05d}_{t:05d}.flo"), np.full((H, W, 2), -1, np.float32))
    assert tinct(*words, "--out", "runs") == 0
    assert run_record("runs/cow")["run"]["flow"] == "folder flow"


@pytest.mark.slow
def test_ablate_runs_rows_and_goes_on(
    tinct: Tinct, weights: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ablate", "osvos", "--data", "DAVIS", "--out", "ablation", "--weights", weights["osvos"],
             "--rows", "full,without-boundary,without-both", "--fine-tune", "1")  # fmt: skip
    assert tinct(*words) == 0
    said = capsys.readouterr()
    assert "row 2 of 3: without-boundary" in said.err
    assert "Sign test" in said.out
    assert "--weights without-both=FILE" in said.out
    content = json.loads(Path("ablation/ablation.json").read_text())
    assert [row["ours"] is None for row in content["rows"]] == [False, False, True]
    assert run_record("ablation/full/cow")["run"]["options"] == {"boundary": "guided"}
    masks = {p: p.stat().st_mtime_ns for p in Path("ablation").glob("*/cow/masks/*.png")}
    assert tinct(*words, "--markdown") == 0
    assert "| row | ours J |" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in Path("ablation").glob("*/cow/masks/*.png")} == masks


@pytest.mark.slow
def test_ablate_leaves_feelvos_parts_out_of_the_packages_weights(tinct: Tinct) -> None:
    """From the preset default: the compact variant has no other that was trained."""
    rows = ("full", "without-window", "global-alone", "without-global")
    words = ("ablate", "feelvos", "--data", "DAVIS", "--out", "ablation", "--rows", ",".join(rows))
    assert tinct(*words) == 0
    content = json.loads(Path("ablation/ablation.json").read_text())
    assert content["preset"] == "default"
    assert all(row["ours"] is not None for row in content["rows"])
    options = [run_record(f"ablation/{row}/cow")["run"].get("options", {}) for row in rows]
    assert options == [
        {}, {"previous_matching": "frame"}, {"previous_matching": "none", "previous_prediction": False},
        {"global_matching": False},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "feelvos", "--fine-tune", "60s"], "feelvos does not fine-tune"),
        (["--method", "feelvos", "--flow", "dis"], "feelvos uses no optical flow"),
        (["--method", "osvos", "--fine-tune", "soon"], "give auto, none, a number of steps"),
        (["--method", "masktrack", "--flow", "diss"], "Did you mean 'dis'"),
        (["--method", "masktrack", "--flow-weights", "raft.pth"], "raft-small and raft-large"),
        (["--method", "osvos", "--variant", "vgg16"], "no weights for osvos vgg16"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tinct: Tinct, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert tinct("segment", "clip", "--mask", "first.png", "--out", "out", *words) == 1
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["xmem"], "no table of ablations for 'xmem'"),
        (["osvos", "--rows", "ful"], "Did you mean 'full'"),
        (["osvos", "--weights", "a.safetensors", "--weights", "b.safetensors"], "came as weights for all"),
        (["osvos", "--weights", "full=a", "--weights", "full=b"], "Two files of weights"),
    ],
)
def test_ablate_refuses_what_fits_nothing(
    tinct: Tinct, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert tinct("ablate", *words, "--data", "DAVIS", "--out", "ablation") == 1
    assert message in capsys.readouterr().err


def test_weights_by_row() -> None:
    from tinct.cli.ablate import parse_weights

    assert parse_weights(["a.safetensors", "box=runs/b=c.safetensors", "full=d"]) == (
        Path("a.safetensors"),
        {"box": Path("runs/b=c.safetensors"), "full": Path("d")},
    )
    assert parse_weights(["./a=b"]) == (Path("a=b"), {})
    assert parse_weights([]) == (None, {})


def test_models_says_which_methods_take_what(tinct: Tinct, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinct("models") == 0
    said = capsys.readouterr().out
    assert "--fine-tune: osvos, masktrack, maskrnn, dyenet\n" in said
    assert "--flow: masktrack, maskrnn, dyenet\n" in said
    assert "--explain: dyenet\n" in said
    assert tinct("models", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    tuned = {row["method"] for row in rows if row["fine_tunes"]}
    assert tuned == {"osvos", "masktrack", "maskrnn", "dyenet"}


def test_our_warnings_are_a_line_and_those_of_others_are_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_warning(FineTuningWarning("it diverged"), FineTuningWarning, "online.py", 7)
    assert capsys.readouterr().err == "tinct: warning: it diverged\n"
    show_warning(DeprecationWarning("old"), DeprecationWarning, "numpy.py", 7)
    assert "numpy.py:7: DeprecationWarning: old" in capsys.readouterr().err
