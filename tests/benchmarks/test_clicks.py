"""The click benchmark: counts of clicks, and a table from tiny data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from bench_kit import load_benchmark

from tinct.inference.promptable import FramePrompt, PromptableSegmenter
from tinct.io.masks import ObjectMasks


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_benchmark("clicks")


class Columns(PromptableSegmenter):
    """Knows the truth, and shows ten columns of it per click."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth

    def propose(self, frame: np.ndarray, prompt: FramePrompt) -> ObjectMasks:
        shown = self.truth.copy()
        shown[:, 10 * len(prompt.objects[1].points) :] = False
        return ObjectMasks((1,), shown[None].astype(np.float32))


@pytest.mark.parametrize("protocol", ["worst", "random"])
def test_clicks_are_counted_until_the_goal(bench: ModuleType, protocol: str) -> None:
    truth = np.zeros((8, 120), bool)
    truth[2:6, :100] = True
    decided = np.ones_like(truth)
    target = bench.Target("x", np.zeros((8, 120, 3), np.uint8), truth, decided)
    row = bench.measure("photos", "columns", protocol, Columns(truth), [target])
    assert row.noc == {"0.85": 9, "0.90": 9}  # 10 columns a click
    assert row.never == {"0.85": 0, "0.90": 0}
    np.testing.assert_allclose(row.after[:10], [*np.arange(1, 10) / 10, 0.9])
    far = bench.Target("y", target.frame, np.ones_like(truth), decided)  # half of it never comes
    row = bench.measure("photos", "columns", protocol, Columns(truth), [target, far])
    assert row.noc == {"0.85": (9 + 20) / 2, "0.90": (9 + 20) / 2}
    assert row.never == {"0.85": 0.5, "0.90": 0.5}


def test_a_table_of_grabcut_on_photos(
    bench: ModuleType, masked_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "clicks.json"
    words = ["--stills", masked_photos, "--photos", "2", "--rows", "grabcut", "--threads", "1", "--json", out]
    monkeypatch.setattr(sys, "argv", ["clicks.py", *map(str, words)])
    bench.main()
    rows = json.loads(out.read_text())["rows"]
    assert [row["protocol"] for row in rows] == ["worst", "random", "box"]
    assert all(row["count"] >= 1 for row in rows)
    assert "NoC@85" in capsys.readouterr().out
