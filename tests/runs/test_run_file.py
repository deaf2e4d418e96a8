"""`run.json` from elsewhere, or damaged: one error that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinct.errors import OutputError
from tinct.runs.run_file import RunFile, costs, read_record

GOOD: dict[str, Any] = {
    "run": {"frames": 3},
    "versions": {"tinct": "1", "torch": "2", "python": "3"},
    "device": "cpu",
    "threads": 1,
    "platform": "Linux",
    "seconds_per_frame": {"values": [1.0, 3.0]},
    "fine_tuned": [{"seconds": 2.0, "steps": 5, "diverged": False}],
    "peak_memory_mb": 7.5,
}


def written(folder: Path, content: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "run.json"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "3", "{", "[" * 10**5, {"run": []}, {"run": 3}, {"run": None}, {"run": "frames"}]
    + [
        {"run": {"frames": 3}, **each}
        for each in ({"object_ids": 3}, {"object_ids": ["x"]}, {"frames_done": []})
    ]
    + [{"run": {"frames": 3}, **each} for each in ({"fine_tuned": [3]}, {"fine_tuned": 3})],
)
def test_a_damaged_record_is_named(content: Any, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(OutputError, match=r"run\.json cannot be read"):
        RunFile(path, {"frames": 3}).compare(resume=True)


def test_costs_of_several_runs(tmp_path: Path) -> None:
    written(tmp_path / "a", GOOD)
    written(tmp_path / "b", {**GOOD, "threads": 2, "peak_memory_mb": 9.0})
    found = costs(tmp_path, ["a", "b"])
    assert (found["frames"], found["threads"], found["seconds_per_frame"]) == (6, [1, 2], 2.0)
    assert (found["tuning_seconds"], found["tuning_diverged"], found["peak_memory_mb"]) == (2.0, 0, 9.0)


@pytest.mark.parametrize(
    "change",
    [
        {"versions": 3},
        {"run": {}},
        {"run": {"frames": "x"}},
        {"seconds_per_frame": []},
        {"seconds_per_frame": {"values": ["x"]}},
        {"fine_tuned": [{}]},
        {"fine_tuned": [{"seconds": None, "steps": [], "diverged": "x"}]},
        {"peak_memory_mb": "much"},
        {"device": {}},
    ],
)
def test_costs_of_a_damaged_record_are_an_error(change: dict[str, Any], tmp_path: Path) -> None:
    written(tmp_path / "a", GOOD)
    written(tmp_path / "b", {**GOOD, **change})
    with pytest.raises(OutputError, match="as a folder of runs"):
        costs(tmp_path, ["a", "b"])


def test_a_record_that_is_no_object_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"run\.json cannot be read"):
        read_record(written(tmp_path, "3"))
