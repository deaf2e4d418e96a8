from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from tinct.errors import OutputError
from tinct.io.atomic import atomic_folder, atomic_write, sweep


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out") as part:
        (part / "a").write_text("a")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as part:
        (part / "a").write_text("a")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_folder_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "out") as part:
            (part / "a").write_text("a")
            raise error

    with pytest.raises(error):
        fail()
    assert not list(tmp_path.iterdir())


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(OutputError, match="there already"), atomic_folder(tmp_path / "out"):
        pass
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="there already"), atomic_folder(tmp_path / "file"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_folder(tmp_path / "out"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="out cannot be written: No space left"):
        fill()
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="cannot be written"), atomic_folder(tmp_path / "no" / "out"):
        pass


def test_another_threads_sweep_leaves_what_is_just_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep starts when the file is there and its name is not known yet: the worst moment."""
    begin = tempfile.mkstemp
    sweeper = threading.Thread(target=sweep, args=(tmp_path,))

    def begin_and_sweep(*words: Any, **options: Any) -> tuple[int, str]:
        begun = begin(*words, **options)
        sweeper.start()
        sweeper.join(0.2)
        return begun

    monkeypatch.setattr(tempfile, "mkstemp", begin_and_sweep)
    with atomic_write(tmp_path / "a.txt") as part:
        sweeper.join()
        part.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "whole"
