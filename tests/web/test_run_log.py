from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from tinct.inference.directions import Direction
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.run_log import FramePass, RunLog, plan_passes


@given(
    frames=st.integers(1, 12),
    start=st.integers(0, 11),
    direction=st.sampled_from(get_args(Direction)),
    prompts=st.sets(st.integers(0, 11), min_size=1),
    streams=st.booleans(),
)
def test_a_plan_computes_each_frame_that_was_asked_for_once(
    frames: int, start: int, direction: Direction, prompts: set[int], streams: bool
) -> None:
    start, painted = min(start, frames - 1), sorted({min(i, frames - 1) for i in prompts})
    passes = plan_passes(start, direction, frames, painted, streams=streams)
    found = [index for frame_pass in passes for index in frame_pass.frames]
    wanted = {"forward": range(start, frames), "backward": range(start + 1), "both": range(frames)}[direction]
    assert sorted(found) == list(wanted)


def test_both_ways_shows_masks_at_once_where_one_frame_is_painted() -> None:
    assert plan_passes(2, "both", 9, [4], streams=True) == (
        FramePass(4, 8, "forward"),
        FramePass(3, 0, "backward"),
    )
    assert plan_passes(2, "both", 9, [0], streams=True) == (FramePass(0, 8, "forward"),)
    assert plan_passes(2, "both", 9, [0, 4], streams=True) == (FramePass(0, 8, "both"),)


def test_what_remains_of_a_run_and_what_its_masks_know(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs")
    plan = log.begin(5, 4, "both", plan_passes(4, "both", 9, [4], streams=True), SegmenterConfig("osvos"))
    assert plan.remaining_passes({4, 5, 6}) == (FramePass(7, 8, "forward"), FramePass(3, 0, "backward"))
    assert plan.remaining_passes({*range(4, 9), 3, 2}) == (FramePass(1, 0, "backward"),)
    assert plan.remaining_passes(set(range(9))) == ()
    assert [plan.direction_at(i) for i in (0, 3, 4, 8)] == ["backward", "backward", "forward", "forward"]


def test_runs_are_found_again_with_what_became_of_them(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs")
    assert log.latest is None
    tuned = SegmenterConfig("osvos", preset="fast", fine_tune="60s")
    first = log.begin(1, 0, "forward", (FramePass(0, 8, "forward"),), tuned)
    log.end(first.number, "paused")
    second = log.begin(2, 4, "forward", (FramePass(4, 8, "forward"),), SegmenterConfig(), first.number)
    again = RunLog(tmp_path / "runs")
    assert again.plans == {1: first, 2: second}
    assert again.plans[1].config == tuned
    assert again.latest == second
    assert again.end_of(1) == ("paused", "")
    assert again.end_of(2) is None
    assert list(again.family(1)) == [1, 2]


def test_the_entry_of_a_run_on_disk(tmp_path: Path) -> None:
    config = SegmenterConfig("osvos", preset="fast", fine_tune="60s")
    RunLog(tmp_path / "runs").begin(5, 4, "forward", (FramePass(4, 8, "forward"),), config)
    assert json.loads((tmp_path / "runs").read_text().splitlines()[-1])["run"] == {
        "number": 1, "root": 1, "state": 5, "start": 4, "direction": "forward",
        "legs": [{"first": 4, "last": 8, "direction": "forward"}],
        "settings": {"method": "osvos", "preset": "fast", "fine_tune": "60s"},
    }  # fmt: skip
