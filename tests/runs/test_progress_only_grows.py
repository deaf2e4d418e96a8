from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_kit import Drift
from run_kit import run_json, run_to_folder

from tinct.inference.segmenter import VideoSegmenter
from tinct.inference.state_files import read_extra
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.runs import segment_to_folder as runs
from tinct.runs.segment_to_folder import RunInterrupted, RunReport

H, W, FRAMES = 8, 10, 30


class Steady(VideoSegmenter):
    def segment(self, video: Video, prompts: Mapping[int, np.ndarray]) -> Iterator[tuple[int, ObjectMasks]]:
        for index, _ in enumerate(video):
            yield index, ObjectMasks.from_label_map(prompts[min(prompts)])


@pytest.fixture(scope="module")
def video() -> Video:
    draws = np.random.default_rng(0)
    return Video.from_arrays([draws.integers(0, 256, (H, W, 3), np.uint8) for _ in range(FRAMES)])


def run(segmenter: Any, video: Video, out: Path, stop_at: int | None = None, **options: Any) -> RunReport:
    labels = np.zeros((H, W), np.uint8)
    labels[2:6, 2:6] = 1

    def progress(stage: str, done: int, of: int) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    info = {"video": "clip"}
    return run_to_folder(
        segmenter,
        video,
        {0: labels},
        out,
        info=info,
        overlay=False,
        progress=progress,
        resume=True,
        **options,
    )


def stopped(segmenter: Any, video: Video, out: Path, frames: int) -> str:
    with pytest.raises(RunInterrupted) as got:
        run(segmenter, video, out, stop_at=frames)
    return str(got.value)


def margins(out: Path) -> list[float | None]:
    found: list[float | None] = run_json(out)["confidence"]["margin"]
    return found


@pytest.mark.parametrize("segmenter", [Drift(), Steady()])
@pytest.mark.parametrize("when", ["in the preparation", "while the masks are looked at", "at once"])
def test_a_complete_run_that_is_resumed_and_stopped_stays_complete(
    segmenter: Any, when: str, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(segmenter, video, tmp_path)
    before = margins(tmp_path)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patches:
        if when == "in the preparation":
            patches.setattr(runs, "_segment", interrupt)
        if when == "while the masks are looked at":
            patches.setattr(runs, "whole_masks", interrupt)
        assert "30 of 30 masks are whole" in stopped(segmenter, video, tmp_path, FRAMES)
    assert (run_json(tmp_path)["status"], run_json(tmp_path)["frames_done"]) == ("interrupted", FRAMES)
    assert run(segmenter, video, tmp_path).resumed_at == FRAMES
    assert margins(tmp_path) == before
    assert run_json(tmp_path)["object_ids"] == [1]


@pytest.mark.parametrize("segmenter", [Drift(), Steady()])
def test_without_its_state_a_run_that_begins_again_still_counts_what_is_whole(
    segmenter: Any, video: Video, tmp_path: Path
) -> None:
    assert "20 of 30" in stopped(segmenter, video, tmp_path, 20)
    (tmp_path / "state.safetensors").unlink(missing_ok=True)
    for frames in (0, 7):
        assert "20 of 30 masks are whole" in stopped(segmenter, video, tmp_path, frames)
        assert run_json(tmp_path)["frames_done"] == 20
        assert None not in margins(tmp_path)[:20]


def test_one_broken_mask_is_all_that_is_not_counted(video: Video, tmp_path: Path) -> None:
    stopped(Drift(), video, tmp_path, 20)
    (tmp_path / "masks" / "00002.png").write_bytes(b"")
    assert "19 of 30" in stopped(Drift(), video, tmp_path, 0)
    assert "20 of 30" in stopped(Drift(), video, tmp_path, 4)
    # The state of frame 20 was kept, so that nothing from 4 on is done again.
    assert run(Drift(), video, tmp_path).resumed_at == 20


def test_all_masks_of_a_killed_run_are_no_complete_one(video: Video, tmp_path: Path) -> None:
    run(Drift(), video, tmp_path)
    content = run_json(tmp_path)
    content |= {"status": "running", "frames_done": 0}
    del content["confidence"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert "30 of 30" in stopped(Drift(), video, tmp_path, 0)
    assert run(Drift(), video, tmp_path).resumed_at == 0
    assert None not in margins(tmp_path)


class Slow(Drift):
    """Takes its time, by a clock of its own."""

    def __init__(self, seconds_per_frame: float) -> None:
        self.seconds_per_frame, self.now_s = seconds_per_frame, 0.0

    def step(self, *arguments: Any) -> Any:
        self.now_s += self.seconds_per_frame
        return super().step(*arguments)


@pytest.mark.parametrize(
    ("seconds_per_frame", "saving_s", "expected"),
    [
        (0.01, 0.0, [25]),
        (0.5, 0.0, [5, 9, 13, 17, 21, 25, 29]),
        (5.0, 0.0, list(range(2, 31))),
        # Half a second of saving every five seconds, and no more.
        (1.0, 0.5, [3, 8, 13, 18, 23, 25, 30]),
    ],
)
def test_states_come_by_frames_and_by_seconds(
    seconds_per_frame: float,
    saving_s: float,
    expected: list[int],
    video: Video,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter, saved = Slow(seconds_per_frame), []

    def save_state(path: Path, state: Any, extra: Any) -> None:
        segmenter.now_s += saving_s
        saved.append(extra["frames"])

    monkeypatch.setattr(runs, "clock", lambda: segmenter.now_s)
    monkeypatch.setattr(runs, "save_state", save_state)
    run(segmenter, video, tmp_path)
    assert saved == expected


def test_a_run_killed_every_few_seconds_gets_on(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Leaves no time for anything."""

    monkeypatch.setattr(runs, "_stop", lambda *_: "")
    reached = []
    for _ in range(30):
        segmenter = Slow(1.0)
        monkeypatch.setattr(runs, "clock", lambda of=segmenter: of.now_s)

        def progress(stage: str, done: int, of: int, of_whom: Slow = segmenter) -> None:
            if of_whom.now_s > 4:
                raise Killed

        labels = np.ones((H, W), np.uint8)
        try:
            run_to_folder(
                segmenter, video, {0: labels}, tmp_path, overlay=False, resume=True, progress=progress
            )
            break
        except Killed:
            reached.append(int(read_extra(tmp_path / "state.safetensors")["frames"]))
    assert len(reached) < 15
    assert reached == sorted(set(reached))
    assert run_json(tmp_path)["status"] == "complete"
