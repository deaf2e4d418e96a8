"""Masks out of a project and into it, over HTTP; the formats themselves are tested with their own modules."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
from fake_worker import HANGS
from web_kit import FRAMES, Desk, H, W, painting, pixels, png, until


def export(desk: Desk, **values: object) -> bytes:
    name = desk.tab.call("POST", "/export", json=values)["name"]
    answer = desk.client.get(f"/api/projects/{desk.tab.project}/exports/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    return answer.content


def test_every_format_of_the_registry_is_offered(desk: Desk) -> None:
    formats = {each["format"]: each for each in desk.client.get("/api/exports").json()}
    assert {"palette-png", "coco", "overlay", "exr"} <= formats.keys()
    assert formats["exr"]["extra"] == "vfx"


def test_a_folder_comes_as_a_zip_of_what_the_page_shows(desk: Desk) -> None:
    desk.tab.paint(2, painting(1, 7))
    desk.tab.run(2)
    desk.tab.call("DELETE", "/objects/7")
    with zipfile.ZipFile(io.BytesIO(export(desk, format="palette-png", first=1, last=4))) as archive:
        masks = {name.rpartition("/")[2]: pixels(archive.read(name)) for name in archive.namelist()}
    assert sorted(masks) == ["001.png", "002.png", "003.png", "004.png"]
    assert not masks["001.png"].any()
    np.testing.assert_array_equal(masks["004.png"], np.roll(painting(1), 2, axis=0))


def test_one_file_comes_as_it_is_and_names_the_objects(desk: Desk) -> None:
    desk.tab.paint(0, painting(1))
    desk.tab.call("PATCH", "/objects/1", json={"name": "dog"})
    content = json.loads(export(desk, format="coco", first=0, last=0))
    assert "dog" in json.dumps(content)
    name = desk.tab.call("POST", "/export", json={"format": "coco", "first": 0, "last": 0})["name"]
    assert name == "clip coco 0-0.json"


def test_exports_that_make_no_sense(desk: Desk) -> None:
    assert "no objects" in desk.tab.error("POST", "/export", 400, json={"format": "coco"})
    desk.tab.paint(0, painting(1))
    assert "palette-png" in desk.tab.error("POST", "/export", 400, json={"format": "palette-pngs"})
    beyond = desk.tab.error("POST", "/export", 400, json={"format": "coco", "last": FRAMES})
    assert "frames 0 to 11" in beyond
    assert desk.library.get(desk.tab.project).file.files("export") == []


def test_an_export_goes_on_while_frames_are_computed(desk: Desk) -> None:
    desk.tab.paint(0, painting(HANGS))
    desk.tab.call("POST", "/run", json={})
    until(lambda: desk.tab.document()["run"]["done"] == 3)
    assert export(desk, format="palette-png", first=0, last=1)
    assert desk.tab.document()["run"]["status"] == "running"
    desk.tab.call("POST", "/cancel")


def test_an_imported_mask_is_painted_over_what_was_there(desk: Desk) -> None:
    desk.tab.paint(3, painting(1))
    labels = np.zeros((H, W), np.uint8)
    labels[-4:, -4:] = 2
    files = {"file": ("first.png", png(labels), "image/png")}
    document = desk.tab.call("POST", "/import", files=files, data={"frame": "3"})
    assert (document["frame"], document["imported"], document["prompts"]) == (3, [3], [3])
    np.testing.assert_array_equal(desk.tab.mask(3), painting(1) + labels)
    assert desk.tab.call("POST", "/undo")["prompts"] == [3]
    np.testing.assert_array_equal(desk.tab.mask(3), painting(1))


def test_an_import_may_replace_all_that_a_frame_shows(desk: Desk) -> None:
    desk.tab.paint(3, painting(1, 2))
    files = {"file": ("a.png", png(painting(5)), "image/png")}
    desk.tab.call("POST", "/import", files=files, data={"frame": "3"})
    np.testing.assert_array_equal(desk.tab.mask(3), painting(5, 2))
    desk.tab.call("POST", "/import", files=files, data={"frame": "3", "replace": "true"})
    np.testing.assert_array_equal(desk.tab.mask(3), painting(5))


def coco(*pictures: str) -> bytes:
    outline = [[0, 0, 4, 0, 4, 4, 0, 4]]
    content = {
        "images": [{"id": i, "file_name": n, "height": H, "width": W} for i, n in enumerate(pictures)],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": outline} for i in range(len(pictures))
        ],
    }
    return json.dumps(content).encode()


def test_a_file_that_lists_its_pictures_goes_to_their_frames(desk: Desk) -> None:
    for names, imported in ((("frame_000002.png", "frame_000005.png"), [2, 5]), (("elsewhere.png",), [7])):
        files = {"file": ("a.json", coco(*names), "application/json")}
        document = desk.tab.call("POST", "/import", files=files, data={"frame": "7"})
        assert (document["imported"], document["notes"]) == (imported, [])
    files = {"file": ("a.json", coco("elsewhere.png", "nowhere.png"), "application/json")}
    assert "none is called" in desk.tab.error("POST", "/import", 400, files=files, data={"frame": "7"})


def test_what_people_should_know_of_an_import_comes_with_it(desk: Desk) -> None:
    files = {"file": ("a.json", coco("frame_0002.png"), "application/json")}
    document = desk.tab.call("POST", "/import", files=files, data={"frame": "0"})
    assert document["imported"] == [2]
    assert ["taken for frame 2" in note for note in document["notes"]] == [True]


def test_imports_that_do_not_fit(desk: Desk) -> None:
    other = {"file": ("a.png", png(painting(1, size=(H, W + 2))), "image/png")}
    assert "34×24" in desk.tab.error("POST", "/import", 400, files=other, data={"frame": "0"})
    good = {"file": ("a.png", png(painting(1)), "image/png")}
    assert "frames 0 to 11" in desk.tab.error("POST", "/import", 400, files=good, data={"frame": "12"})
    assert "expected a number" in desk.tab.error("POST", "/import", 400, files=good, data={"frame": "x"})
    bad = {"file": ("a.json", b"{", "application/json")}
    desk.tab.error("POST", "/import", 400, files=bad, data={"frame": "0"})
    assert desk.tab.document()["prompts"] == []
