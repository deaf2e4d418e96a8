"""The curve of J against seconds of fine-tuning, at a tiny size."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from bench_kit import load_benchmark
from PIL import Image

from tinct.errors import OptionError
from tinct.io.mask_files import write_mask
from tinct.methods import osvos
from tinct.networks.weights import save_weights

H, W, FRAMES = 48, 64, 4


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_benchmark("fine_tuning")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A dataset of one sequence, weights that chance made, and the command's options for both."""
    draws = np.random.default_rng(0)
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / "DAVIS" / kind / "480p" / "cow").mkdir(parents=True)
    for t in range(FRAMES):
        labels = np.zeros((H, W), np.uint8)
        labels[8:30, 6 + t : 36 + t] = 1
        frame = draws.integers(80, 120, (H, W, 3), np.uint8)
        frame[labels == 1] = (230, 40, 20)
        Image.fromarray(frame).save(tmp_path / "DAVIS" / "JPEGImages" / "480p" / "cow" / f"{t:05d}.jpg")
        write_mask(tmp_path / "DAVIS" / "Annotations" / "480p" / "cow" / f"{t:05d}.png", labels)
    (tmp_path / "DAVIS" / "ImageSets" / "2016").mkdir(parents=True)
    (tmp_path / "DAVIS" / "ImageSets" / "2016" / "dev.txt").write_text("cow\n")
    torch.manual_seed(0)
    network = osvos.OsvosNetwork(osvos.COMPACT)
    save_weights(tmp_path / "w.safetensors", network, method="osvos", variant="mobilenetv2")
    return ["--root", str(tmp_path / "DAVIS"), "--method", "osvos", "--preset", "paper", "--threads", "1",
            "--weights", str(tmp_path / "w.safetensors"), "--json", str(tmp_path / "curve.json"),
            "--plot", str(tmp_path / "curve.png")]  # fmt: skip


def content(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "curve.json").read_text())
    return found


@pytest.mark.slow
def test_points_are_measured_once_and_drawn(
    bench: ModuleType, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["fine_tuning.py", *words, "--seconds", "0.3,0"])
    threads = torch.get_num_threads()
    assert bench.main() == 0
    first = content(tmp_path)
    assert [point["seconds"] for point in first["points"]] == [0, 0.3]
    assert first["points"][0]["steps"] == 0
    assert first["points"][1]["steps"] >= 1
    assert all(point["sequences"] == {"cow": point["J"]} for point in first["points"])
    assert str(tmp_path) not in (tmp_path / "curve.json").read_text()
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 600
    monkeypatch.setattr(bench, "measure", lambda *_, **__: {"J": 0.5, "F": 0.5, "steps": 1, "sequences": {}})
    monkeypatch.setattr(bench, "plot", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["fine_tuning.py", *words, "--seconds", "0,0.3,2"])
    assert bench.main() == 0
    assert content(tmp_path)["points"][:2] == first["points"]
    assert content(tmp_path)["points"][2]["J"] == 0.5
    torch.set_num_threads(threads)


def test_budgets_in_steps_do_not_depend_on_the_clock(
    bench: ModuleType, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(
        sys, "argv", ["fine_tuning.py", *words, "--steps", "2,0", "--seconds-per-step", "1.5"]
    )
    threads = torch.get_num_threads()
    assert bench.main() == 0
    torch.set_num_threads(threads)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["seconds", "steps"], ["0", "0"], ["3", "2"]
    ]  # fmt: skip
    found = content(tmp_path)
    assert found["settings"]["unit"] == "steps"
    none, two = found["points"]
    assert (none["steps"], none["seconds_per_step"], two["steps"]) == (0, None, 2)
    assert 2 * two["seconds_per_step"] == pytest.approx(two["seconds"])
    assert (tmp_path / "curve.png").exists()
    with pytest.raises(OptionError, match=r"another curve \(it differs in unit\)"):
        bench.read_points(tmp_path / "curve.json", bench.settings_of(bench.arguments(words)))


def test_what_a_step_takes(bench: ModuleType, words: list[str]) -> None:
    options = bench.arguments([*words, "--steps", "0,4"])
    points = [{"steps": 0, "seconds_per_step": None}, {"steps": 4, "seconds_per_step": 0.5}, {"steps": 8}]
    assert bench.step_seconds(options, points) == 0.5
    assert bench.step_seconds(options, points[:1]) is None
    assert [bench.both_units(p, "steps", 0.5) for p in points] == [(0.0, 0), (2.0, 4), (4.0, 8)]
    assert bench.both_units({"seconds": 5.0, "steps": 7}, "seconds", 0.5) == (5.0, 7)
    assert bench.both_units(points[1], "steps", None) == (None, 4)
    with pytest.raises(SystemExit):
        bench.arguments([*words, "--steps", "4", "--seconds", "5"])


@pytest.mark.parametrize("unit", ["seconds", "steps"])
def test_the_plot_has_both_axes(
    bench: ModuleType, unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    points = [
        {"seconds": s, "steps": n, "J": 0.5, "sequences": {"cow": 0.5}}
        for s, n in ((0, 0), (5, 40), (60, 480))
    ]
    bench.plot(tmp_path / "a.png", "osvos", points, "dev", unit, 0.25)
    below, above = drawn[0].axes
    texts = [[label.get_text() for label in axes.get_xticklabels()] for axes in (below, above)]
    steps = ["0", "40", "480"]
    assert texts == ([["0", "5", "60"], steps] if unit == "seconds" else [steps, ["0", "10", "120"]])
    assert list(below.get_xticks()) == list(above.get_xticks())
    assert below.get_xlim() == above.get_xlim()
    assert above.get_xlabel() == ("steps" if unit == "seconds" else "seconds")


def test_another_curve_is_not_mixed_in(bench: ModuleType, words: list[str], tmp_path: Path) -> None:
    settings = bench.settings_of(bench.arguments(words))
    bench.write_points(tmp_path / "curve.json", settings, [])
    assert bench.read_points(tmp_path / "curve.json", settings) == []
    with pytest.raises(OptionError, match="differs in preset, threads"):
        bench.read_points(tmp_path / "curve.json", {**settings, "preset": "fast", "threads": 7})


def test_budgets_as_people_write_them(bench: ModuleType) -> None:
    assert bench.parse_budgets("15,0,5,5") == [0.0, 5.0, 15.0]
    assert bench.parse_budgets("50,0", "steps") == [0, 50]
    assert [bench.fine_tune_of(s) for s in (0.0, 1.5, 60.0)] == ["none", "1.5s", "60s"]
    assert [bench.fine_tune_of(n, "steps") for n in (0, 1600)] == ["none", "1600"]
    for unit, text in (
        ("seconds", ""),
        ("seconds", "a"),
        ("seconds", "-1,5"),
        ("steps", "1.5"),
        ("steps", "-1"),
    ):
        with pytest.raises(OptionError, match=f"--{unit} .*numbers from 0 on"):
            bench.parse_budgets(text, unit)


def test_what_goes_wrong_is_one_line(
    bench: ModuleType, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fine_tuning.py", *words, "--seconds", "soon"])
    threads = torch.get_num_threads()
    assert bench.main() == 1
    torch.set_num_threads(threads)
    assert capsys.readouterr().err.startswith("fine_tuning: error: --seconds 'soon' came")
