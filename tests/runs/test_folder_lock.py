from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drift_kit import Drift
from run_kit import run_to_folder

from tinct.errors import OutputError
from tinct.interchange.exports import LabelledVideo, export
from tinct.io.atomic import atomic_write, sweep
from tinct.io.processes import host_name, host_tag, is_running
from tinct.io.video import Video
from tinct.runs.folder_lock import LOCK_NAME, LockWarning, folder_lock

H, W = 6, 8


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def alive() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


def run(out: Path, **options: bool) -> None:
    video = Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(4)])
    run_to_folder(Drift(), video, {0: np.ones((H, W), np.uint8)}, out, overlay=False, **options)


def lock_of(folder: Path, pid: int, host: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / LOCK_NAME).write_text(json.dumps({"host": host or host_name(), "pid": pid}))
    return folder / LOCK_NAME


def test_processes_are_told_apart(gone: int, alive: int) -> None:
    assert is_running(os.getpid())
    assert is_running(alive)
    assert not any(map(is_running, (gone, 0, -1, 2**40)))


def test_a_folder_in_use_is_refused(tmp_path: Path, alive: int) -> None:
    lock = lock_of(tmp_path / "out", alive)
    before = lock.read_bytes()
    with pytest.raises(OutputError, match=f"in use by process {alive}: .*Wait for its end"):
        run(tmp_path / "out")
    assert lock.read_bytes() == before
    assert [path.name for path in lock.parent.iterdir()] == [LOCK_NAME]


def test_the_lock_of_a_process_that_is_gone_is_taken_over_with_a_line(tmp_path: Path, gone: int) -> None:
    lock_of(tmp_path / "out", gone)
    with pytest.warns(LockWarning, match=f"process {gone} was cut short"):
        run(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks", "run.json"]


def test_the_lock_of_another_machine_is_refused_with_the_fix(tmp_path: Path, gone: int) -> None:
    lock = lock_of(tmp_path / "out", gone, "elsewhere")
    with pytest.raises(OutputError, match=rf"process {gone} on elsewhere.*delete .*{LOCK_NAME}"):
        run(tmp_path / "out")
    lock.unlink()
    run(tmp_path / "out")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"host": 1}', "null", "\0", "[" * 10**5, '{"host": "a", "pid": 1e999}']
)
def test_a_broken_lock_stops_nobody(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text(content)
    run(tmp_path)
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_copy_of_a_folder_in_use_is_free(tmp_path: Path) -> None:
    lock_of(tmp_path / "copy", os.getpid())
    with folder_lock(tmp_path / "original"):
        run(tmp_path / "copy")


def test_a_process_does_not_disturb_itself(tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(OutputError, match="in use"):
        run(tmp_path)
    run(tmp_path)


def test_of_many_that_want_a_folder_one_gets_it(tmp_path: Path) -> None:
    got, ready = [], threading.Barrier(8)

    def work() -> None:
        ready.wait()
        try:
            with folder_lock(tmp_path):
                got.append(True)
                ready.wait()
        except OutputError:
            got.append(False)
            ready.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]


def left_by(pid: int, folder: Path, host: str | None = None, ending: str = ".part.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".00000.{host or host_tag()}-{pid}-abc_1234{ending}"
    path.write_bytes(b"half")
    return path


def test_what_a_kill_left_is_swept_by_the_next_run(tmp_path: Path, gone: int, alive: int) -> None:
    run(tmp_path)
    ours = [
        left_by(gone, tmp_path, ending=".part.json"),
        left_by(gone, tmp_path / "masks"),
        left_by(os.getpid(), tmp_path / "masks"),
        # Nobody else can be writing there.
        left_by(gone, tmp_path / "masks", "0123abcd"),
        left_by(gone, tmp_path / "soft" / "1"),
    ]
    theirs = [left_by(alive, tmp_path), left_by(gone, tmp_path, "0123abcd"), tmp_path / ".mine.part.png"]
    theirs[-1].write_bytes(b"mine")
    run(tmp_path, resume=True)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in theirs)


def test_what_a_killed_export_left_is_swept_by_the_next(tmp_path: Path, gone: int, alive: int) -> None:
    run(tmp_path / "run")
    folder = tmp_path / f".export.{host_tag()}-{gone}-abc_1234.part"
    folder.mkdir()
    (folder / "00000.png").write_bytes(b"half")
    file, theirs = left_by(gone, tmp_path, ending=".part.json"), left_by(alive, tmp_path, ending=".part.json")
    video = Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(4)])
    export(LabelledVideo.of_run(tmp_path / "run", video), "palette-png", tmp_path / "export")
    assert not folder.exists()
    assert not file.exists()
    assert theirs.exists()


def test_what_is_being_written_is_not_swept(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt") as part:
        assert host_tag() in part.name
        part.write_text("a")
        sweep(tmp_path, locked=True)
    assert (tmp_path / "a.txt").read_text() == "a"


@pytest.mark.parametrize("name", ["ü" * 100, "界" * 80, "x" * 251, "a." + "b" * 240])
def test_long_names_of_any_letters_are_written(name: str, tmp_path: Path) -> None:
    with atomic_write(tmp_path / f"{name}.png") as part:
        part.write_text("a")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"]


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    """As two processes with one flow cache or one weights file do."""
    script = (
        "import sys; from tinct.io.atomic import atomic_write\n"
        "for i in range(200):\n"
        "    with atomic_write(sys.argv[1]) as part: part.write_text(sys.argv[2] * 5000)\n"
    )
    path = tmp_path / "cache.flo"
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), letter]) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            seen.add(path.read_text())
    assert [writer.wait() for writer in writers] == [0, 0]
    assert seen | {path.read_text()} <= {"a" * 5000, "b" * 5000}
    assert [each.name for each in tmp_path.iterdir()] == ["cache.flo"]
