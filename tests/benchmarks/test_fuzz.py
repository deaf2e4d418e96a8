"""Damaged files: a short run over every kind of file, and that faults would be seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bench_kit import FOLDER, load_benchmark

from tinct.errors import MaskError


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_benchmark("fuzz")


def with_reader(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], **options: Any
) -> None:
    """One kind of file, "made up", whose reader is `read` once the file is damaged."""

    def read_good_or(path: Path) -> Any:
        return "good" if path.read_bytes() == b"good file" else read(path)

    kind = bench.FileKind(
        "made up", "f", lambda path: path.write_bytes(b"good file"), read_good_or, **options
    )
    monkeypatch.setitem(bench.KINDS, "made up", kind)


@pytest.mark.slow
def test_no_reader_raises_anything_foreign_or_hangs(bench: ModuleType, tmp_path: Path) -> None:
    kinds = list(bench.KINDS)
    report = bench.fuzz(tmp_path, kinds, files=15 * len(kinds), seconds=300.0)
    assert report.faults == []
    assert report.files == 15 * len(kinds)
    assert all(report.read[kind] + report.refused[kind] == 15 for kind in kinds)


def test_what_is_no_tinct_error_is_a_fault(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read(path: Path) -> None:
        raise KeyError("a key")

    with_reader(bench, monkeypatch, read)
    report = bench.fuzz(tmp_path, ["made up"], files=3, seconds=60.0, seed=7)
    assert report.faults == [("made up", seed, "KeyError: 'a key'") for seed in (7, 8, 9)]


def test_a_tinct_error_is_no_fault(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read(path: Path) -> None:
        raise MaskError("refused")

    with_reader(bench, monkeypatch, read)
    report = bench.fuzz(tmp_path, ["made up"], files=3, seconds=60.0)
    assert (report.faults, report.refused["made up"]) == ([], 3)


@pytest.mark.parametrize("has_checksum", [False, True])
def test_another_value_is_a_fault_where_there_is_a_checksum(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_checksum: bool
) -> None:
    with_reader(bench, monkeypatch, lambda path: "another", has_checksum=has_checksum)
    report = bench.fuzz(tmp_path, ["made up"], files=2, seconds=60.0)
    assert len(report.faults) == 2 * has_checksum


def test_a_reader_that_takes_much_memory_is_a_fault(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken = iter(range(0, 100 * 2**31, 2**31 + 1))
    monkeypatch.setattr(bench, "peak_bytes", lambda: next(taken))
    with_reader(bench, monkeypatch, lambda path: "good")
    report = bench.fuzz(tmp_path, ["made up"], files=1, seconds=60.0)
    assert [what for _, _, what in report.faults] == ["it took 2.0 GiB"]


@pytest.mark.parametrize("form", ["bytes", "json", "text"])
def test_every_form_is_damaged_by_its_seed(bench: ModuleType, form: str) -> None:
    content = b'{"a": [1, {"b": "c"}]}\n<x y="1"/>\n' if form == "text" else b'{"a": [1, {"b": "c"}]}'
    results = [
        {bench.FORMS[form](content, bench.random.Random(seed)) for seed in range(50)} for _ in range(2)
    ]
    assert results[0] == results[1]
    assert len(results[0]) > 20


def test_a_reader_that_does_not_come_back_is_a_fault(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "LONGEST_S", 0.05)
    with_reader(bench, monkeypatch, lambda path: time.sleep(30))
    report = bench.fuzz(tmp_path, ["made up"], files=1, seconds=60.0)
    assert [what for _, _, what in report.faults] == ["Hang: no answer in 0 s"]
