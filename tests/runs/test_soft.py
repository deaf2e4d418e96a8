"""Soft masks beside the hard ones: kept on request, and as safe as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_kit import run_json, run_to_folder, stop_at

from tinct.errors import OutputError
from tinct.inference.segmenter import StreamingSegmenter, segment_video
from tinct.io.masks import ObjectMasks
from tinct.io.soft_masks import read_soft, soft_objects
from tinct.io.video import Video
from tinct.runs import segment_to_folder as predict
from tinct.runs.segment_to_folder import RunInterrupted, RunReport

H, W, FRAMES = 9, 14, 10


@dataclass(frozen=True)
class SpreadState:
    object_ids: tuple[int, ...]
    probs: torch.Tensor


class Spread(StreamingSegmenter[SpreadState]):
    """Probabilities that move and fade with every frame; new objects join."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> SpreadState:
        masks = ObjectMasks.from_label_map(labels)
        return SpreadState(masks.object_ids, torch.from_numpy(masks.probs))

    def step(
        self, state: SpreadState, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[SpreadState, ObjectMasks]:
        probs = (0.93 * state.probs.roll(1, dims=2)).clamp(0, 0.49)
        masks = ObjectMasks(state.object_ids, probs.numpy())
        if labels is not None:
            masks = masks.corrected(labels)
        return SpreadState(masks.object_ids, torch.from_numpy(masks.probs)), masks


@pytest.fixture(autouse=True)
def _frequent_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "FRAMES_BETWEEN_STATES", 3)


@pytest.fixture
def video() -> Video:
    return Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(FRAMES)])


@pytest.fixture
def prompts() -> dict[int, np.ndarray]:
    first, later = np.zeros((2, H, W), np.uint8)
    first[1:4, 1:6] = 2
    later[5:8, 3:9] = 9
    return {1: first, 4: later}


def run(video: Video, prompts: dict[int, np.ndarray], out: Path, **options: Any) -> RunReport:
    return run_to_folder(Spread(), video, prompts, out, overlay=False, **{"soft": True, **options})


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for folder in ("masks", "soft")
        for path in sorted((out / folder).rglob("*.png"))
    }


def test_every_object_has_its_probabilities_from_its_first_frame_on(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path)
    for index, masks in segment_video(Spread(), video, prompts):
        name = f"{index:05d}"
        assert soft_objects(tmp_path / "soft", name) == ([] if index < 1 else [2] if index < 4 else [2, 9])
        kept = read_soft(tmp_path / "soft", name, masks.object_ids, (H, W))
        np.testing.assert_allclose(kept.probs, masks.probs, rtol=0, atol=0.505 / 65535)
    record = run_json(tmp_path)
    assert record["run"]["soft"] is True


def test_a_run_without_them_is_as_it_was(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path, soft=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "run.json"]
    assert "soft" not in run_json(tmp_path)["run"]


@pytest.mark.parametrize("frames", [2, 4, 5, 8, 10])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, frames: int
) -> None:
    run(video, prompts, tmp_path / "whole")
    with pytest.raises(RunInterrupted):
        run(video, prompts, tmp_path / "cut", progress=stop_at(frames))
    assert run(video, prompts, tmp_path / "cut", resume=True).resumed_at == frames
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_a_killed_run_goes_on_from_its_last_state(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    import shutil

    def copy(stage: str, done: int, of: int) -> None:
        if done == 8:
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    run(video, prompts, tmp_path / "whole", progress=copy)
    assert run(video, prompts, tmp_path / "killed", resume=True).resumed_at == 6
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


@pytest.mark.parametrize("lost", ["soft/2/00003.png", "soft/9/00006.png"])
@pytest.mark.parametrize("how", ["removed", "truncated"])
def test_a_lost_soft_mask_is_made_again(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, lost: str, how: str
) -> None:
    run(video, prompts, tmp_path)
    before = files(tmp_path)
    path = tmp_path / lost
    path.write_bytes(path.read_bytes()[:30])
    if how == "removed":
        path.unlink()
    assert run(video, prompts, tmp_path, resume=True).resumed_at == 0
    assert files(tmp_path) == before


def test_a_run_without_them_is_another_run(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path, soft=False)
    with pytest.raises(OutputError, match=r"another run \(soft: null there, true now\)"):
        run(video, prompts, tmp_path, resume=True)


def test_notes_do_not_make_another_run(video: Video, prompts: dict[int, np.ndarray], tmp_path: Path) -> None:
    run(video, prompts, tmp_path, notes={"object_names": {"2": "dog"}})
    report = run(video, prompts, tmp_path, resume=True, notes={"object_names": {"2": "cat"}})
    assert report.resumed_at == FRAMES
    record = run_json(tmp_path)
    assert record["object_names"] == {"2": "cat"}
    assert record["status"] == "complete"
