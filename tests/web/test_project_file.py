from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tinct.errors import OutputError
from tinct.web.http_errors import is_full_disk
from tinct.web.project_file import CHUNK_BYTES, ProjectFile


@pytest.fixture
def file(tmp_path: Path) -> ProjectFile:
    return ProjectFile(tmp_path / "a.tinct", create=True)


def content(file: ProjectFile) -> list[object]:
    tables = ("meta", "journal", "prompts", "runs", "masks", "soft_masks", "files", "chunks")
    return [file.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


def fill(file: ProjectFile, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x" * (CHUNK_BYTES + 3))
    file.set_meta("name", {"de": "Hündin"})
    file.add_prompt("abc.png", [1, 5], b"png")
    file.add_mask(3, 2, b"mask", 0.5, {1: 0.5, 5: 0.75}, {1: b"soft"})
    file.add_file("video", tmp_path / "clip.mp4")


def test_what_goes_in_comes_out_of_the_file_its_copies_and_after_a_kill(
    file: ProjectFile, tmp_path: Path
) -> None:
    fill(file, tmp_path)
    whole = content(file)
    file.save_copy(tmp_path / "copy.tinct")
    # What a killed server leaves: the file and its log.
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"a.tinct{suffix}", tmp_path / f"killed.tinct{suffix}")
    file.close()
    assert not (tmp_path / "a.tinct-wal").exists()
    for name in ("a", "copy", "killed"):
        again = ProjectFile(tmp_path / f"{name}.tinct")
        assert content(again) == whole
        assert again.meta("name") == {"de": "Hündin"}
        assert (again.prompt("abc.png"), again.prompt_ids()) == (b"png", {"abc.png": (1, 5)})
        assert list(again.masks()) == [(3, 2, 0.5, {1: 0.5, 5: 0.75})]
        assert (again.mask(3, 2), again.soft_masks(3, 2)) == (b"mask", {1: b"soft"})
        assert b"".join(again.read_file("video", "clip.mp4")) == b"x" * (CHUNK_BYTES + 3)
        again.remove_file("video", "clip.mp4")
        assert again.files("video") == again.rows("SELECT * FROM chunks") == []
        again.close()


def test_a_change_is_there_whole_or_not_at_all(file: ProjectFile) -> None:
    file._db.execute(f"PRAGMA max_page_count={file.rows('PRAGMA page_count')[0][0]}")
    with pytest.raises(OutputError, match="No space left on device") as caught:
        file.add_mask(3, 2, b"m" * 2**20, 0.5, soft={1: b"s"})
    assert is_full_disk(caught.value)
    assert file.rows("SELECT * FROM soft_masks") == list(file.masks()) == []
    file._db.execute("PRAGMA max_page_count=100000")
    file.add_mask(3, 2, b"m" * 2**20, 0.5)


def test_a_file_that_was_cut_short_is_gone_when_the_project_is_opened_again(file: ProjectFile) -> None:
    with file.transaction() as db:
        db.execute("INSERT INTO files (id, kind, name, created) VALUES (7, 'export', 'a.zip', 0)")
        db.execute("INSERT INTO chunks VALUES (7, 0, 'x')")
    file.close()
    again = ProjectFile(file.path)
    assert again.rows("SELECT * FROM chunks") == again.rows("SELECT * FROM files") == []


def test_one_process_at_a_time_has_a_project_open(file: ProjectFile) -> None:
    program = (
        "import sys; from pathlib import Path; from tinct.web.project_file import ProjectFile\n"
        "ProjectFile(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(file.path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is open in another tinct app" in said.stderr
    file.close()
    subprocess.run(command, check=True)


def test_only_projects_are_opened(file: ProjectFile, tmp_path: Path) -> None:
    file.close()
    (tmp_path / "text.tinct").write_text("no database " * 1000)
    for name, change in (
        ("other", "PRAGMA application_id=1"),
        ("newer", "PRAGMA user_version=99"),
        ("trap", "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM masks; END"),
    ):
        shutil.copy(file.path, tmp_path / f"{name}.tinct")
        with closing(sqlite3.connect(tmp_path / f"{name}.tinct")) as db:
            db.execute(change)
    for name, said in (
        ("text", "no project of tinct"),
        ("other", "no project of tinct"),
        ("newer", "version 99"),
        ("trap", "other tables"),
        ("gone", "There is no project file"),
    ):
        with pytest.raises(OutputError, match=said):
            ProjectFile(tmp_path / f"{name}.tinct")
    with pytest.raises(OutputError, match="there already"):
        ProjectFile(file.path, create=True)
