from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.inference.directions import Direction
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.project_file import ProjectFile
from tinct.web.run_log import FramePass, RunLog, plan_passes


@given(
    frames=st.integers(1, 12),
    start=st.integers(0, 11),
    direction=st.sampled_from(get_args(Direction)),
    prompts=st.sets(st.integers(0, 11), min_size=1),
    streams=st.booleans(),
    stretch=st.tuples(st.integers(0, 11), st.integers(0, 11)),
)
def test_a_plan_computes_each_frame_that_was_asked_for_once(
    frames: int,
    start: int,
    direction: Direction,
    prompts: set[int],
    streams: bool,
    stretch: tuple[int, int],
) -> None:
    start, painted = min(start, frames - 1), sorted({min(i, frames - 1) for i in prompts})
    first, last = sorted(min(i, frames - 1) for i in stretch)
    passes = plan_passes(start, direction, range(first, last + 1), painted, streams=streams)
    found = [index for frame_pass in passes for index in frame_pass.frames]
    start = min(max(start, first), last)
    stop = last + 1
    wanted = {
        "forward": range(start, stop),
        "backward": range(first, start + 1),
        "both": range(first, stop),
    }[direction]
    assert sorted(found) == list(wanted)


def test_both_ways_shows_masks_at_once_where_one_frame_is_painted() -> None:
    assert plan_passes(2, "both", range(9), [4], streams=True) == (
        FramePass(4, 8, "forward"),
        FramePass(3, 0, "backward"),
    )
    assert plan_passes(2, "both", range(9), [0], streams=True) == (FramePass(0, 8, "forward"),)
    assert plan_passes(2, "both", range(9), [0, 4], streams=True) == (FramePass(0, 8, "both"),)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ProjectFile]:
    file = ProjectFile(tmp_path / "a.tinct", create=True)
    yield file
    file.close()


def test_what_remains_of_a_run_and_what_its_masks_know(file: ProjectFile) -> None:
    passes = plan_passes(4, "both", range(9), [4], streams=True)
    plan = RunLog(file).begin(5, 4, "both", passes, SegmenterConfig("osvos"))
    assert plan.remaining_passes({4, 5, 6}) == (FramePass(7, 8, "forward"), FramePass(3, 0, "backward"))
    assert plan.remaining_passes({*range(4, 9), 3, 2}) == (FramePass(1, 0, "backward"),)
    assert plan.remaining_passes(set(range(9))) == ()
    assert [plan.direction_at(i) for i in (0, 3, 4, 8)] == ["backward", "backward", "forward", "forward"]


def test_runs_are_found_again_with_what_became_of_them(file: ProjectFile) -> None:
    log = RunLog(file)
    assert log.latest is None
    tuned = SegmenterConfig("osvos", preset="fast", fine_tune="60s")
    first = log.begin(1, 0, "forward", (FramePass(0, 8, "forward"),), tuned)
    log.end(first.number, "paused")
    second = log.begin(2, 4, "forward", (FramePass(4, 8, "forward"),), SegmenterConfig(), first.number)
    again = RunLog(file)
    assert again.plans == {1: first, 2: second}
    assert again.plans[1].config == tuned
    assert again.latest == second
    assert again.end_of(1) == ("paused", "")
    assert again.end_of(2) is None
    assert list(again.family(1)) == [1, 2]
