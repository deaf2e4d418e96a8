from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinct.errors import OutputError
from tinct.training import curve

STAGES = ["stills", "video"]


def lines(folder: Path) -> list[tuple[str, int, bool]]:
    read = [json.loads(line) for line in (folder / curve.FILE_NAME).read_text().splitlines()]
    return [(line["stage"], line["step"], "score" in line) for line in read]


def written(folder: Path) -> list[tuple[str, int, bool]]:
    for stage in STAGES:
        for step in (2, 4):
            curve.append_figures(folder, stage, step, 1.0, {"loss": 0.123456})
        curve.append_figures(folder, stage, 4, 1.0, {"score": 0.5})
    return lines(folder)


def test_figures_are_rounded(tmp_path: Path) -> None:
    curve.append_figures(tmp_path, "video", 20, 12.3456, {"loss": 0.1234567})
    assert json.loads((tmp_path / curve.FILE_NAME).read_text()) == {
        "stage": "video", "step": 20, "seconds": 12.3, "loss": 0.12346,
    }  # fmt: skip


def test_lines_that_will_come_again_are_dropped(tmp_path: Path) -> None:
    everything = written(tmp_path)
    for stage, step, kept in [(2, 0, 6), (1, 4, 5), (1, 3, 4), (1, 0, 3), (0, 4, 2), (0, 2, 1), (0, 0, 0)]:
        curve.rewind(tmp_path, STAGES, stage, step, score="score")
        assert lines(tmp_path) == everything[:kept]


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    everything = written(tmp_path)
    with (tmp_path / curve.FILE_NAME).open("a") as file:
        file.write('{"stage": "vid')
    curve.rewind(tmp_path, STAGES, 2, 0, score="score")
    assert lines(tmp_path) == everything


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"curve\.jsonl cannot be written: No such file.*--resume"):
        curve.append_figures(tmp_path / "gone", "video", 1, 1.0, {})


def test_no_curve_stays_none(tmp_path: Path) -> None:
    curve.rewind(tmp_path, STAGES, 0, 0, score="score")
    assert not (tmp_path / curve.FILE_NAME).exists()


def test_a_line_that_was_damaged_is_dropped(tmp_path: Path) -> None:
    everything = written(tmp_path)
    with (tmp_path / curve.FILE_NAME).open("ab") as file:
        file.write(b'\xff\xfe{"stage"\n' + b"[" * 10**5 + b"\n[]\n")
    curve.rewind(tmp_path, STAGES, 2, 0, score="score")
    assert lines(tmp_path) == everything
