"""DyeNet's table: G beside the paper's, another method's row, weights of a row's own, rounds, occlusion."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tinct.data.held_out import held_out
from tinct.data.occlusion.clips import OcclusionClips
from tinct.data.occlusion.files import write_occlusion_split
from tinct.data.occlusion.objects import BackgroundPool, ObjectPool
from tinct.data.occlusion.plan import OcclusionOptions
from tinct.data.static_images import StaticImages
from tinct.errors import OutputError, WeightsError
from tinct.evaluation import ablate as ablate_module
from tinct.evaluation.ablate import Setup, ablate, row_config
from tinct.evaluation.ablation_rows import DYENET
from tinct.evaluation.ablation_tables import ablation_json, ablation_markdown
from tinct.evaluation.dataset_split import DatasetSplit
from tinct.evaluation.evaluate import Evaluation
from tinct.evaluation.results import ObjectScores, Scores, SequenceScores, Statistics
from tinct.evaluation.retrieval import RoundShares, read_traces, shares_of_rounds
from tinct.evaluation.tables import DASH
from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork
from tinct.networks.weights import save_weights
from tinct.runs.segmenter_config import SegmenterConfig

ROW = {row.name: row for row in DYENET.rows}
SMALL = replace(COMPACT, roi_grid=6, hidden=8)


def config_of(**changes: Any) -> SegmenterConfig:
    return SegmenterConfig("dyenet", **{"device": "cpu", "preset": "paper", **changes})


def setup_of(config: SegmenterConfig | None = None, **changes: Any) -> Setup:
    data = changes.pop("data", DatasetSplit("davis-2017", Path("DAVIS"), "val"))
    return Setup(data, config or config_of(), **changes)


def account_of(frames: int, objects: int, *shares: float) -> dict[str, Any]:
    rounds = [
        {"round": number, "retrieved_share": share, "masks_share": min(1.0, 2 * share)}
        for number, share in enumerate(shares)
    ]
    return {"frames": ["x"] * frames, "object_ids": list(range(objects)), "rounds": rounds}


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, tuple[float, float]]], None]:
    """Row → J and F; whatever re-identifies writes a trace of two rounds."""

    def prepare(figures: dict[str, tuple[float, float]]) -> None:
        def fake(data: DatasetSplit, config: SegmenterConfig, out: Path, **_: Any) -> Evaluation:
            j, f = figures[out.name]
            objects = (ObjectScores(1, {"J": Statistics(j), "F": Statistics(f)}),)
            scores = Scores("davis-2017", "", False, "objects", (SequenceScores("cow", objects, 3),))
            if config.method == "dyenet":
                shares = (0.1, 0.25) if out.name.startswith("re-id") else (0.1,)
                (out / "cow").mkdir(parents=True)
                (out / "cow" / "why.json").write_text(json.dumps(account_of(10, 2, *shares)))
            return Evaluation(out, out, out, ("cow",), scores, {})

        monkeypatch.setattr(ablate_module, "evaluate", fake)
        monkeypatch.setattr(SegmenterConfig, "build", lambda *_: None)

    return prepare


def test_rows_are_compared_by_g_beside_the_papers(run_with: Any, tmp_path: Path) -> None:
    figures = {"msk": (0.6, 0.7), "re-mp-without-attention": (0.61, 0.71)}
    figures |= {"re-mp": (0.6, 0.7), "re-id": (0.7, 0.8)}
    run_with(figures)
    ablation = ablate(setup_of(), tmp_path, rows=list(figures))
    found = {r.row.name: ablation.change(r) for r in ablation.results}
    assert [c.verdict if c else None for c in found.values()] == [None, "same", "opposite", "same"]
    assert found["re-id"] is not None
    assert found["re-id"].ours == pytest.approx(0.1)
    assert found["re-id"].paper == pytest.approx(0.682 - 0.61)
    paper = [result.paper_figure("G") for result in ablation.results]
    assert paper == [0.517, 0.58, 0.61, 0.682]
    text = ablation_markdown(ablation)
    assert "| row | ours G | ours J | ours F | ours ΔG | paper G | paper ΔG | against |" in text
    assert (
        "| + Re-ID | 0.750 | 0.700 | 0.800 | +0.100 | 0.682 | +0.072 | re-mp | as the paper | 25.0% |" in text
    )
    assert f"| MSK | 0.650 | 0.600 | 0.700 | {DASH} | 0.517 |" in text
    assert "re-id: masks retrieved / known after each round: 0: 10.0% / 20.0%, 1: 25.0% / 50.0%." in text
    content = ablation_json(ablation)
    assert content["measure"] == "G"
    assert content["rows"][0]["method"] == "masktrack"
    assert content["rows"][3]["rounds"][1] == {"number": 1, "retrieved": 0.25, "masks": 0.5}
    assert content["rows"][0]["rounds"] is None


def test_every_step_of_the_papers_table_is_up() -> None:
    steps = [row for row in DYENET.rows if row.published is not None]
    assert [row.name for row in steps] == ["msk", "re-mp-without-attention", "re-mp", "re-id", "advanced"]
    assert all(row.against == (before.name,) for before, row in pairwise(steps))


def test_the_row_of_another_method_has_its_weights_and_as_long_a_fine_tuning() -> None:
    own = Path("dyenet.safetensors")
    row = row_config(setup_of(config_of(weights=own, proposals="boxes")), ROW["msk"])
    assert row is not None
    assert (row.method, row.weights, row.fine_tune, row.proposals) == ("masktrack", None, "none", None)
    assert row.options == {"flow_stream": False, "crf": False}
    height = config_of(options={"rho": 0.6, "working_height": 288})
    shared = row_config(setup_of(height), ROW["msk"])
    assert shared is not None
    assert shared.options == {"flow_stream": False, "crf": False, "working_height": 288}
    tuned = row_config(setup_of(config_of(fine_tune="30s"), row_weights={"msk": Path("m")}), ROW["msk"])
    assert tuned is not None
    assert (tuned.fine_tune, tuned.weights) == ("30s", Path("m"))


def test_weights_of_a_rows_own_change_the_config() -> None:
    plain = row_config(setup_of(), ROW["re-mp-without-attention"])
    assert plain is not None
    assert plain.options == {"re_id": False, "attention": False}
    files = {"re-mp-without-attention": Path("a"), "advanced": Path("b")}
    made = [row_config(setup_of(row_weights=files), ROW[name]) for name in files]
    assert made[0] is not None
    assert made[0].options["config"] == replace(COMPACT, attention=False)
    assert made[1] is not None
    assert made[1].options["config"] == replace(COMPACT, two_streams=True)
    assert made[1].options["patches"]


def test_what_cannot_be_built_is_known_before_a_row_runs(
    run_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with({"msk": (0.5, 0.5)})
    said: list[str] = []

    def build(config: SegmenterConfig, *_: Any) -> None:
        said.append(config.method)
        if config.method == "dyenet":
            raise WeightsError("no weights here")

    monkeypatch.setattr(SegmenterConfig, "build", build)
    ablation = ablate(setup_of(), tmp_path, rows=["msk", "re-mp"], on_row=lambda name, *_: said.append(name))
    assert said == ["masktrack", "dyenet", "msk"]
    assert ablation.results[1].reason == "no weights here"


def test_shares_are_of_all_videos_and_an_ended_loop_stays_where_it_was() -> None:
    accounts = [account_of(10, 1, 0.1, 0.2, 0.4), account_of(30, 1, 0.2)]
    shares = shares_of_rounds(accounts)
    assert [of.number for of in shares] == [0, 1, 2]
    assert [of.retrieved for of in shares] == pytest.approx([0.175, 0.2, 0.25])
    assert [of.masks for of in shares] == pytest.approx([0.35, 0.4, 0.5])
    assert shares_of_rounds([]) == ()
    assert shares_of_rounds([account_of(0, 0, 0.0)]) == (RoundShares(0, 0.0, 0.0),)


def test_accounts_that_are_not_there_or_broken(tmp_path: Path) -> None:
    (tmp_path / "cow").mkdir()
    assert read_traces(tmp_path, ["cow"]) == []
    whole = account_of(10, 1, 0.1)
    shares = [{"retrieved_share": 7, "masks_share": 1}, {"retrieved_share": 10**400, "masks_share": 1}]
    broken = [{**whole, "rounds": [share]} for share in (*shares, {}, 3)]
    texts = map(json.dumps, [*broken, {**whole, "frames": 3}, {**whole, "rounds": []}, {}, [], 3])
    for text in ("{", "[" * 100_000, *texts):
        (tmp_path / "cow" / "why.json").write_text(text)
        with pytest.raises(OutputError, match=r"why\.json cannot be read"):
            read_traces(tmp_path, ["cow"])


def test_occlusion_clips_are_compared_after_reappearances(masked_photos: Path, tmp_path: Path) -> None:
    stills = StaticImages(masked_photos, only=held_out)
    clips = OcclusionClips(
        ObjectPool(stills, None),
        BackgroundPool(stills, None),
        OcclusionOptions(size=(64, 112), frames=(24, 24)),
    )
    write_occlusion_split(clips, tmp_path / "OCC", "occlusion", 1)
    torch.manual_seed(0)
    weights = tmp_path / "w.safetensors"
    save_weights(weights, DyeNetNetwork(SMALL), method="dyenet", variant="mobilenetv2")
    options = {"config": SMALL, "working_height": 64, "rho": 0.99}
    setup = setup_of(
        config_of(preset="fast", weights=weights, options=options),
        data=DatasetSplit("davis-2017", tmp_path / "OCC", "occlusion"),
        threads=1,
    )
    ablation = ablate(setup, tmp_path / "OUT", rows=["rounds-1"])
    assert ablation.measure == "G after"
    (once,) = ablation.results
    assert 0 <= once.ours["G after"] <= 1
    assert 0 <= once.ours["found again"] <= 1
    assert once.ours["G"] == pytest.approx((once.ours["J"] + once.ours["F"]) / 2)
    assert 1 <= len(once.rounds) <= 2
    change = ablation.change(once)
    assert change is not None
    assert (change.against, change.direction, change.verdict) == ("re-mp", 1, "")
    assert "| row | ours G after | ours G | ours J | ours F | ours ΔG after |" in ablation_markdown(ablation)
