from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinct.errors import MaskError
from tinct.interchange.imports import read_annotations
from tinct.io.masks import MaskWarning
from tinct.io.video import Video

Save = Callable[..., Path]


def shape(label: str, points: list[list[float]], kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def labelme(*shapes: dict[str, Any], picture: str = "00002.jpg", **more: Any) -> dict[str, Any]:
    content = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": picture}
    return {**content, "imageData": "!" * 50, "imageHeight": 12, "imageWidth": 16, **more}


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_labels_are_objects_and_later_shapes_lie_on_top(video: Video, save: Save) -> None:
    content = labelme(
        shape("dog", box(1, 1, 6, 6)),
        shape("cat", [[4, 4], [9, 9]], "rectangle"),
        shape("dog", box(10, 0, 12, 2)),
        shape("ball", [[13.5, 8.5], [13.5, 9.6]], "circle"),
    )
    with pytest.warns(MaskWarning, match="the 2 shapes 'dog' of frame 2 are one object.* group"):
        annotated = read_annotations(save(content), video)
    assert list(annotated.prompts) == [2]
    assert annotated.names == {1: "dog", 2: "cat", 3: "ball"}
    expected = np.zeros((12, 16), np.uint8)
    expected[1:6, 1:6] = 1
    expected[4:9, 4:9] = 2
    expected[0:2, 10:12] = 1
    expected[7:10, 13] = 3
    expected[8, 12:15] = 3
    np.testing.assert_array_equal(annotated.prompts[2], expected)


def test_groups_tell_objects_of_one_label_apart(video: Video, save: Save) -> None:
    content = labelme(
        shape("dog", box(0, 0, 2, 2), group_id=7),
        shape("dog", box(4, 0, 6, 2), group_id=9),
        shape("dog", box(8, 0, 10, 2), group_id=7),
    )
    prompts, names = read_annotations(save(content), video)
    assert prompts[2][0].tolist() == [1, 1, 0, 0, 2, 2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert names == {1: "dog", 2: "dog"}


def test_a_painted_patch_is_read(video: Video, save: Save) -> None:
    patch = np.array([[1, 0, 1], [0, 1, 1]], np.uint8) * 255
    file = io.BytesIO()
    Image.fromarray(patch).convert("1").save(file, "PNG")
    encoded = base64.b64encode(file.getvalue()).decode()
    content = labelme(shape("dog", [[5, 3], [7, 4]], "mask", mask=encoded))
    labels = read_annotations(save(content), video).prompts[2]
    np.testing.assert_array_equal(labels[3:5, 5:8], patch // 255)
    assert labels.sum() == 4


def test_a_known_label_keeps_its_id(video: Video, save: Save) -> None:
    content = labelme(shape("bird", box(0, 0, 2, 2)), shape("dog", box(4, 0, 6, 2)))
    prompts, names = read_annotations(save(content), video, known={3: "dog", 1: ""})
    assert names == {2: "bird", 3: "dog"}
    assert sorted(set(prompts[2].ravel().tolist())) == [0, 2, 3]


def test_an_object_that_tinct_named_keeps_its_id(video: Video, save: Save) -> None:
    prompts, names = read_annotations(save(labelme(shape("object 9", box(0, 0, 2, 2)))), video)
    assert (names, int(prompts[2].max())) == ({}, 9)


def test_the_index_wins_over_the_name(video: Video, save: Save) -> None:
    path = save(labelme(shape("dog", box(0, 0, 2, 2)), picture="elsewhere.png"))
    assert list(read_annotations(path, video, frame=4).prompts) == [4]
    with pytest.raises(MaskError, match=r"painted on elsewhere\.png, and no frame .* INDEX:masks\.json"):
        read_annotations(path, video)


@pytest.mark.parametrize(
    ("picture", "index"),
    [
        ("shot_b.jpg", 1),
        ("shot_b", 1),
        ("..\\images\\shot_c.PNG", 2),
        ("a/b/shot_a.tif", 0),
        ("shot_d.jpg", None),
        ("00001.jpg", None),
        ("", None),
    ],
)
def test_pictures_are_found_by_name(named_video: Video, save: Save, picture: str, index: int | None) -> None:
    path = save(labelme(shape("dog", box(0, 0, 2, 2)), picture=picture))
    if index is None:
        with pytest.raises(MaskError, match="no frame of the video is called so"):
            read_annotations(path, named_video)
    else:
        assert list(read_annotations(path, named_video).prompts) == [index]


def test_holes_are_background_and_ignored_areas_void(video: Video, save: Save) -> None:
    content = labelme(
        shape("ring", box(1, 1, 6, 6)),
        shape("_background_", box(2, 2, 4, 4)),
        shape("__ignore__", box(8, 1, 10, 3)),
        shape("Background", box(4, 4, 5, 5), group_id=3),
    )
    prompts, names = read_annotations(save(content), video)
    expected = np.zeros((12, 16), np.uint8)
    expected[1:6, 1:6] = 1
    expected[2:4, 2:4] = 0
    expected[4, 4] = 0
    expected[1:3, 8:10] = 255
    np.testing.assert_array_equal(prompts[2], expected)
    assert names == {1: "ring"}
    with pytest.raises(MaskError, match="no object"):
        read_annotations(save(labelme(shape("_background_", box(2, 2, 4, 4)))), video)


@pytest.mark.parametrize("kind", ["rotation", "quadrilateral", "oriented_rectangle", "rectangle"])
def test_shapes_of_four_corners_are_their_outline(video: Video, save: Save, kind: str) -> None:
    turned = [[5, 1], [9, 5], [5, 9], [1, 5]]
    labels = read_annotations(save(labelme(shape("dog", turned, kind))), video).prompts[2]
    assert [int(row.sum()) for row in labels] == [0, 1, 3, 5, 7, 7, 5, 3, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "points", "why"),
    [
        ("point", [[5, 5]], "is a point, which has no area"),
        ("linestrip", [[5, 5], [9, 9]], "which has no area"),
        ("cuboid", box(0, 0, 4, 4) * 2, "a cuboid, which is a body in space"),
        ("spiral", box(0, 0, 4, 4), "a spiral, which is not known here"),
        ("polygon", [[5, 5], [9, 9]], "2 points; a polygon needs 3"),
    ],
)
def test_a_shape_without_an_area_is_left_out_with_a_warning(
    video: Video, save: Save, kind: str, points: list[list[float]], why: str
) -> None:
    content = labelme(shape("dog", box(0, 0, 2, 2)), shape("tip", points, kind))
    with pytest.warns(MaskWarning, match=f"Left out: Shape 1 of masks.json .tip. .*{why}"):
        prompts, names = read_annotations(save(content), video)
    assert (prompts[2].sum(), names) == (4, {1: "dog"})
    with pytest.raises(MaskError, match=why):
        read_annotations(save(labelme(shape("tip", points, kind))), video)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (labelme(), "no object: nothing was painted"),
        (labelme(shape("dog", box(0, 0, 2, 2)), imageHeight=13), "16×13 pixels and its frame is 16×12"),
        (labelme(shape("dog", box(0, 0, 2, 2)), imageHeight=None), "imageHeight"),
        (labelme(shape("dog", [[0, 0], [2, 2]], "line")), "Shape 0 of masks.json .dog. is a line"),
        (labelme(shape("", box(0, 0, 2, 2))), "no label"),
        (labelme(shape("dog", [[0, 0], [1, 1]])), "2 points; a polygon needs 3"),
        (labelme(shape("dog", [[0, 0], [1, 1], ["x", 2]])), "'x' came, expected a number"),
        (labelme(shape("dog", [[0, 0], [1, 1], [float("nan"), 2]])), "NaN is not finite"),
        (labelme(shape("dog", [])), "no points"),
        (labelme(shape("dog", [[0, 0], [3, 3]], "mask", mask="no base64")), "its mask cannot be read"),
        (labelme(shape("dog", box(50, 50, 60, 60))), "no object"),
        ({"shapes": 3, "imageHeight": 12, "imageWidth": 16}, "no list of shapes"),
    ],
)
def test_a_wrong_file_is_explained(video: Video, save: Save, content: Any, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        read_annotations(save(content), video)
