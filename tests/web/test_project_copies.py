"""Project files that come from elsewhere: an earlier version's folders, copies, the command line, uploads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_worker import SLOW
from web_kit import FRAMES, SMALL, Desk, Tab, painting, png, until, write_frames

from tinct.errors import TinctError
from tinct.io.mask_files import write_mask
from tinct.web.library import Library
from tinct.web.old_folders import take_over

STEPS = [
    {"step": {"number": 1, "parent": 0, "objects": {"1": [None, {"name": "dog", "colour": "#123456"}]},
              "prompts": {"0": [None, "a.png"]}, "deletes": False}},
    {"step": {"number": 2, "parent": 1, "objects": {}, "prompts": {"5": [None, "b.png"]}, "deletes": False}},
    {"undo": 2},
]  # fmt: skip
RUNS = [
    {"run": {"number": 1, "root": 1, "state": 1, "start": 0, "direction": "forward",
             "legs": [{"first": 0, "last": 11, "direction": "forward"}],
             "settings": {"method": "feelvos", "preset": "fast", "fine_tune": None}}},
    {"end": 1, "status": "done", "message": ""},
]  # fmt: skip


def write_old_project(folder: Path, clip: Path) -> None:
    """A project as tinct 0.7 kept them."""
    for name in ("prompts", "masks", "exports"):
        (folder / name).mkdir(parents=True)
    info = {"id": folder.name, "name": "clip", "video": str(clip), "uploaded": False, "frames": FRAMES}
    (folder / "project.json").write_text(json.dumps({**info, "size": [24, 32], "rate": None}))
    cut = '{"step": {"number": 3'  # by a kill: never confirmed
    (folder / "journal.jsonl").write_text("\n".join([*map(json.dumps, STEPS), cut]))
    (folder / "runs.jsonl").write_text("".join(json.dumps(each) + "\n" for each in RUNS))
    write_mask(folder / "prompts" / "a.png", painting(1))
    write_mask(folder / "prompts" / "b.png", painting(1, 1))
    for index in range(FRAMES):
        name = f"{index:06d}.r1.{1000 - index:04d}.png"
        write_mask(folder / "masks" / name, np.roll(painting(1), index, axis=0))
    (folder / "exports" / "clip coco 0-11.json").write_text("{}")


def test_old_folders_are_taken_over_with_all_that_they_hold(
    tmp_path: Path, clip: Path, open_desk: Callable[..., Desk]
) -> None:
    projects = tmp_path / "projects"
    write_old_project(projects / "clip-old", clip)
    desk = open_desk()
    tab = Tab(desk.client, "clip-old")
    document = tab.document()
    assert document["objects"] == [{"id": 1, "name": "dog", "colour": "#123456"}]
    assert (document["prompts"], document["done"], document["stale"]) == ([0], [[0, FRAMES - 1]], [])
    assert (document["run"]["status"], document["settings"]["preset"]) == ("done", "fast")
    assert document["confidence"][3] == [3, 0.997]
    np.testing.assert_array_equal(tab.mask(7), np.roll(painting(1), 7, axis=0))
    assert tab.call("POST", "/redo")["prompts"] == [0, 5]
    np.testing.assert_array_equal(tab.mask(5, of="painted"), painting(1, 1))
    assert tab.call("GET", "/exports/clip coco 0-11.json") == b"{}"
    assert (projects / "old-format" / "clip-old" / "masks").is_dir()
    document = tab.document()
    assert Tab(open_desk().client, "clip-old").document() == {**document, "writer": None}


@pytest.mark.parametrize(
    ("file", "content"),
    [("project.json", "{"), ("project.json", "[" * 100_000), ("journal.jsonl", '{"redo": 1}\n{"redo": 1}\n'),
     ("journal.jsonl", '{\n{"undo": 1}\n'), ("runs.jsonl", '{"run": {"legs": 3}}\n')],
)  # fmt: skip
def test_an_old_folder_that_is_damaged_stays_as_it_is(
    tmp_path: Path, clip: Path, file: str, content: str
) -> None:
    write_old_project(tmp_path / "projects" / "walk", clip)
    (tmp_path / "projects" / "walk" / file).write_text(content)
    library = Library(tmp_path / "projects", SMALL)
    [listed] = library.summaries()
    assert "walk cannot be opened" in listed["error"]
    assert sorted(path.name for path in (tmp_path / "projects").iterdir()) == ["walk"]
    with pytest.raises(TinctError):
        take_over(tmp_path / "projects" / "walk", tmp_path / "a.tinct")
    assert not (tmp_path / "a.tinct").exists()


def test_a_copy_with_its_video_opens_anywhere_even_while_a_run_goes_on(
    tmp_path: Path, clip: Path, open_desk: Callable[..., Desk]
) -> None:
    desk = open_desk(clip)
    desk.tab.paint(0, painting(SLOW))
    desk.tab.call("POST", "/run", json={})
    until(lambda: desk.tab.document()["run"]["done"] > 2)
    copies = {embed: desk.tab.call("GET", f"/copy?embed={embed}") for embed in "01"}
    desk.tab.call("POST", "/cancel")
    assert not list((desk.library.folder / ".scratch" / desk.tab.project).glob(".part-*"))
    # Sent to somebody who has no such video.
    clip.rename(tmp_path / "gone")
    answer = desk.client.post("/api/projects", files={"file": ("sent.tinct", copies["0"])})
    assert answer.status_code == 400
    assert "with the video inside" in answer.json()["error"]
    answer = desk.client.post("/api/projects", files={"file": ("sent.tinct", copies["1"])})
    assert (answer.status_code, answer.json()["id"]) == (200, "sent")
    sent = Tab(desk.client, "sent")
    assert (sent.document()["name"], sent.document()["run"]["status"]) == ("clip", "paused")
    np.testing.assert_array_equal(sent.mask(2), np.roll(painting(SLOW), 2, axis=0))
    assert sent.call("GET", "/frames/3.jpg")
    sent.call("POST", "/resume")
    until(lambda: sent.document()["run"]["status"] == "done")
    assert sent.document()["done"] == [[0, FRAMES - 1]]
    shutil.rmtree(desk.library.folder / ".scratch" / "sent" / "video")
    desk = open_desk()
    assert Tab(desk.client, "sent").call("GET", "/frames/5.jpg")  # unpacked again
    bad = bytearray(copies["1"])
    bad[len(bad) // 2 :] = bytes(len(bad) - len(bad) // 2)
    answer = desk.client.post("/api/projects", files={"file": ("bad.tinct", bytes(bad))})
    assert answer.status_code in (400, 500)
    assert "bad.tinct" in answer.json()["error"]
    assert [each["id"] for each in desk.client.get("/api/projects").json()][1:] == ["sent"]


def test_a_project_of_the_command_line_is_opened_where_it_lies(
    tmp_path: Path, open_desk: Callable[..., Desk]
) -> None:
    (tmp_path / "sent").mkdir()
    clip = write_frames(tmp_path / "walk")
    desk = open_desk(clip)
    desk.tab.paint(0, painting(1))
    (tmp_path / "sent" / "my.tinct").write_bytes(desk.tab.call("GET", "/copy"))
    clip.rename(tmp_path / "sent" / "walk")  # beside the project, as it was sent along
    desk = open_desk(tmp_path / "sent" / "my.tinct")
    desk.tab.paint(3, painting(2))
    assert desk.tab.call("GET", "/frames/3.jpg")
    desk.tab.call("DELETE", status=204)  # from the list alone
    desk = open_desk(tmp_path / "sent" / "my.tinct")
    assert desk.tab.document()["prompts"] == [0, 3]
    desk = open_desk(tmp_path / "sent" / "none.tinct")
    assert "There is no project file" in desk.tab.error("GET", "", 400)
    (tmp_path / "sent" / "text.tinct").write_bytes(png(painting(1)))
    assert "no project of tinct" in open_desk(tmp_path / "sent" / "text.tinct").tab.error("GET", "", 400)
