"""The table of methods on occlusion clips, at a tiny size."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from bench_kit import load_benchmark

from tinct.data.held_out import held_out
from tinct.data.occlusion.clips import OcclusionClips
from tinct.data.occlusion.files import write_occlusion_split
from tinct.data.occlusion.objects import BackgroundPool, ObjectPool
from tinct.data.occlusion.plan import OcclusionOptions
from tinct.data.static_images import StaticImages
from tinct.errors import OptionError
from tinct.evaluation.occlusion import PHASES, PhaseScores
from tinct.evaluation.results import NAN, Statistics
from tinct.methods import osvos
from tinct.networks.weights import save_weights


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_benchmark("occlusion")


def test_a_row_is_a_method_with_its_choices_and_options(bench: ModuleType) -> None:
    plain = bench.parse_row("feelvos")
    assert (plain.name, plain.method, plain.choices, plain.options) == ("feelvos", "feelvos", {}, {})
    row = bench.parse_row("Re-MP alone=dyenet,re_id=False,preset=fast,rho=0.7,fine_tune=10")
    assert (row.name, row.method) == ("Re-MP alone", "dyenet")
    assert row.choices == {"preset": "fast", "fine_tune": "10"}
    assert row.options == {"re_id": False, "rho": 0.7}
    assert row.folder == "Re-MP-alone"
    for text in ("", "=feelvos", "name=", "feelvos,fast", "feelvos,=3"):
        with pytest.raises(OptionError, match=r"came|names no method"):
            bench.parse_row(text)


def test_the_table_is_written_with_its_command(
    bench: ModuleType, masked_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stills = StaticImages(masked_photos, only=held_out)
    options = OcclusionOptions(size=(64, 112), frames=(24, 24))
    clips = OcclusionClips(ObjectPool(stills, None), BackgroundPool(stills, None), options)
    write_occlusion_split(clips, tmp_path / "OCC", "occlusion", 1)
    weights = tmp_path / "w.safetensors"
    torch.manual_seed(0)
    save_weights(weights, osvos.OsvosNetwork(osvos.COMPACT), method="osvos", variant="mobilenetv2")
    words = [f"osvos,fine_tune=none,working_height=64,weights={weights}"]
    words += ["--root", str(tmp_path / "OCC"), "--out", str(tmp_path / "OUT"), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["occlusion.py", *words])
    assert bench.main() == 0
    content = json.loads((tmp_path / "OUT" / "occlusion.json").read_text())
    assert list(content["rows"]) == ["osvos,fine_tune=none,working_height=64,weights=w.safetensors"]
    (row,) = content["rows"].values()
    assert 0 <= row["phases"]["after"]["G"] <= 1
    assert row["phases"]["all"]["frames"] > row["phases"]["after"]["frames"] > 0
    assert row["run"]["method"] == "osvos"
    assert str(tmp_path) not in content["command"]
    assert content["command"].startswith("python benchmarks/occlusion.py")
    table = (tmp_path / "OUT" / "occlusion.md").read_text()
    assert "G after" in table
    assert content["command"] in table


def phase(j: float, f: float, recall: float) -> PhaseScores:
    return PhaseScores({"J": Statistics(j, recall), "F": Statistics(f, recall)}, 1, 4)


def test_the_table_has_a_row_per_method_and_says_what_counts(bench: ModuleType) -> None:
    nothing = PhaseScores({"J": Statistics(NAN), "F": Statistics(NAN)}, 0, 0)
    phases = {**dict.fromkeys(PHASES, phase(0.8, 0.9, 0.75)), "after hidden": nothing}
    table = bench.phases_markdown([("one", phases), ("two", phases)])
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert rows[2] == "| one | 85.0 | 85.0 | 85.0 | 80.0 | 90.0 | 75.0 | – | 85.0 |"
    assert "after: 1 objects, 4 frames" in table
    content = bench.phases_json(phases)
    assert content["after"]["J_recall"] == 0.75
    assert content["after hidden"] == {
        "G": None, "J": None, "F": None, "J_recall": None, "F_recall": None, "objects": 0, "frames": 0,
    }  # fmt: skip
