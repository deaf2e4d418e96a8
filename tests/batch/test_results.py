from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tinct.batch import index_page
from tinct.batch.index_page import write_index
from tinct.batch.progress import Progress, ProgressLine
from tinct.batch.results import ResultLog, failed
from tinct.errors import MaskError, WorkerError


def complete(name: str, confidence: float | None) -> dict[str, object]:
    row = failed(name, f"{name}.mp4", MaskError(""))
    return row | {
        "status": "complete",
        "error": None,
        "confidence": confidence,
        "frames": 3,
        "objects": 1,
        "seconds": 1.5,
        "worst_frame": 2,
    }


def test_pandas_and_duckdb_read_the_table(tmp_path: Path) -> None:
    pandas, duckdb = pytest.importorskip("pandas"), pytest.importorskip("duckdb")
    with ResultLog() as log:
        log.add(complete("a", 0.5))
        log.add(failed("b", "https://host/b.mp4?sig=hunter22", MaskError("two\nlines, token=hunter22")))
        log.add(failed("c", "c.mp4", WorkerError("died")))
        table = log.write_table(str(tmp_path))
    frame = pandas.read_parquet(table)
    assert list(frame["status"]) == ["complete", "failed", "set aside"]
    assert frame["error"][1] == "two lines, token=***"
    assert "hunter22" not in frame.to_csv()
    found = duckdb.sql(f"select name, frames from '{table}' where confidence < 0.6").fetchall()
    assert found == [("a", 3)]


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with ResultLog() as log:
        log.write_table(str(tmp_path))
    assert parquet.read_table(tmp_path / "results.parquet").column_names[:4] == [
        "name",
        "video",
        "status",
        "error",
    ]


def test_the_page_shows_the_least_confident_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_page, "SHOWN", 3)
    rows = [complete(f"v{i}", c) for i, c in enumerate([0.9, 0.1, 0.5, 0.7])]
    rows += [complete("<b>", None), failed("bad", "bad.mp4", MaskError("no <mask>"))]
    write_index(tmp_path / "index.html", rows, "clips")
    text = (tmp_path / "index.html").read_text()
    assert re.findall(r'src="videos/(.*?)/thumbnail.jpg"', text) == ["%3Cb%3E", "v1", "v2"]
    assert "5 of 6 videos are complete" in text
    assert "no &lt;mask&gt;" in text
    assert "<b><b>" not in text


def test_progress_is_a_line_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress, file = Progress(4), tmp_path / "progress.jsonl"
    skipped = complete("c", 1) | {"skipped": True}
    with file.open("w") as stream:
        line = ProgressLine(stream)
        for row in (complete("a", 1), failed("b", "b.mp4", MaskError("no mask")), skipped):
            progress.add(row)
            progress.seconds = 2.0
            line(progress, row)
    assert str(progress) == "3 of 4 videos, 1.00 videos/s, 1.5 frames/s, 1 s left, 1 failed"
    entries = [json.loads(text) for text in file.read_text().splitlines()]
    assert [entry["done"] for entry in entries] == [1, 2, 3]
    assert entries[-1]["frames_per_s"] == 1.5
    assert capsys.readouterr().err == "tinct: b: no mask\n"
