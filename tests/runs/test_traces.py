from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinct.errors import OptionError, OutputError
from tinct.runs.trace_plot import kind_of, refused_stretches
from tinct.runs.traces import write_explanation


def point(frame: int, object_id: int, outcome: str, **changes: Any) -> dict[str, Any]:
    plain = {"round": 1, "similarity": 0.8, "painted": False, "doubtful": False, "tracklet": None}
    return {**plain, "frame": frame, "object_id": object_id, "outcome": outcome, **changes}


@pytest.fixture
def trace() -> dict[str, Any]:
    tracklets = [
        {"tracklet": 0, "object_id": 3, "round": 0, "start": 0, "first": 0, "last": 5},
        {"tracklet": 1, "object_id": 3, "round": 1, "start": 9, "first": 4, "last": 11},
        {"tracklet": 2, "object_id": 7, "round": 1, "start": 6, "first": 6, "last": 8},
    ]
    links = [
        {"tracklet": 0, "outcome": "linked", "first": 0, "last": 5},
        {"tracklet": 1, "outcome": "cut", "first": 6, "last": 10},
        {"tracklet": 2, "outcome": "refused", "first": None, "last": None},
    ]
    return {
        "format": "tinct-explanation-1",
        "frames": [f"{t:05d}" for t in range(12)],
        "object_ids": [3, 7],
        "rho": 0.7,
        "rounds": [
            {"round": 0, "templates": {"3": 1, "7": 1}, "masks_share": 0.3},
            {"round": 1, "templates": {"3": 2, "7": 1}, "masks_share": 0.5},
        ],
        "starting_points": [
            point(0, 3, "propagated", painted=True, round=0, similarity=1.0),
            point(9, 3, "propagated", tracklet=1),
            point(3, 3, "its mask was known already"),
            point(6, 7, "refused", doubtful=True),
            point(7, 7, "the mask network saw nothing in its box"),
        ],
        "tracklets": tracklets,
        "links": links,
        "tubes": {
            "3": [{"first": 0, "last": 5, "tracklet": 0}, {"first": 6, "last": 10, "tracklet": 1}],
            "7": [],
        },
        "without_proposals": [],
        "remarks": [],
    }


def test_every_kind_of_starting_point_has_its_mark(trace: dict[str, Any]) -> None:
    assert [kind_of(p) for p in trace["starting_points"]] == [
        "painted",
        "propagated",
        "known",
        "refused",
        "refused",
    ]


def test_what_was_refused_or_cut_is_shown(trace: dict[str, Any]) -> None:
    assert refused_stretches(trace) == [(3, 4, 5), (3, 11, 11), (7, 6, 8)]


def test_a_picture_is_drawn_and_the_data_is_whole(trace: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "why.json"):
        write_explanation(trace, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert json.loads((tmp_path / "why.json").read_text()) == trace


def test_a_trace_of_nothing_found_is_drawn(trace: dict[str, Any], tmp_path: Path) -> None:
    empty = {**trace, "starting_points": [], "links": [], "tubes": {"3": [], "7": []}, "rounds": []}
    write_explanation(empty, tmp_path / "why.png")
    assert (tmp_path / "why.png").exists()


def test_where_it_cannot_be_written_is_told(trace: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"FILE\.png"):
        write_explanation(trace, tmp_path / "why.svg")
    with pytest.raises(OutputError, match="nowhere"):
        write_explanation(trace, tmp_path / "nowhere" / "why.json")
