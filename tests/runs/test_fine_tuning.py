"""Run folders of a method that fine-tunes: what is recorded, and that a resumed run does not tune again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_kit import run_json, run_to_folder

from tinct.errors import OutputError
from tinct.fine_tuning.per_object import ObjectWeights
from tinct.inference.callbacks import FineTuningProgress, report_fine_tuning
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.runs import segment_to_folder as predict
from tinct.runs.segment_to_folder import RunInterrupted

H, W, FRAMES = 8, 10, 9
INFO = {"method": "learner", "fine_tuning": "2 steps"}


@dataclass(frozen=True)
class Taught:
    object_ids: tuple[int, ...]
    weights: tuple[ObjectWeights, ...]


class Learner(StreamingSegmenter[Taught]):
    """Learns a level of brightness by chance, as a budget in seconds does: no two times the same."""

    def __init__(self) -> None:
        self.times = 0

    def start(self, frame: np.ndarray, labels: np.ndarray) -> Taught:
        self.times += 1
        ids = ObjectMasks.from_label_map(labels).object_ids
        for position, object_id in enumerate(ids):
            for step in (1, 2):
                report_fine_tuning(
                    FineTuningProgress(object_id, position, len(ids), step, 0.5, 0.25, step / 2, 2)
                )
            report_fine_tuning(
                FineTuningProgress(
                    object_id, position, len(ids), 2, 1.0, 0.25, 1.0, 2, finished=True, diverged=True
                )
            )
        return Taught(ids, tuple(ObjectWeights((torch.rand(1),)) for _ in ids))

    def step(
        self, state: Taught, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[Taught, ObjectMasks]:
        bright = frame[None, ..., 0] / np.float32(255)
        levels = np.array([float(w.tensors[0]) for w in state.weights], np.float32)[:, None, None]
        masks = ObjectMasks(state.object_ids, (bright > levels).astype(np.float32) / len(levels))
        return (state if labels is None else self.start(frame, labels)), masks


@pytest.fixture
def video() -> Video:
    draws = np.random.default_rng(0)
    return Video.from_arrays([draws.integers(0, 256, (H, W, 3), np.uint8) for _ in range(FRAMES)])


@pytest.fixture
def labels() -> np.ndarray:
    painted = np.zeros((H, W), np.uint8)
    painted[1:4, 1:4], painted[5:7, 5:9] = 2, 3
    return painted


def run(video: Video, labels: np.ndarray, out: Path, segmenter: Learner, **options: Any) -> dict[str, Any]:
    options = {"info": INFO, "overlay": False, **options}
    run_to_folder(segmenter, video, {0: labels}, out, **options)
    return run_json(out)


def test_the_record_says_what_tuning_took(video: Video, labels: np.ndarray, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    record = run(video, labels, tmp_path, Learner(), progress=lambda *call: calls.append(call))
    entry = {"frame": 0, "steps": 2, "seconds": 1.0, "diverged": True, "loss": 0.25}
    assert record["fine_tuned"] == [{**entry, "object_id": 2}, {**entry, "object_id": 3}]
    assert [call for call in calls if call[0] == "fine-tune"] == [
        ("fine-tune", done, 4) for done in (1, 2, 2, 3, 4, 4)
    ]
    assert record["run"]["fine_tuning"] == "2 steps"


def test_a_resumed_run_does_not_tune_again(video: Video, labels: np.ndarray, tmp_path: Path) -> None:
    def stop(stage: str, done: int, _of: int) -> None:
        if (stage, done) == ("segment", 5):
            raise KeyboardInterrupt

    learner = Learner()
    with pytest.raises(RunInterrupted):
        run(video, labels, tmp_path, learner, progress=stop)
    before = {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()}
    record = run(video, labels, tmp_path, learner, resume=True)
    assert learner.times == 1
    assert record["resumed_at"] == 5
    assert len(record["fine_tuned"]) == 2
    after = {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()}
    assert before.items() <= after.items()
    assert len(after) == FRAMES


def test_what_took_long_to_learn_survives_a_kill_before_the_first_state(
    video: Video, labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(stage: str, done: int, _of: int) -> None:
        if (stage, done) == ("segment", 3):
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    monkeypatch.setattr(predict, "WORTH_SAVING_S", 0.0)
    learner = Learner()
    run(video, labels, tmp_path / "whole", learner, progress=copy)
    record = run(video, labels, tmp_path / "killed", learner, resume=True)
    assert learner.times == 1
    assert record["resumed_at"] == 1
    assert len(record["fine_tuned"]) == 2
    for path in (tmp_path / "whole" / "masks").iterdir():
        assert (tmp_path / "killed" / "masks" / path.name).read_bytes() == path.read_bytes()


def test_what_was_learnt_again_is_recorded_once(video: Video, labels: np.ndarray, tmp_path: Path) -> None:
    def copy(stage: str, done: int, _of: int) -> None:
        if (stage, done) == ("segment", 3):
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    learner = Learner()
    run(video, labels, tmp_path / "whole", learner, progress=copy)
    record = run(video, labels, tmp_path / "killed", learner, resume=True)
    assert (learner.times, record["resumed_at"], len(record["fine_tuned"])) == (2, 0, 2)


def test_another_budget_is_another_run(video: Video, labels: np.ndarray, tmp_path: Path) -> None:
    run(video, labels, tmp_path, Learner())
    other = {**INFO, "fine_tuning": "60 s"}
    with pytest.raises(OutputError, match=r'another run \(fine_tuning: "2 steps" there, "60 s" now\)'):
        run(video, labels, tmp_path, Learner(), info=other, resume=True)
