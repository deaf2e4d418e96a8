"""Everything that must be refused with a sentence, as the page gets it."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fake_worker import SLOW
from PIL import Image as Pictures
from web_kit import FRAMES, SMALL, Desk, H, W, frame_of, painting, png, write_frames

from tinct.web.library import Library


def video_file(path: Path, frames: int = 5, size: tuple[int, int] = (H, W)) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(frame_of(index, size), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def upload(desk: Desk, *files: tuple[str, bytes], **fields: str) -> Any:
    parts = [("file", (name, body, "application/octet-stream")) for name, body in files]
    return desk.client.post("/api/projects", files=parts, data=fields)


def refused(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    return str(answer.json()["error"])


def incoming(desk: Desk) -> list[str]:
    return [path.name for path in desk.library.folder.iterdir() if path.name.startswith(".incoming")]


def test_an_uploaded_video_is_a_project_and_can_be_removed(desk: Desk, tmp_path: Path) -> None:
    answer = upload(desk, ("My clip.avi", video_file(tmp_path / "a.avi").read_bytes()))
    assert answer.status_code == 200
    made = answer.json()
    assert (made["id"], made["name"], made["frames"], made["fps"]) == ("my-clip-avi", "My clip.avi", 5, 5.0)
    again = upload(desk, ("My clip.avi", (tmp_path / "a.avi").read_bytes())).json()
    assert again["id"] == "my-clip-avi-2"
    file = desk.library.folder / "my-clip-avi.tinct"
    assert file.is_file()
    gone = desk.client.delete("/api/projects/my-clip-avi", headers={"X-Tinct-Tab": "tab"})
    assert gone.status_code == 204
    assert not file.exists()
    assert [each["id"] for each in desk.client.get("/api/projects").json()][1:] == ["my-clip-avi-2"]


def test_an_uploaded_file_of_pages_is_a_video(desk: Desk, tmp_path: Path) -> None:
    first, *others = (Pictures.fromarray(frame_of(index, (H, W))) for index in range(3))
    first.save(tmp_path / "stack.tif", save_all=True, append_images=others)
    made = upload(desk, ("stack.tif", (tmp_path / "stack.tif").read_bytes())).json()
    assert (made["name"], made["frames"]) == ("stack.tif", 3)
    assert desk.client.get(f"/api/projects/{made['id']}/frames/2.jpg").status_code == 200


def test_an_uploaded_playlist_opens_no_file_of_the_server(desk: Desk, tmp_path: Path) -> None:
    secret = video_file(tmp_path / "secret.avi")
    body = f"ffconcat version 1.0\nfile '{secret}'\n".encode()
    assert "no playlist" in refused(upload(desk, ("clip.mp4", body)), 400)


def test_uploaded_pictures_are_the_frames_of_one_video(desk: Desk) -> None:
    answer = upload(desk, *((f"f{i}.png", png(frame_of(i))) for i in range(4)), name="walk")
    assert (answer.json()["name"], answer.json()["frames"]) == ("walk", 4)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM meta",
        "UPDATE meta SET value = '{\"size\": [1'",
        'UPDATE meta SET value = replace(value, \'"rate": null\', \'"rate": "1/0"\')',
        'UPDATE meta SET value = replace(value, \'"video": "video\', \'"video": "video/../..\')',
        "INSERT INTO journal VALUES (1, '{\"redo\": 1}')",
        "INSERT INTO journal VALUES (1, '{\"step\": 3}')",
        "INSERT INTO journal VALUES (1, 'x')",
        "INSERT INTO runs VALUES (1, 1, 0, 0, 'forward', '3', '{}', NULL, '')",
        'INSERT INTO runs VALUES (1, 1, 0, 0, \'forward\', \'[{"first": 0, "last": 999999999, '
        '"direction": "forward"}]\', \'{"method": "feelvos", "preset": "default", '
        "\"fine_tune\": null}', NULL, '')",
    ],
)
def test_a_broken_project_is_listed_with_its_reason(desk: Desk, damage: str) -> None:
    upload(desk, *((f"f{i}.png", png(frame_of(i))) for i in range(2)), name="walk")
    desk.library.close()
    with closing(sqlite3.connect(desk.library.folder / "walk.tinct")) as db, db:
        assert db.execute(damage).rowcount == 1
    library = Library(desk.library.folder, SMALL)
    [listed] = [each for each in library.summaries() if each["id"] == "walk"]
    library.close()
    assert listed["status"] == "failed"
    assert "walk.tinct cannot be opened" in listed["error"]


def test_removing_a_named_video_removes_the_work_and_not_the_video(desk: Desk, clip: Path) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.call("DELETE", status=204)
    assert len(list(clip.iterdir())) == FRAMES
    assert not list(desk.library.folder.glob("*.tinct*"))


def test_an_unsupported_codec(desk: Desk, tmp_path: Path) -> None:
    body = video_file(tmp_path / "a.avi").read_bytes().replace(b"FMP4", b"ZQ9Z")
    said = refused(upload(desk, ("odd.avi", body)), 400)
    assert "odd.avi is a video, but of a codec" in said
    assert str(desk.library.folder) not in said
    assert incoming(desk) == []


def test_a_broken_file_an_empty_one_and_none(desk: Desk, tmp_path: Path) -> None:
    assert "cut short" in refused(upload(desk, ("a.mp4", b"\x00\x00\x00\x18ftypmp42" + b"x" * 500)), 400)
    assert "a.mp4 is empty (0 bytes)" in refused(upload(desk, ("a.mp4", b"")), 400)
    assert "No file came" in refused(desk.client.post("/api/projects", files={"x": (None, "1")}), 400)
    assert "multipart/form-data" in refused(desk.client.post("/api/projects", content=b"abc"), 400)
    headers = {"content-type": "multipart/form-data; boundary=XX"}
    body = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.avi"\r\n\r\nRIFF'
    assert "cut short" in refused(desk.client.post("/api/projects", content=body, headers=headers), 400)
    assert incoming(desk) == []


def test_what_is_no_video_of_one_kind(desk: Desk) -> None:
    mixed = upload(desk, ("a.png", png(frame_of(0))), ("notes.txt", b"hello"))
    assert "notes.txt is no image" in refused(mixed, 400)
    twins = upload(desk, ("x/a.png", png(frame_of(0))), ("y/a.png", png(frame_of(1))))
    assert "Two files of the name a.png" in refused(twins, 400)
    sizes = upload(desk, ("a.png", png(frame_of(0))), ("b.png", png(frame_of(1, (8, 8)))))
    assert "different sizes" in refused(sizes, 400)


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "..\\..\\boot.ini",
        "/etc/cron.d/x",
        "con.avi",
        "\u202egpj.exe",
        "." * 300,
        "\x00",
    ],
)
def test_hostile_file_names_stay_in_the_folder(desk: Desk, tmp_path: Path, name: str) -> None:
    before = {path for path in tmp_path.rglob("*") if desk.library.folder not in path.parents}
    answer = upload(desk, (name, video_file(tmp_path / "a.avi").read_bytes()))
    assert answer.status_code in (200, 400)
    after = {path for path in tmp_path.rglob("*") if desk.library.folder not in path.parents}
    assert after - before <= {tmp_path / "a.avi"}
    for path in desk.library.folder.rglob("*"):
        assert path.resolve().is_relative_to(desk.library.folder.resolve())
        assert path.name.isprintable()


@pytest.mark.parametrize(
    "path", ["../journal.jsonl", "%2e%2e%2fjournal.jsonl", "..%5cx", ".part-x", "nothing.zip"]
)
def test_no_address_leaves_the_exports(desk: Desk, path: str) -> None:
    desk.tab.paint(0, painting(1))
    answer = desk.client.get(f"/api/projects/{desk.tab.project}/exports/{path}")
    assert answer.status_code in (404, 405)
    assert "error" in answer.json()


def test_an_oversized_upload_is_refused_before_and_while_it_comes(desk: Desk) -> None:
    body = os.urandom(SMALL.upload_bytes + 1)
    said = refused(upload(desk, ("big.avi", body)), 413)
    assert "200.0 kB" in said

    def unannounced() -> Any:
        yield b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.avi"\r\n\r\n'
        for _ in range(30):
            yield b"x" * 10_000

    headers = {"content-type": "multipart/form-data; boundary=XX"}
    refused(desk.client.post("/api/projects", content=unannounced(), headers=headers), 413)
    assert incoming(desk) == []


def test_videos_past_the_limits(open_desk: Callable[..., Desk], clip: Path, tmp_path: Path) -> None:
    long = write_frames(tmp_path / "long", SMALL.frames + 1)
    large = write_frames(tmp_path / "large", 1, (400, 300))
    desk = open_desk(long, large, clip)
    states = {each["name"]: each for each in desk.client.get("/api/projects").json()}
    assert "up to 50" in states["long"]["error"]
    assert "300×400 pixels" in states["large"]["error"]
    assert states["clip"]["status"] == "ready"
    assert "up to 50" in desk.tabs[0].error("GET", "", 400)


def test_one_missing_video_leaves_the_others_alone(
    open_desk: Callable[..., Desk], clip: Path, tmp_path: Path
) -> None:
    desk = open_desk(tmp_path / "gone.mp4", clip)
    gone, there = desk.client.get("/api/projects").json()
    assert gone["status"] == "failed"
    assert "There is no" in gone["error"]
    assert there["status"] == "ready"
    desk.tabs[1].paint(0, painting(1))


def test_a_video_that_changed_under_its_project(open_desk: Callable[..., Desk], clip: Path) -> None:
    open_desk(clip).tab.paint(0, painting(1))
    (clip / "000.png").unlink()
    desk = open_desk(clip)
    assert "11 frames" in desk.tab.error("GET", "", 400)


def test_a_damaged_project_is_named_and_the_others_open(open_desk: Callable[..., Desk], clip: Path) -> None:
    desk = open_desk(clip)
    (desk.library.folder / "broken").mkdir()
    (desk.library.folder / "broken" / "project.json").write_text("{")
    summaries = {each["id"]: each for each in open_desk(clip).client.get("/api/projects").json()}
    assert summaries["broken"]["status"] == "failed"
    assert "damaged" in summaries["broken"]["error"]


def test_a_mask_of_another_size_and_what_is_no_mask(desk: Desk) -> None:
    other = png(painting(1, size=(H, W + 1)))
    assert "33×24 pixels and its frame is 32×24" in desk.tab.error("PUT", "/prompts/0", 400, content=other)
    assert "no PNG" in desk.tab.error("PUT", "/prompts/0", 400, content=b"GIF89a")
    assert "no PNG" in desk.tab.error("PUT", "/prompts/0", 400, content=png(painting(1))[:60])
    assert "mode RGB" in desk.tab.error("PUT", "/prompts/0", 400, content=png(frame_of(0)))
    too_long = desk.tab.error("PUT", "/prompts/0", 413, content=b"x" * 60_000)
    assert "50.0 kB" in too_long
    many = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    assert "at most 64" in desk.tab.error("PUT", "/prompts/0", 400, content=png(many))
    assert desk.tab.document()["prompts"] == []


def test_a_correction_beyond_the_range(desk: Desk) -> None:
    said = desk.tab.error("PUT", f"/prompts/{FRAMES}", 400, content=png(painting(1)))
    assert "frames 0 to 11" in said
    assert "frames 0 to 11" in desk.tab.error("GET", "/frames/99.jpg", 400)
    assert "frames 0 to 11" in desk.tab.error("GET", "/masks/99.png", 400)
    assert "Nothing is painted on frame 3" in desk.tab.error("DELETE", "/prompts/3", 404)


def test_a_run_without_a_painted_object(desk: Desk) -> None:
    assert "Nothing is painted yet" in desk.tab.error("POST", "/run", 400, json={})
    desk.tab.paint(0, painting())
    assert "Nothing is painted yet" in desk.tab.error("POST", "/run", 400, json={})
    assert "Nothing is being computed" in desk.tab.error("POST", "/pause", 409)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"start": FRAMES}, "frames 0 to 11"),
        ({"start": "x"}, "whole number"),
        ({"direction": "sideways"}, "forward"),
        ({"method": "feelvoz"}, "Did you mean 'feelvos'"),
        ({"preset": "quick"}, "no preset"),
        ({"fine_tune": "60s"}, "does not fine-tune"),
        ({"method": 3}, "expected a text"),
    ],
)
def test_a_run_that_makes_no_sense(desk: Desk, wrong: dict[str, Any], said: str) -> None:
    desk.tab.paint(0, painting(1))
    assert said in desk.tab.error("POST", "/run", 400, json=wrong)
    assert desk.tab.document()["run"] is None


def test_bodies_that_are_no_json(desk: Desk) -> None:
    assert "no JSON" in desk.tab.error("POST", "/run", 400, content=b"{")
    assert "type list" in desk.tab.error("POST", "/run", 400, content=b"[]")
    assert "X-Tinct-Tab" in desk.tab.error("POST", "/undo", 400, headers={"X-Tinct-Tab": ""})
    assert "no address" in desk.tab.error("GET", "/nothing", 404)
    assert "Choose one of the list" in desk.client.get("/api/projects/no").json()["error"]


def test_a_full_disk_changes_nothing_and_work_goes_on_once_there_is_space(
    desk: Desk,
) -> None:
    desk.tab.paint(0, painting(1))
    file = desk.library.get(desk.tab.project).file
    for _ in range(200):  # what is left of its pages
        file._db.execute(f"PRAGMA max_page_count={file.rows('PRAGMA page_count')[0][0]}")
        answer = desk.client.put(
            f"/api/projects/{desk.tab.project}/prompts/1",
            content=png(np.random.default_rng().integers(0, 2, (H, W), np.uint8)),
            headers={"X-Tinct-Tab": "tab"},
        )
        if answer.status_code != 200:
            break
    assert answer.status_code == 507
    assert "No space left on device" in answer.json()["error"]
    file._db.execute("PRAGMA max_page_count=100000")
    desk.tab.paint(1, painting(3))
    assert desk.tab.document()["prompts"] == [0, 1]
    assert [each["id"] for each in desk.tab.document()["objects"]] == [1, 3]
    assert desk.tab.run(0)["run"]["status"] == "done"


def test_a_full_disk_in_an_upload(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    body = video_file(tmp_path / "a.avi").read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tinct.web.uploads.os.fsync", full)
        assert "No space left on device" in refused(upload(desk, ("a.avi", body)), 507)
    assert incoming(desk) == []


def test_painting_and_removing_while_a_run_is_under_way(desk: Desk) -> None:
    desk.tab.paint(0, painting(SLOW))
    desk.tab.call("POST", "/run", json={})
    document = desk.tab.paint(4, painting(2))
    assert document["prompts"] == [0, 4]
    desk.tab.call("DELETE", status=204)
    assert desk.client.get("/api/projects").json() == []
