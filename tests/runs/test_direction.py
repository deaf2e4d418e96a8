"""Run folders of backward runs and of runs both ways, and what they say of how sure the masks are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_kit import Drift, DriftState
from run_kit import mask_bytes, noise_video, run_json, run_to_folder, stop_at

from tinct.errors import OptionError, OutputError
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.callbacks import FineTuningProgress, report_fine_tuning
from tinct.inference.confidence import frame_confidence
from tinct.inference.segmenter import check_prompts, frame_results
from tinct.io.video import Video
from tinct.runs import segment_to_folder as predict
from tinct.runs.segment_to_folder import RunInterrupted, RunReport

H, W, FRAMES = 13, 18, 12


class TunedDrift(Drift):
    """Says that it learnt the first painted frame in a step."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> DriftState:
        report_fine_tuning(
            FineTuningProgress(1, 0, 1, steps=1, seconds=0.0, loss=0.5, share=1.0, units=1, finished=True)
        )
        return super().start(frame, labels)


@pytest.fixture(autouse=True)
def _frequent_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "FRAMES_BETWEEN_STATES", 4)


@pytest.fixture
def video() -> Video:
    return noise_video(FRAMES, (H, W))


@pytest.fixture
def prompts() -> dict[int, np.ndarray]:
    found = {}
    for index, left in ((4, 2), (10, 5)):
        found[index] = np.zeros((H, W), np.uint8)
        found[index][2:7, left : left + 6] = 1
    return found


def run(video: Video, prompts: Mapping[int, np.ndarray], out: Path, **options: Any) -> RunReport:
    options = {"overlay": False, "backward": True, **options}
    return run_to_folder(options.pop("segmenter", TunedDrift()), video, prompts, out, **options)


def test_a_backward_run_is_a_forward_run_on_the_frames_turned_round(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path / "back", overlay=True)
    turned = Video.from_arrays(list(video)[::-1], names=tuple(video.names)[::-1])
    mirrored = {FRAMES - 1 - index: labels for index, labels in prompts.items()}
    run(turned, mirrored, tmp_path / "forth", backward=False)
    assert mask_bytes(tmp_path / "back") == mask_bytes(tmp_path / "forth")
    record = run_json(tmp_path / "back")
    assert record["run"]["direction"] == "backward"
    assert [entry["frame"] for entry in record["fine_tuned"]] == [10]
    assert len(Video.open(tmp_path / "back" / "overlay.mp4")) == FRAMES


@pytest.mark.parametrize("frames", [0, 2, 3, 7, 12])
def test_an_interrupted_backward_run_goes_on_to_the_same_bytes(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, frames: int
) -> None:
    run(video, prompts, tmp_path / "whole")
    with pytest.raises(RunInterrupted, match=rf"{frames} of 12 masks are whole"):
        run(video, prompts, tmp_path / "cut", progress=stop_at(frames))
    assert run(video, prompts, tmp_path / "cut", resume=True).resumed_at == (frames if frames > 1 else 0)
    assert mask_bytes(tmp_path / "cut") == mask_bytes(tmp_path / "whole")
    for key in ("confidence", "object_ids"):
        assert run_json(tmp_path / "cut")[key] == run_json(tmp_path / "whole")[key]
    assert [entry["frame"] for entry in run_json(tmp_path / "cut")["fine_tuned"]] == [10]


def test_a_killed_backward_run_repeats_only_the_frames_since_its_last_state(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    def copy(stage: str, done: int, of: int) -> None:
        if done == 7:
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    run(video, prompts, tmp_path / "whole", progress=copy)
    assert run(video, prompts, tmp_path / "killed", resume=True).resumed_at == 4
    assert mask_bytes(tmp_path / "killed") == mask_bytes(tmp_path / "whole")
    assert run_json(tmp_path / "killed")["confidence"] == run_json(tmp_path / "whole")["confidence"]


def test_another_direction_is_another_run(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path)
    with pytest.raises(OutputError, match='direction: "backward" there, null now'):
        run(video, prompts, tmp_path, backward=False, resume=True)


def test_a_segmenter_of_whole_videos_has_no_direction(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="sees whole videos"):
        run(video, prompts, tmp_path / "out", segmenter=Bidirectional(TunedDrift()))
    assert not (tmp_path / "out").exists()


def test_the_record_says_how_sure_every_frame_is(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path)
    expected = {
        result.index: frame_confidence(result.masks)
        for result in frame_results(TunedDrift(), video, check_prompts(video, prompts), range(FRAMES)[::-1])
    }
    confidence = run_json(tmp_path)["confidence"]
    assert confidence["margin"] == [pytest.approx(expected[index], abs=1e-4) for index in range(FRAMES)]
    assert confidence["margin"][11] == 1.0
    assert min(confidence["margin"]) < 0.9
    assert confidence["most_helpful_frame"] not in {4, 10, 11, None}
    assert "agreement" not in confidence
    # One line for all numbers: the file is read by people too.
    (line,) = [line for line in (tmp_path / "run.json").read_text().splitlines() if '"margin"' in line]
    assert line.rstrip(",").endswith("]")


def test_frames_that_are_not_there_yet_have_no_confidence(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(RunInterrupted):
        run(video, prompts, tmp_path, progress=stop_at(3))
    margins = run_json(tmp_path)["confidence"]["margin"]
    assert [index for index, margin in enumerate(margins) if margin is not None] == [9, 10, 11]
    (line,) = [line for line in (tmp_path / "run.json").read_text().splitlines() if '"margin"' in line]
    assert line.count("null") == 9


def test_a_run_both_ways_says_how_well_its_runs_agree(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path, segmenter=Bidirectional(TunedDrift()), backward=False)
    confidence = run_json(tmp_path)["confidence"]
    agreed = {
        i: value for i, _, value in Bidirectional(TunedDrift()).compared(video, prompts) if value is not None
    }
    assert list(agreed) == [5, 6, 7, 8, 9]
    assert confidence["agreement"] == {str(i): pytest.approx(agreed[i], abs=1e-4) for i in agreed}
