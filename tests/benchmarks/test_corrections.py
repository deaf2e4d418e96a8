"""The benchmark of corrections: its masks, what a gain is, and the whole of it on tiny clips."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from bench_kit import load_benchmark

from tinct.errors import OptionError
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks
from tinct.metrics.region import region_similarity


class Still(StreamingSegmenter[ObjectMasks]):
    """Gives what was annotated last."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> ObjectMasks:
        return ObjectMasks.from_label_map(labels)

    def step(
        self, state: ObjectMasks, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[ObjectMasks, ObjectMasks]:
        return state, state


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_benchmark("corrections")


def disc(radius_px: int) -> np.ndarray:
    return cv2.circle(np.zeros((120, 160), np.uint8), (80, 60), radius_px, 1, -1)


@pytest.mark.parametrize("radius_px", [8, 20, 45])
def test_a_rough_mask_is_wrong_by_a_share_of_the_objects_size(bench: ModuleType, radius_px: int) -> None:
    truth = disc(radius_px)
    overlaps = [region_similarity(bench.rough_mask(truth, seed) > 0, truth > 0) for seed in range(8)]
    assert 0.5 < min(overlaps) < max(overlaps) < 0.95
    np.testing.assert_array_equal(bench.rough_mask(truth, 3), bench.rough_mask(truth, 3))


def test_a_box_mask_is_the_filled_box(bench: ModuleType) -> None:
    box = bench.box_mask(disc(20))
    assert box.sum() == 41 * 41
    assert box[40:81, 60:101].all()


def test_a_gain_is_of_the_frames_that_nobody_annotated(bench: ModuleType) -> None:
    rounds = [
        bench.Round((0,), (0.1, 0.8, 0.2, 0.6)),
        bench.Round((0, 2), (0.1, 0.9, 1.0, 0.7)),
        bench.Round((0, 1, 2), (0.1, 1.0, 1.0, 0.6)),
    ]
    assert bench.gain(rounds, 1) == pytest.approx(0.1)
    assert bench.gain(rounds, 3) == pytest.approx(0.0)  # no more rounds than there are
    assert bench.step_gains({"a": rounds}) == pytest.approx([0.1, -0.1])
    text = bench.table({"rough worst": {"a": rounds, "b": rounds}})
    assert "| rough worst | 0.533 | +100 (+100 to +100) | +0 (+0 to +0) |" in text
    assert "2 of 4 | 2 of 2: a, b |" in text
    row = bench.differences({"rough worst": {"a": rounds}}, {"rough worst": {"a": rounds}}).splitlines()[-1]
    assert row == "| rough worst |" + " +0 (+0 to +0) |" * 4


def test_files_or_ways_that_are_not_there_are_refused(bench: ModuleType) -> None:
    for words in ([], ["--root", "r", "--out", "o", "--first", "circle"]):
        with pytest.raises(OptionError, match=r"Give --root|'circle' came"):
            bench.arguments(words)


def test_the_whole_benchmark(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_davis(tmp_path / "DAVIS")
    monkeypatch.setattr(bench, "build_segmenter", lambda *_, **__: Still())
    words = ["--root", str(tmp_path / "DAVIS"), "--every", "1", "--rounds", "2", "--first", "rough"]
    words += ["--each-frame", "--out", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["corrections.py", *words])
    assert bench.main() == 0
    printed = capsys.readouterr().out
    assert "| rough proposed |" in printed
    assert "rough: the proposed frame gains" in printed
    content = json.loads((tmp_path / "found.json").read_text())
    rounds = content["tracks"]["rough worst"]["moves"]
    assert [len(each["annotated"]) for each in rounds] == [1, 2, 3]
    worst = min(range(1, 6), key=rounds[0]["j"].__getitem__)
    assert rounds[1]["annotated"] == [0, worst]
    assert rounds[1]["j"][worst] == 1.0
    each = bench.read_each_frame(tmp_path / "found.json")["rough"]["moves"]
    assert list(each.gains) == [1, 2, 3, 4, 5]
    assert max(each.gains.values()) > 0.1
    tracks = bench.read_tracks(tmp_path / "found.json")
    assert each.gains[worst] == pytest.approx(bench.gain(tracks["rough worst"]["moves"], 1))
    monkeypatch.setattr(sys, "argv", ["corrections.py", "--compare", *[str(tmp_path / "found.json")] * 2])
    assert bench.main() == 0
    assert "| rough worst | +0 (+0 to +0) |" in capsys.readouterr().out


def test_each_folds_weights_are_asked_of_what_they_left_out(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_davis(tmp_path / "DAVIS")
    for fold in ("fold0", "fold1", "fold2"):
        (tmp_path / f"DAVIS/ImageSets/2016/{fold}-dev.txt").write_text("moves\n")
    asked: list[Path] = []

    def build(method: str, variant: None, preset: str, weights: Path, *_: Any, **__: Any) -> Still:
        asked.append(weights)
        return Still()

    monkeypatch.setattr(bench, "build_segmenter", build)
    words = ["--root", str(tmp_path / "DAVIS"), "--rounds", "1", "--first", "box", "--choose", "worst"]
    words += ["--folds", str(tmp_path / "cv"), "--out", str(tmp_path / "found.json")]
    monkeypatch.setattr(sys, "argv", ["corrections.py", *words])
    assert bench.main() == 0
    assert asked == [tmp_path / "cv" / f"fold{k}" / "video.safetensors" for k in range(3)]


def write_davis(root: Path) -> None:
    """A clip of six frames, in which a square moves to the right, in the layout of DAVIS-2016."""
    for folder in ("JPEGImages/480p/moves", "Annotations/480p/moves", "ImageSets/2016"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets/2016/train.txt").write_text("moves\n")
    for index in range(6):
        truth = np.zeros((24, 32), np.uint8)
        truth[8:16, 4 + 3 * index : 12 + 3 * index] = 255
        cv2.imwrite(str(root / f"Annotations/480p/moves/{index:05}.png"), truth)
        cv2.imwrite(str(root / f"JPEGImages/480p/moves/{index:05}.jpg"), np.dstack([truth // 2 + 60] * 3))
