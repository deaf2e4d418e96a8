"""`run.jsonl`: what a run adds to its record while it goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_kit import Drift
from run_kit import run_to_folder

from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.video import Video
from tinct.runs import run_file
from tinct.runs import segment_to_folder as runs
from tinct.runs.run_journal import JOURNAL_NAME, RunJournal

H, W, FRAMES = 6, 8, 30
TIMES = ("seconds_per_frame", "peak_memory_mb", "resumed_at")


def clip(frames: int = FRAMES) -> Video:
    draws = np.random.default_rng(0)
    return Video.from_arrays([draws.integers(0, 256, (H, W, 3), np.uint8) for _ in range(frames)])


def run(out: Path, video: Video, segmenter: StreamingSegmenter[Any] | None = None, **options: Any) -> None:
    labels = np.zeros((H, W), np.uint8)
    labels[1:4, 2:6] = 1
    options = {"overlay": False, "info": {"video": "clip"}, **options}
    run_to_folder(segmenter or Drift(), video, {0: labels}, out, **options)


def record(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "run.json").read_text())
    return content


def without_times(out: Path) -> str:
    return json.dumps({key: value for key, value in record(out).items() if key not in TIMES})


@pytest.fixture
def killed_at_20(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """An undisturbed run, and what it left when it had 20 frames and its last state after 18."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 6)
    monkeypatch.setattr(runs, "SECONDS_BETWEEN_STATES", 1e9)

    def copy(stage: str, done: int, of: int) -> None:
        if done == 20:
            shutil.copytree(whole, killed)

    run(whole, clip(), progress=copy)
    return whole, killed


def test_a_finished_run_leaves_no_journal(killed_at_20: tuple[Path, Path]) -> None:
    whole, killed = killed_at_20
    assert (killed / JOURNAL_NAME).exists()
    assert sorted(path.name for path in whole.iterdir()) == ["masks", "run.json"]


def test_a_killed_run_goes_on_to_the_record_of_one_that_was_not(killed_at_20: tuple[Path, Path]) -> None:
    whole, killed = killed_at_20
    assert record(killed)["status"] == "running"
    run(killed, clip(), resume=True)
    assert record(killed)["resumed_at"] == 18
    assert without_times(killed) == without_times(whole)
    assert sorted(path.name for path in killed.iterdir()) == ["masks", "run.json"]


@pytest.mark.parametrize(
    "damage", ["gone", "empty", "cut", "noise", "other run", "first lines lost", "numbers"]
)
def test_a_broken_journal_costs_time_only(damage: str, killed_at_20: tuple[Path, Path]) -> None:
    whole, killed = killed_at_20
    path = killed / JOURNAL_NAME
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    broken = {
        "empty": b"",
        "cut": content[:-9],
        "noise": bytes(range(256)) * 4,
        "other run": content.replace(lines[0].strip()[9:20], b"00000000000"),
        "first lines lost": b"".join([*lines[:1], *lines[5:]]),
        "numbers": content.replace(b'"margin": 0', b'"margin": 7').replace(b'"frame": 1', b'"frame": -'),
    }
    path.unlink() if damage == "gone" else path.write_bytes(broken[damage])
    run(killed, clip(), resume=True)
    assert record(killed)["resumed_at"] == 0
    assert without_times(killed) == without_times(whole)


def test_what_comes_after_a_torn_line_is_read(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path / JOURNAL_NAME, "abc")
    journal.begin([{"frame": 0}])
    with journal.path.open("ab") as stream:
        stream.write(b'\n{"frame": 1, "mar')
    journal.append([{"frame": 2}])
    assert journal.read() == [{"frame": 0}, {"frame": 2}]
    assert RunJournal(journal.path, "def").read() == []


def test_a_run_killed_by_a_tinct_without_journal_goes_on(killed_at_20: tuple[Path, Path]) -> None:
    whole, killed = killed_at_20
    margins = record(whole)["confidence"]["margin"][:20]
    old = record(killed) | {
        "frames_done": 18,
        "confidence": {"margin": margins[:18] + [None] * 12, "most_helpful_frame": None},
    }
    (killed / "run.json").write_text(json.dumps(old))
    (killed / JOURNAL_NAME).unlink()
    run(killed, clip(), resume=True)
    assert record(killed)["resumed_at"] == 18
    assert record(killed)["confidence"] == record(whole)["confidence"]


@pytest.mark.parametrize(
    "confidence",
    [{"margin": {"0": 1}}, {"margin": ["a"]}, {"margin": [7]}, {"agreement": {"x": 1}}, {"margin": 3}],
)
def test_a_confidence_that_is_none_costs_time_only(
    confidence: dict[str, Any], killed_at_20: tuple[Path, Path]
) -> None:
    whole, killed = killed_at_20
    (killed / "run.json").write_text(json.dumps(record(killed) | {"confidence": confidence}))
    (killed / JOURNAL_NAME).unlink()
    run(killed, clip(), resume=True)
    assert record(killed)["confidence"] == record(whole)["confidence"]


def test_a_killed_run_says_about_how_many_masks_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 5)
    said: dict[int, int] = {}
    run(
        tmp_path, clip(300), progress=lambda _, done, of: said.update({done: record(tmp_path)["frames_done"]})
    )
    assert all(frames <= done for done, frames in said.items())
    assert max(done - frames for done, frames in said.items() if done < 300) < 100


def test_the_record_costs_as_much_as_the_video_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 1)
    written: list[int] = []
    write, append = run_file.RunFile.write, RunJournal.append

    def counted_write(self: run_file.RunFile, **values: Any) -> None:
        write(self, **values)
        written.append(self.path.stat().st_size)

    def counted_append(self: RunJournal, entries: Any) -> int:
        written.append(append(self, entries))
        return written[-1]

    monkeypatch.setattr(run_file.RunFile, "write", counted_write)
    monkeypatch.setattr(RunJournal, "append", counted_append)

    def cost(frames: int) -> int:
        written.clear()
        # All frames painted: then the hashes of the masks are the larger part of the record.
        labels = np.ones((H, W), np.uint8)
        out = tmp_path / str(frames)
        run_to_folder(Drift(), clip(frames), dict.fromkeys(range(frames), labels), out, overlay=False)
        return sum(written)

    assert cost(400) < 4.5 * cost(100)
