"""Finishing on the server: rules by object, the preview, soft exports, soft masks, the list of exports."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import av
import numpy as np
from PIL import Image
from web_kit import FRAMES, Desk, H, Tab, W, pixels

FEATHER = {"feather_px": 3}


def square(object_id: int = 1) -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[6:18, 8:20] = object_id
    return labels


def alpha(tab: Tab, index: int, objects: str = "1") -> np.ndarray:
    return pixels(tab.call("GET", f"/alphas/{index}.png", params={"objects": objects}))[..., 1] / 255


def finish(tab: Tab, object_id: int, *rules: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = tab.call("PUT", f"/finishing/{object_id}", json={"rules": list(rules)})
    return document


def export(tab: Tab, **request: Any) -> bytes:
    name = tab.call("POST", "/export", json=request)["name"]
    content = tab.call("GET", f"/exports/{name}")
    assert isinstance(content, bytes)
    return content


def files_of(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = {name: np.array(Image.open(archive.open(name))) for name in archive.namelist()}
    return {name.split("/", 1)[1]: picture for name, picture in found.items()}


def test_rules_are_previewed_undone_and_leave_the_masks(desk: Desk) -> None:
    tab = desk.tab
    tab.paint(0, square())
    np.testing.assert_array_equal(alpha(tab, 0), square())
    document = finish(tab, 1, FEATHER, {"grow_px": 2, "first": 3, "last": 3})
    assert [rule["first"] for rule in document["finishing"]["1"]] == [0, 3]
    soft = alpha(tab, 0)
    np.testing.assert_array_equal(soft > 0.5, square() > 0)
    assert ((soft > 0) & (soft < 1)).any()
    np.testing.assert_array_equal(tab.mask(0), square())
    assert not alpha(tab, 0, "").any()
    tab.call("POST", "/undo")
    np.testing.assert_array_equal(alpha(tab, 0), square())
    assert tab.document()["finishing"] == {}


def test_what_is_no_finishing_is_refused(desk: Desk) -> None:
    tab = desk.tab
    tab.paint(0, square())
    for rules, words in (
        ([{"fether_px": 1}], "feather_px"),
        ([{"feather_px": -1}], "from 0 to 200"),
        ([{"matte": 3}], "no matte 3"),
        ("all", "a list of objects"),
        ([{}] * 101, "101 rules"),
    ):
        assert words in tab.error("PUT", "/finishing/1", 400, json={"rules": rules})
    assert "no object 9" in tab.error("PUT", "/finishing/9", 404, json={"rules": [FEATHER]})
    assert "ids with commas" in tab.error("GET", "/alphas/0.png", 400, params={"objects": "x"})


def test_exports_are_finished_of_some_objects_from_a_number_to_the_last_frame(desk: Desk) -> None:
    tab = desk.tab
    tab.paint(0, square() + np.uint8(2) * (np.roll(square(), 12, axis=1) > 0))
    assert "matte or a feather" in tab.error("POST", "/export", 400, json={"format": "soft-png"})
    finish(tab, 1, FEATHER)
    request = {"first": FRAMES - 2, "last": None, "objects": [1], "start": 7}
    files = files_of(export(tab, format="soft-png", **request))
    assert sorted(files) == ["1_object_1/00007.png", "1_object_1/00008.png"]
    first = files_of(export(tab, format="soft-png", first=0, last=0))["1_object_1/000.png"] / 65535
    assert ((first > 0) & (first < 1)).any()
    assert "objects 1, 2" in tab.error("POST", "/export", 400, json={"format": "exr", "objects": [9]})
    movie = export(tab, format="cutout-prores", rate="30000/1001")
    with av.open(io.BytesIO(movie)) as container:
        assert str(container.streams.video[0].average_rate) == "30000/1001"
    assert "The rate 'fast'" in tab.error("POST", "/export", 400, json={"format": "overlay", "rate": "fast"})


def test_exports_are_listed_and_deleted(desk: Desk) -> None:
    tab = desk.tab
    tab.paint(0, square())
    export(tab, format="palette-png", last=0)
    export(tab, format="coco")
    newest, oldest = tab.call("GET", "/exports")
    assert newest["name"].endswith(".json")
    assert newest["size"] > 0
    tab.call("DELETE", f"/exports/{newest['name']}", 204)
    assert tab.call("GET", "/exports") == [oldest]
    assert "no export" in tab.error("DELETE", f"/exports/{newest['name']}", 404)


def test_soft_masks_are_stored_if_one_asks(desk: Desk) -> None:
    tab = desk.tab
    tab.paint(0, square())
    assert not tab.run()["has_soft_masks"]
    assert tab.call("PUT", "/soft-masks", json={"keep": True})["soft_masks"]
    tab.paint(0, square(2))
    assert tab.run()["has_soft_masks"]
    project = desk.library.get(tab.project)
    stored = project.file.soft_masks(2, project.runs.latest.number)
    assert set(stored) == {2}
    files = files_of(export(tab, format="soft-png", first=2, last=2))
    np.testing.assert_array_equal(files["2_object_2/002.png"] / 65535, pixels(stored[2]) / 255)
