"""Real processes that are killed: a short run with a stub, and that losses would be seen."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from bench_kit import FOLDER, load_benchmark

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_benchmark("kills")


def careful(out: Path) -> None:
    """Ten files, each whole once it is there."""
    (out / "masks").mkdir(parents=True, exist_ok=True)
    for index in range(10):
        target = out / "masks" / f"{index}.png"
        if not target.exists():
            part = target.with_name(f".{index}.part")
            part.write_bytes(b"a" * 1000)
            part.replace(target)
        time.sleep(0.01)


def careless(out: Path) -> None:
    """Ten files, each written slowly in its place."""
    (out / "masks").mkdir(parents=True, exist_ok=True)
    for index in range(10):
        with (out / "masks" / f"{index}.png").open("wb") as file:
            for _ in range(10):
                file.write(b"a" * 100)
                file.flush()
                time.sleep(0.001)


def test_careful_runs_come_through(bench: ModuleType, tmp_path: Path) -> None:
    report = bench.kill_often(tmp_path, [bench.Work("careful", careful)], kills=5, seconds=60.0)
    assert report.faults == []
    assert report.kills == {"careful": 5}


def test_torn_files_are_seen(bench: ModuleType, tmp_path: Path) -> None:
    report = bench.kill_often(tmp_path, [bench.Work("careless", careless)], kills=5, seconds=60.0)
    assert any("is not as it should be" in fault for fault in report.faults)


def test_lost_files_are_seen(bench: ModuleType) -> None:
    kind = bench.Work("any", careful)
    found = bench.faults_of(kind, {"a": b"1"}, {"a": b"1", "b": b"2"}, {"a": b"1", "b": b"2"})
    assert found == ["any: b was there, and is gone"]


def test_half_an_export_is_seen(bench: ModuleType) -> None:
    kind = bench.Work("any", careful, appears_whole=True)
    assert bench.faults_of(kind, {"a": b"1"}, {}, {"a": b"1", "b": b"2"}) == ["any: 1 of 2 files appeared"]


def test_another_result_is_seen(bench: ModuleType, tmp_path: Path) -> None:
    def forgetful(out: Path) -> None:
        (out / "masks").mkdir(parents=True, exist_ok=True)
        if "undisturbed" in out.name:
            (out / "masks" / "0.png").write_bytes(b"a")
        time.sleep(0.01)

    report = bench.kill_often(tmp_path, [bench.Work("forgetful", forgetful)], kills=50, seconds=60.0)
    assert any("not that of undisturbed work" in fault for fault in report.faults)


def test_whole_commands_are_killed_too(bench: ModuleType, tmp_path: Path) -> None:
    """A command that ends at once, before it is killed."""
    work = bench.Work("version", lambda out: time.sleep(0.01), words=("--version",))
    assert bench.run_and_kill(work, tmp_path, after_s=60.0, whole=True)
    assert not bench.run_and_kill(work, tmp_path, after_s=0.0, whole=True)


@pytest.mark.slow
def test_real_work_comes_through() -> None:
    """In a process of its own: a fork waits for the threads of OpenCV's pool, if its parent has one."""
    words = [sys.executable, str(FOLDER / "kills.py"), "--kills", "12", "--seconds", "240", "--whole", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* kills, \d+ works completed, 0 faults", done.stdout)
