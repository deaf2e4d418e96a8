"""Every single write of an evaluation that can fail, fails once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_kit import Drift
from failing_kit import DISK_CALLS, every_failure
from PIL import Image

from tinct import zoo
from tinct.evaluation.dataset_split import DatasetSplit
from tinct.evaluation.evaluate import evaluate
from tinct.evaluation.results import read_scores
from tinct.io.mask_files import write_mask
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.zoo.build import LocatedWeights

FAST = ("replace", "write_text")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetSplit:
    """Two sequences of three frames; every segmenter is a stub."""
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: LocatedWeights(Path("w"), "ab" * 32))
    monkeypatch.setattr(SegmenterConfig, "build", lambda self, *_, **__: Drift())
    draws = np.random.default_rng(0)
    for name in ("ant", "bee"):
        for kind in ("frames", "masks"):
            (tmp_path / "data" / kind / name).mkdir(parents=True)
        for index in range(3):
            labels = np.zeros((9, 12), np.uint8)
            labels[2:6, 2 + index : 6 + index] = 1
            frame = Image.fromarray(draws.integers(0, 256, (9, 12, 3), np.uint8))
            frame.save(tmp_path / "data" / "frames" / name / f"{index:05d}.png")
            write_mask(tmp_path / "data" / "masks" / name / f"{index:05d}.png", labels)
    return DatasetSplit("plain", tmp_path / "data")


def evaluated(data: DatasetSplit, out: Path) -> tuple[dict[str, bytes], Any]:
    evaluate(data, SegmenterConfig("feelvos", device="cpu"), out)
    masks = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("masks/*.png"))}
    scores = read_scores(out / "scores.json").to_json(per_frame=True)
    return masks, {name: value for name, value in scores.items() if name != "run"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in DISK_CALLS]
)
def test_a_disk_that_fails_once_costs_nothing_but_time(name: str, data: DatasetSplit, tmp_path: Path) -> None:
    undisturbed = evaluated(data, tmp_path / "undisturbed")
    for failing in every_failure(DISK_CALLS[name]):
        out = tmp_path / str(failing.n)
        raised = failing.during(lambda: evaluated(data, out))  # noqa: B023 - called at once
        if raised is None:
            assert not failing.failed or name == "unlink"
        else:
            assert "No space left on device" in str(raised)
            assert not (out / "scores.json").exists()
        # What is there when the disk is full is right.
        for path in out.rglob("masks/[!.]*.png"):
            assert path.read_bytes() == undisturbed[0][str(path.relative_to(out))]
        assert evaluated(data, out) == undisturbed
