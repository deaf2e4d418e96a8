"""The figures of a small project file."""

from __future__ import annotations

from pathlib import Path

from bench_kit import load_benchmark


def test_every_mask_is_stored_found_again_and_copied(tmp_path: Path) -> None:
    bench = load_benchmark("project_file")
    found = bench.measure(tmp_path, frames=6, objects=3, size=(48, 64))
    assert found["bytes_per_frame"] > 100
    copied = bench.Project(tmp_path / "copy.tinct", tmp_path / "scratch", "copy")
    assert copied.masks.frames() == list(range(6))
    assert (copied.labels(5, "computed") == bench.labels_of(5, 3, (48, 64))).all()
    assert list(copied.journal.prompts) == [0, 3]
    copied.close()
