"""The whole story through the HTTP interface, without a browser: paint, run, correct, undo, come back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_worker import DIES, HANGS, RAISES, SLOW
from PIL import Image
from web_kit import FRAMES, Desk, H, Tab, W, painting, pixels, png, until, write_frames

from tinct.io.processes import host_tag


def test_a_new_project_tells_its_video_and_nothing_else(desk: Desk) -> None:
    document = desk.tab.document()
    assert (document["frames"], document["width"], document["height"]) == (FRAMES, W, H)
    assert document["name"] == "clip"
    assert document["fps"] is None
    empty = ("objects", "prompts", "done", "stale", "confidence")
    assert all(document[name] == [] for name in empty)
    assert document["run"] is None
    assert not document["can_undo"]


def test_the_range_of_deep_frames_is_told(clip: Path, tmp_path: Path, open_desk: Callable[..., Desk]) -> None:
    (tmp_path / "deep").mkdir()
    for index in range(3):
        frame = np.full((H, W), 1000 + index, np.uint16)
        Image.fromarray(frame).save(tmp_path / "deep" / f"{index}.png")
    desk = open_desk(tmp_path / "deep")
    (remark,) = desk.tab.document()["remarks"]
    assert remark == "the frames are taken to be of 10 bits: 0 is black and 1023 white"
    assert open_desk(clip).tab.document()["remarks"] == []


def test_what_is_painted_comes_back_pixel_by_pixel(desk: Desk) -> None:
    labels = painting(1, 5)
    document = desk.tab.paint(2, labels)
    assert document["prompts"] == [2]
    assert [each["id"] for each in document["objects"]] == [1, 5]
    for query in ({}, {"as": "grey"}, {"of": "painted"}):
        np.testing.assert_array_equal(desk.tab.mask(2, **query), labels)
    assert "no mask yet" in desk.tab.error("GET", "/masks/3.png", 404)


def test_masks_arrive_one_by_one_as_events_for_every_tab(desk: Desk) -> None:
    events = desk.record_events(desk.tab.project)
    desk.tab.paint(0, painting(1, 2))
    document = desk.tab.run(0)
    assert document["run"]["status"] == "done"
    assert (document["run"]["done"], document["run"]["total"]) == (FRAMES, FRAMES)
    assert document["done"] == [[0, FRAMES - 1]]
    assert [data["index"] for kind, data in events if kind == "frame"] == list(range(FRAMES))
    assert document["confidence"][3] == [3, 0.997, 1, 1.0, 2, 1.0]
    np.testing.assert_array_equal(desk.tab.mask(4), np.roll(painting(1, 2), 4, axis=0))
    runs = [data["status"] for kind, data in events if kind == "run"]
    assert runs[0] == "starting"
    assert runs[-1] == "done"


def test_a_correction_leaves_later_masks_in_place_but_stale(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.run(0)
    corrected = painting(1, 2)
    document = desk.tab.paint(6, corrected)
    assert document["done"] == [[0, FRAMES - 1]]
    assert document["stale"] == [[7, FRAMES - 1]]
    np.testing.assert_array_equal(desk.tab.mask(6), corrected)
    np.testing.assert_array_equal(desk.tab.mask(8), np.roll(painting(1), 8, axis=0))
    document = desk.tab.run(6)
    assert document["stale"] == []
    np.testing.assert_array_equal(desk.tab.mask(8), np.roll(corrected, 2, axis=0))
    np.testing.assert_array_equal(desk.tab.mask(5), np.roll(painting(1), 5, axis=0))


def test_a_backward_run_makes_earlier_frames_stale_alone(desk: Desk) -> None:
    desk.tab.paint(8, painting(1))
    document = desk.tab.run(8, "backward")
    assert document["done"] == [[0, 8]]
    assert desk.tab.paint(5, painting(3))["stale"] == [[0, 4]]


def test_both_ways_from_one_painted_frame_covers_the_video(desk: Desk) -> None:
    desk.tab.paint(4, painting(1))
    document = desk.tab.run(4, "both")
    assert document["done"] == [[0, FRAMES - 1]]
    np.testing.assert_array_equal(desk.tab.mask(1), np.roll(painting(1), 3, axis=0))
    np.testing.assert_array_equal(desk.tab.mask(7), np.roll(painting(1), 3, axis=0))


def test_undo_brings_back_the_prompts_and_the_masks_from_before(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.run(0)
    desk.tab.paint(3, painting(2))
    desk.tab.run(3)
    document = desk.tab.call("POST", "/undo")
    assert document["frame"] == 3
    assert document["prompts"] == [0]
    assert document["stale"] == []
    np.testing.assert_array_equal(desk.tab.mask(5), np.roll(painting(1), 5, axis=0))
    document = desk.tab.call("POST", "/redo")
    assert document["prompts"] == [0, 3]
    assert document["stale"] == []
    np.testing.assert_array_equal(desk.tab.mask(5), np.roll(painting(2), 2, axis=0))
    assert "nothing to redo" in desk.tab.error("POST", "/redo", 409)


def test_a_deleted_object_leaves_every_mask_at_once_and_undo_brings_it_back(desk: Desk) -> None:
    desk.tab.paint(0, painting(1, 2))
    desk.tab.run(0)
    document = desk.tab.call("DELETE", "/objects/2")
    assert [each["id"] for each in document["objects"]] == [1]
    assert document["stale"] == []
    np.testing.assert_array_equal(desk.tab.mask(4), np.roll(painting(1), 4, axis=0))
    np.testing.assert_array_equal(desk.tab.mask(0), painting(1))
    desk.tab.call("POST", "/undo")
    np.testing.assert_array_equal(desk.tab.mask(4), np.roll(painting(1, 2), 4, axis=0))


def test_objects_are_named_coloured_and_never_share_an_id(desk: Desk) -> None:
    made = desk.tab.call("POST", "/objects", json={"name": "dog", "colour": "#FF0080"})
    assert made["object"] == 1
    assert made["objects"] == [{"id": 1, "name": "dog", "colour": "#ff0080"}]
    desk.tab.call("PATCH", "/objects/1", json={"name": " big\ndog "})
    assert desk.tab.document()["objects"][0]["name"] == "big dog"
    desk.tab.call("DELETE", "/objects/1")
    assert desk.tab.call("POST", "/objects", json={"id": 1})["object"] == 2
    assert "no object 9" in desk.tab.error("DELETE", "/objects/9", 404)
    assert "#e0a030" in desk.tab.error("PATCH", "/objects/2", 400, json={"colour": "red"})


def test_a_frame_that_is_erased_shows_nothing_and_teaches_nothing(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.paint(2, painting())
    desk.tab.run(0)
    assert not desk.tab.mask(2).any()
    np.testing.assert_array_equal(desk.tab.mask(3), np.roll(painting(1), 3, axis=0))


def test_pause_resume_and_cancel_act_between_frames(desk: Desk) -> None:
    desk.tab.paint(0, painting(SLOW))
    desk.tab.call("POST", "/run", json={"start": 0})
    until(lambda: desk.tab.document()["run"]["done"] > 1)
    assert desk.tab.call("POST", "/pause")["run"]["status"] == "paused"
    desk.tab.call("POST", "/resume")
    until(lambda: desk.tab.document()["run"]["done"] > 4)
    document = desk.tab.call("POST", "/cancel")
    assert document["run"]["status"] == "cancelled"
    assert document["run"]["done"] < FRAMES
    assert "No run is under way" in desk.tab.error("POST", "/cancel", 409)
    document = desk.tab.call("POST", "/resume")
    until(lambda: desk.tab.document()["run"]["status"] == "done")
    assert desk.tab.document()["done"] == [[0, FRAMES - 1]]


def test_a_worker_in_a_long_step_is_replaced_when_it_is_cancelled(desk: Desk) -> None:
    desk.tab.paint(0, painting(HANGS))
    desk.tab.call("POST", "/run", json={"start": 0})
    until(lambda: desk.tab.document()["run"]["done"] == 3)
    desk.tab.call("POST", "/cancel")
    desk.tab.paint(0, painting(1))
    assert desk.tab.run(0)["run"]["status"] == "done"


def test_a_new_run_takes_the_place_of_one_that_hangs(desk: Desk) -> None:
    desk.tab.paint(0, painting(HANGS))
    desk.tab.call("POST", "/run", json={"start": 0})
    until(lambda: desk.tab.document()["run"]["done"] == 3)
    desk.tab.paint(0, painting(1))
    assert desk.tab.run(0)["run"]["status"] == "done"


@pytest.mark.parametrize(("trick", "said"), [(RAISES, "gave NaN"), (DIES, "process ended in the middle")])
def test_a_run_that_fails_keeps_its_masks_and_says_why(desk: Desk, trick: int, said: str) -> None:
    events = desk.record_events(desk.tab.project)
    desk.tab.paint(0, painting(trick))
    document = desk.tab.run(0)
    assert document["run"]["status"] == "failed"
    assert said in document["run"]["message"]
    assert document["done"] == [[0, 2]]
    assert any(said in data["error"] for kind, data in events if kind == "error")
    desk.tab.paint(0, painting(1))
    assert desk.tab.run(0)["run"]["status"] == "done"


def test_what_a_killed_server_was_writing_is_swept_by_the_next(
    open_desk: Callable[..., Desk], clip: Path, tmp_path: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    projects = tmp_path / "projects"
    scratch = projects / ".scratch" / open_desk(clip).tab.project
    left = [folder / f".0.{host_tag()}-{gone.pid}-abc_1234.part.png" for folder in (projects, scratch)]
    left.append(projects / f".x.{host_tag()}-{gone.pid}-abc_1234.part.tinct-wal")
    for path in left:
        path.write_bytes(b"half")
    open_desk(clip)
    assert not any(path.exists() for path in left)


def test_everything_is_there_again_in_a_new_server(open_desk: Callable[..., Desk], clip: Path) -> None:
    first = open_desk(clip)
    first.tab.paint(0, painting(1, 2))
    first.tab.run(0)
    first.tab.paint(5, painting(2))
    first.tab.call("POST", "/undo")
    before = first.tab.document()
    masks = [first.tab.mask(index) for index in range(FRAMES)]
    second = open_desk(clip)
    before["run"]["fps"] = None
    assert second.tab.document() == {**before, "writer": None}
    for index in range(FRAMES):
        np.testing.assert_array_equal(second.tab.mask(index), masks[index])
    assert second.tab.call("POST", "/redo")["prompts"] == [0, 5]


def test_frames_are_jpegs_of_the_width_that_was_asked_for(desk: Desk) -> None:
    whole = pixels(desk.tab.call("GET", "/frames/3.jpg"))
    assert whole.shape == (H, W, 3)
    assert abs(int(whole[H // 4, W // 2, 1]) - 200) < 8
    assert pixels(desk.tab.call("GET", "/frames/3.jpg?width=16")).shape == (12, 16, 3)
    answer = desk.client.get(f"/api/projects/{desk.tab.project}/frames/3.jpg")
    again = desk.client.get(answer.url.path, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_one_video_is_computed_at_a_time_and_the_others_are_queued(
    open_desk: Callable[..., Desk], tmp_path: Path, clip: Path
) -> None:
    desk = open_desk(clip, write_frames(tmp_path / "other", 8), write_frames(tmp_path / "third", 8))
    one, other, third = desk.tabs
    for tab in desk.tabs:
        tab.paint(0, painting(SLOW))
        tab.call("POST", "/run", json={})
    assert [tab.document()["run"]["status"] for tab in (other, third)] == ["queued", "queued"]
    assert third.call("POST", "/cancel")["run"]["status"] == "cancelled"
    other.paint(1, painting(2))  # before its turn: its run knows it
    one.call("POST", "/pause")  # a paused run gives way
    until(lambda: other.document()["run"]["status"] == "done")
    assert other.document()["stale"] == []
    np.testing.assert_array_equal(other.mask(3), np.roll(painting(2), 2, axis=0))
    assert one.document()["run"]["status"] == "paused"
    one.call("POST", "/resume")
    until(lambda: one.document()["run"]["status"] == "done")
    assert one.document()["done"] == [[0, FRAMES - 1]]
    assert third.document()["done"] == []


def test_a_rejected_run_leaves_exactly_what_was_there_through_any_number_of_runs(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))

    def look() -> list[object]:
        document = desk.tab.document()
        parts: list[object] = [document[name] for name in ("done", "stale", "confidence", "prompts")]
        done = {i for first, last in document["done"] for i in range(first, last + 1)} | {
            *document["prompts"]
        }
        return [*parts, *(desk.tab.mask(i).tolist() for i in sorted(done))]

    looks = [look()]
    for start, direction in ((0, "forward"), (6, "backward"), (3, "both"), (5, "forward")):
        desk.tab.run(start, direction)
        looks.append(look())
    assert [each["run"] for each in desk.tab.document()["history"]] == [1, 2, 3, 4]
    for run in (4, 3, 2, 1):
        desk.tab.call("POST", f"/runs/{run}/verdict", json={"verdict": "rejected"})
        assert look() == looks[run - 1]
    for run in (1, 2, 3, 4):
        desk.tab.call("POST", "/undo")
        assert look() == looks[run]
    desk.tab.call("POST", "/runs/2/verdict", json={"verdict": "rejected", "later": True})
    assert look() == looks[1]
    desk.tab.call("POST", "/undo")
    assert look() == looks[4]
    assert "no run 9" in desk.tab.error("POST", "/runs/9/verdict", 404, json={"verdict": "kept"})
    assert "'good' came" in desk.tab.error("POST", "/runs/1/verdict", 400, json={"verdict": "good"})


def test_before_a_run_is_still_there_to_be_compared(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.run(0)
    desk.tab.paint(2, painting(3))
    desk.tab.run(2)
    np.testing.assert_array_equal(desk.tab.mask(5), np.roll(painting(3), 3, axis=0))
    np.testing.assert_array_equal(desk.tab.mask(5, before="2"), np.roll(painting(1), 5, axis=0))
    assert "no mask yet" in desk.tab.error("GET", "/masks/5.png?before=1", 404)


@pytest.mark.parametrize("paused", [False, True])
def test_painting_during_a_run_begins_it_again_from_the_earliest_change_and_says_so(
    desk: Desk, paused: bool
) -> None:
    events = desk.record_events(desk.tab.project)
    desk.tab.paint(0, painting(SLOW))
    desk.tab.call("POST", "/run", json={})
    until(lambda: desk.tab.document()["run"]["done"] > 4)
    if paused:
        desk.tab.call("POST", "/pause")
    document = desk.tab.paint(2, painting(1))
    if paused:
        assert (document["run"]["status"], document["run"]["goes_on_from"]) == ("paused", 2)
        desk.tab.call("POST", "/resume")
    until(lambda: [*desk.tab.document()["stale"], desk.tab.document()["run"]["status"]] == ["done"])
    document = desk.tab.document()
    assert document["done"] == [[0, FRAMES - 1]]
    np.testing.assert_array_equal(desk.tab.mask(1), np.roll(painting(SLOW), 1, axis=0))
    np.testing.assert_array_equal(desk.tab.mask(9), np.roll(painting(1), 7, axis=0))
    [said] = [data["text"] for kind, data in events if kind == "notice"]
    assert said == "Painted since this run began: frame 2. It goes on from frame 2."
    assert [each["run"] for each in document["history"]] == [1]  # one run for people, and one to reject
    desk.tab.call("POST", "/runs/1/verdict", json={"verdict": "rejected"})
    assert desk.tab.document()["done"] == []


def test_a_run_stays_between_its_in_and_out(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.call("POST", "/run", json={"start": 0, "first": 4, "last": 6})
    until(lambda: desk.tab.document()["run"]["status"] == "done")
    assert desk.tab.document()["done"] == [[4, 6]]
    np.testing.assert_array_equal(desk.tab.mask(5), np.roll(painting(1), 5, axis=0))
    said = desk.tab.error("POST", "/run", 400, json={"start": 0, "first": 6, "last": 4})
    assert "put in before out" in said
    assert "frames 0 to 11" in desk.tab.error("POST", "/run", 400, json={"last": FRAMES})


def test_a_locked_frame_shows_the_same_whatever_comes(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.run(0)
    document = desk.tab.call("POST", "/locks", json={"first": 4, "last": 5})
    assert document["locks"] == [[4, 5]]
    assert "is locked" in desk.tab.error("PUT", "/prompts/4", 409, content=png(painting(2)))
    desk.tab.paint(2, painting(3))
    assert desk.tab.document()["stale"] == [[3, 3], [6, FRAMES - 1]]
    desk.tab.run(2)
    np.testing.assert_array_equal(desk.tab.mask(4), np.roll(painting(1), 4, axis=0))
    np.testing.assert_array_equal(desk.tab.mask(6), np.roll(painting(3), 4, axis=0))
    desk.tab.call("POST", "/locks", json={"first": 4, "last": 5, "locked": False})
    np.testing.assert_array_equal(desk.tab.mask(4), np.roll(painting(3), 2, axis=0))


def test_only_one_live_tab_writes_until_another_takes_over(desk: Desk) -> None:
    second = Tab(desk.client, desk.tab.project, "second")
    desk.tab.paint(0, painting(1))
    assert desk.tab.document()["writer"] == "tab"
    said = second.error("PUT", "/prompts/0", 409, content=png(painting(2)))
    assert "another tab" in said
    assert "another tab" in second.error("POST", "/writer-lock", 409, json={})
    assert second.call("POST", "/writer-lock", json={"force": True})["writer"] == "second"
    second.paint(0, painting(2))
    desk.tab.error("POST", "/undo", 409)
    np.testing.assert_array_equal(desk.tab.mask(0), painting(2))
