"""Projects of tinct before 0.8, each a folder of files, taken over into project files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinct.io.json_files import parse_json, reading
from tinct.io.mask_files import read_label_png
from tinct.io.masks import object_ids_of
from tinct.io.regular_files import read_regular
from tinct.web.journal import Journal
from tinct.web.project_file import ProjectFile, new_project_file
from tinct.web.project_info import ProjectInfo
from tinct.web.run_log import RunLog

_MASK = re.compile(r"(\d+)\.r(\d+)\.(\d{4})\.png")


def is_old_folder(folder: Path) -> bool:
    """Whether a folder is a project of an earlier version."""
    return (folder / "project.json").exists()


def take_over(folder: Path, path: Path) -> None:
    """Make a project file of an old folder, which stays as it is.

    Args:
        folder: With project.json, journal.jsonl, runs.jsonl, and the folders prompts, masks, exports, video.
        path: The new file.

    Raises:
        TinctError: The folder is damaged, or the file cannot be written.
    """
    with reading(folder, "a project of tinct", "Put back a copy of its files, or move it elsewhere."):
        values = parse_json(read_regular(folder / "project.json"))
        info = ProjectInfo.from_json({**values, "embedded": values["uploaded"]})
        with new_project_file(path) as file:
            file.set_meta("project", asdict(info))
            _take_rows(folder, file)
            for kind, inside in (("video", "video" if info.embedded else ""), ("export", "exports")):
                for each in _files(folder / inside) if inside else ():
                    file.add_file("video" if kind == "video" else "export", each)
            Journal(file), RunLog(file)  # damaged ones are found before anything is taken over


def _take_rows(folder: Path, file: ProjectFile) -> None:
    with file.transaction() as db:
        for entry in _entries(folder / "journal.jsonl"):
            db.execute("INSERT INTO journal (entry) VALUES (?)", (json.dumps(entry),))
        for path in _files(folder / "prompts"):
            ids = json.dumps(object_ids_of(read_label_png(path)))
            db.execute("INSERT INTO prompts VALUES (?, ?, ?)", (path.name, ids, path.read_bytes()))
        for entry in _entries(folder / "runs.jsonl"):
            if "run" in entry:
                run = entry["run"]
                plan = [run[name] for name in ("number", "root", "state", "start", "direction")]
                row = (*plan, json.dumps(run["legs"]), json.dumps(run["settings"]))
                db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, NULL, '')", row)
            else:
                end = (entry["status"], entry["message"], entry["end"])
                db.execute("UPDATE runs SET status = ?, message = ? WHERE number = ?", end)
        for path in _files(folder / "masks"):
            if match := _MASK.fullmatch(path.name):
                frame, run, thousandths = map(int, match.groups())
                row = (frame, run, thousandths / 1000, "{}", path.read_bytes())
                db.execute("INSERT INTO masks VALUES (?, ?, ?, ?, ?)", row)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log; a last one that a kill has cut short was never confirmed to anyone."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            yield parse_json(line)
        except ValueError:
            if number < len(lines):
                raise


def _files(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.exists() else ()
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))
