from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.errors import MaskError
from tinct.interchange.exports import LabelledVideo, export
from tinct.interchange.imports import read_annotations
from tinct.interchange.imports.coco import decode_counts
from tinct.io.masks import MaskWarning
from tinct.io.video import Video

Save = Callable[..., Path]


def labels() -> np.ndarray:
    annotated = np.zeros((12, 16), np.uint8)
    annotated[1:6, 1:6] = 2
    annotated[3:9, 4:10] = 5
    annotated[10:, 14:] = 2
    return annotated


def packed(mask: np.ndarray) -> dict[str, Any]:
    coco = pytest.importorskip("pycocotools.mask", reason="needs pycocotools")
    found = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


def counted(mask: np.ndarray) -> dict[str, Any]:
    flat = mask.ravel(order="F").astype(int)
    borders = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *borders, len(flat)]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def polygon(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def coco(*annotations: dict[str, Any], images: int = 1, **more: Any) -> dict[str, Any]:
    listed = [{"id": i + 10, "file_name": f"00{i:03d}.jpg", "height": 12, "width": 16} for i in range(images)]
    return {
        "images": listed,
        "annotations": [
            {"id": at, "image_id": 10, "iscrowd": 0, **one} for at, one in enumerate(annotations)
        ],
        "categories": [{"id": 4, "name": "dog"}, {"id": 2, "name": "cat"}],
        **more,
    }


@pytest.mark.parametrize("way", [packed, counted])
def test_run_lengths_come_back_exactly(video: Video, save: Save, way: Callable[..., Any]) -> None:
    annotated = labels()
    content = coco(
        {"category_id": 4, "segmentation": way(annotated == 2), "track_id": 2, "iscrowd": 1},
        {"category_id": 2, "segmentation": way(annotated == 5), "track_id": 5},
    )
    prompts, names = read_annotations(save(content), video)
    np.testing.assert_array_equal(prompts[0], annotated)
    assert names == {2: "dog", 5: "cat"}


def test_polygons_are_filled_and_joined(video: Video, save: Save) -> None:
    content = coco({"category_id": 4, "segmentation": [polygon(1, 1, 4, 3), polygon(8, 5, 9, 12)]})
    prompts, _ = read_annotations(save(content), video)
    expected = np.zeros((12, 16), np.uint8)
    expected[1:3, 1:4] = 1
    expected[5:12, 8] = 1
    np.testing.assert_array_equal(prompts[0], expected)


def test_polygons_agree_with_pycocotools_but_for_the_rim(video: Video, save: Save) -> None:
    import warnings

    reference = pytest.importorskip("pycocotools.mask", reason="needs pycocotools")
    points = [2.3, 1.2, 13.7, 3.1, 11.2, 10.4, 4.4, 9.9]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        theirs = reference.decode(reference.merge(reference.frPyObjects([points], 12, 16)))
    ours = read_annotations(save(coco({"category_id": 4, "segmentation": [points]})), video).prompts[0]
    different = ours != theirs
    import cv2

    rim = cv2.dilate(theirs, np.ones((3, 3), np.uint8)) != cv2.erode(theirs, np.ones((3, 3), np.uint8))
    assert (theirs[~rim] == ours[~rim]).all()
    assert different.sum() <= 8
    assert ours.sum() > 40


def test_every_annotation_of_one_picture_is_an_object(video: Video, save: Save) -> None:
    content = coco(
        {"category_id": 4, "segmentation": [polygon(0, 0, 2, 2)]},
        {"category_id": 4, "segmentation": [polygon(4, 0, 6, 2)]},
        {"category_id": 2, "segmentation": [polygon(5, 0, 8, 2)]},
    )
    prompts, names = read_annotations(save(content), video, frame=3)
    assert prompts[3][0].tolist() == [1, 1, 0, 0, 2, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0]
    assert names == {1: "dog", 2: "dog", 3: "cat"}


def test_over_several_pictures_a_category_is_an_object(video: Video, save: Save) -> None:
    content = coco(
        {"category_id": 2, "segmentation": [polygon(0, 0, 2, 2)], "image_id": 12},
        {"category_id": 4, "segmentation": [polygon(4, 0, 6, 2)], "image_id": 12},
        {"category_id": 2, "segmentation": [polygon(8, 0, 9, 2)], "image_id": 10},
        images=3,
    )
    prompts, names = read_annotations(save(content), video)
    assert list(prompts) == [0, 2]
    # In the order of the categories.
    assert names == {1: "dog", 2: "cat"}
    assert prompts[2][0].tolist() == [2, 2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert prompts[0][0, 8] == 2


@pytest.mark.parametrize("where", ["track_id", "instance_id", "attributes"])
def test_track_ids_are_object_ids(video: Video, save: Save, where: str) -> None:
    def track(number: int) -> dict[str, Any]:
        return {"attributes": {"track_id": number}} if where == "attributes" else {where: number}

    content = coco(
        {"category_id": 4, "segmentation": [polygon(0, 0, 2, 2)], **track(7)},
        {"category_id": 4, "segmentation": [polygon(4, 0, 6, 2)], **track(3)},
        {"category_id": 4, "segmentation": [polygon(8, 0, 9, 2)], **track(1000)},
    )
    # 1000 is no id that a label map can hold; it gets the lowest that is free.
    with pytest.warns(MaskWarning, match="1000 becomes 1"):
        prompts, names = read_annotations(save(content), video)
    assert prompts[0][0].tolist() == [7, 7, 0, 0, 3, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert names == {1: "dog", 3: "dog", 7: "dog"}


@pytest.mark.parametrize(
    ("known", "expected"), [({7: "dog"}, 7), ({7: ""}, 7), ({7: "horse"}, 1), ({1: "x", 7: "y"}, 2)]
)
def test_a_track_takes_no_id_of_another_object(
    video: Video, save: Save, known: dict[int, str], expected: int
) -> None:
    content = coco({"category_id": 4, "segmentation": [polygon(0, 0, 2, 2)], "track_id": 7})
    changed = pytest.warns(MaskWarning, match=f"7 becomes {expected}") if expected != 7 else nullcontext()
    with changed:
        assert read_annotations(save(content), video, known=known).prompts[0].max() == expected


SQUARE = polygon(1, 1, 4, 3)


@pytest.mark.parametrize(
    "outline",
    [SQUARE, [[SQUARE[i : i + 2] for i in range(0, 8, 2)]], [SQUARE[i : i + 2] for i in range(0, 8, 2)]],
    ids=["without the outer list", "pairs", "pairs without the outer list"],
)
def test_an_outline_of_another_form_is_read_where_it_means_one_thing(
    video: Video, save: Save, outline: list[Any]
) -> None:
    labels = read_annotations(save(coco({"category_id": 4, "segmentation": outline})), video).prompts[0]
    assert labels[1:3, 1:4].all()
    assert labels.sum() == 6


def test_parts_and_annotations_without_an_area_are_left_out_with_a_warning(video: Video, save: Save) -> None:
    content = coco({"category_id": 4, "segmentation": [SQUARE, [5, 5, 6, 6]]})
    with pytest.warns(MaskWarning, match=r"Annotation 0 of masks\.json has a part of 2 points"):
        assert read_annotations(save(content), video).prompts[0].sum() == 6
    more = {"category_id": 2, "segmentation": [[5, 5, 6, 6]]}
    content = coco({"category_id": 4, "segmentation": [SQUARE]}, more, more)
    with pytest.warns(MaskWarning, match=r"Left out: Annotation 1 .* 2 points.*\(1 more"):
        prompts, names = read_annotations(save(content), video)
    assert (prompts[0].sum(), names) == (6, {1: "dog"})


def test_an_object_without_a_pixel_is_warned_of(video: Video, save: Save) -> None:
    thin = {"category_id": 2, "segmentation": [[2, 2, 3, 2, 4, 2]]}
    with pytest.warns(MaskWarning, match="'cat' has no pixel"):
        read_annotations(save(coco({"category_id": 4, "segmentation": [SQUARE]}, thin)), video)


def test_background_is_no_object_and_needs_no_track(video: Video, save: Save) -> None:
    content = coco(
        {"category_id": 4, "segmentation": [SQUARE], "track_id": 3},
        {"category_id": 9, "segmentation": [polygon(1, 1, 2, 3)]},
    )
    content["categories"].append({"id": 9, "name": "background"})
    prompts, names = read_annotations(save(content), video)
    assert prompts[0][1, :5].tolist() == [0, 0, 3, 3, 0]
    assert names == {3: "dog"}


def test_what_tinct_exports_comes_back(video: Video, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools")
    annotated = labels()
    source = LabelledVideo(
        video.names,
        video.size,
        (2, 5),
        lambda index: np.roll(annotated, index, axis=1),
        video,
        None,
        {5: "cat"},
    )
    path = export(source, "coco", tmp_path / "masks", first=1, last=3)
    prompts, names = read_annotations(path, video)
    assert names == {5: "cat"}
    assert list(prompts) == [1, 2, 3]
    for index, labels_there in prompts.items():
        np.testing.assert_array_equal(labels_there, np.roll(annotated, index, axis=1))


def test_of_several_videos_the_folder_of_this_one_is_taken(save: Save, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "walk").mkdir()
    for t in range(2):
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "walk" / f"{t:05d}.png")
    video = Video.open(tmp_path / "walk")
    images = [
        {"id": at, "file_name": f"{folder}/00001.jpg", "height": 12, "width": 16}
        for at, folder in enumerate(("run", "walk"), start=10)
    ]
    content = coco(
        {"category_id": 4, "segmentation": [polygon(0, 0, 2, 2)], "image_id": 10},
        {"category_id": 4, "segmentation": [polygon(4, 0, 6, 2)], "image_id": 11},
        images=0,
    ) | {"images": images}
    prompts, _ = read_annotations(save(content), video)
    assert prompts[1][0, :6].tolist() == [0, 0, 0, 0, 1, 1]
    images[1]["file_name"] = "jump/00001.jpg"
    with pytest.raises(MaskError, match="several videos"):
        read_annotations(save({**content, "images": images}), video)


ONE = {"category_id": 4, "segmentation": [polygon(0, 0, 2, 2)]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (coco(), "no object: nothing was painted"),
        (coco({**ONE, "category_id": 9}), "category 9, which masks.json does not list"),
        (coco({**ONE, "image_id": 3}), "picture 3, which masks.json does not list"),
        (coco({**ONE, "segmentation": []}), "no mask, perhaps a box only"),
        (coco({"category_id": 4}), "no mask"),
        (coco({**ONE, "segmentation": [[1, 2, 3, 4]]}), "outline of 2 points, which has no area"),
        (coco({**ONE, "segmentation": [[1, 2, 3, 4, 5]]}), "polygon that is not"),
        (coco({**ONE, "segmentation": ["1, 2", [1, 2]]}), "polygon that is not|'1, 2' came"),
        (
            coco({**ONE, "segmentation": {"size": [12, 16], "counts": [-1, 193]}}),
            r"one of them is negative \(-1\)",
        ),
        (coco({**ONE, "segmentation": [[1, 2, 3, 4, 5, "x"]]}), "'x' came"),
        (
            coco({**ONE, "segmentation": {"size": [16, 12], "counts": [192]}}),
            r"\[16, 12\], and its picture \[12, 16\]",
        ),
        (
            coco({**ONE, "segmentation": {"size": [12, 16], "counts": [100]}}),
            "of 100 pixels, and its picture has 192",
        ),
        (coco({**ONE, "segmentation": {"size": [12, 16], "counts": [200, -8]}}), "run lengths"),
        (coco({**ONE, "segmentation": {"size": [12, 16], "counts": [10**30]}}), "run lengths"),
        (coco({**ONE, "segmentation": {"size": [12, 16], "counts": {}}}), "run lengths"),
        (coco({**ONE, "segmentation": {"size": [12, 16], "counts": [192]}}), "no object"),
        (coco({**ONE, "track_id": 1}, ONE), "no track id, but others have"),
        (coco({**ONE, "track_id": "a"}), "'a' came"),
        (coco(ONE, ONE, {**ONE, "image_id": 11}, images=2), "shows one category 2 times"),
        (
            coco(ONE) | {"images": [{"id": 10, "file_name": "00000.jpg", "height": 24, "width": 32}]},
            "32×24 pixels",
        ),
        (
            coco(ONE) | {"images": [{"id": 10, "file_name": "00009.jpg", "height": 12, "width": 16}]},
            "no frame",
        ),
        (coco(ONE) | {"images": 3}, "`images` of masks.json is no list"),
        (coco(ONE) | {"images": [{"id": [1]}]}, "no number"),
        ({"videos": []}, "YouTube-VIS"),
        ([], "neither of LabelMe"),
        ("{", "cannot be read as annotations: Expecting"),
        ("[" * 100_000, "nested too deeply"),
        ("nothing", "is no JSON"),
    ],
)
def test_a_wrong_file_is_explained(video: Video, save: Save, content: Any, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        read_annotations(save(content), video)


@pytest.mark.parametrize("counts", ["", "0", "é", "zzzz", "0" * 400, "P", "o" * 1000, "~", "Z6"])
def test_damaged_run_lengths_are_refused(video: Video, save: Save, counts: str) -> None:
    content = coco({**ONE, "segmentation": {"size": [12, 16], "counts": counts}})
    with pytest.raises(MaskError, match="Annotation 0 of masks"):
        read_annotations(save(content), video)


@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(1, 70), st.integers(1, 70)))
def test_what_pycocotools_packs_is_unpacked(seed: int, size: tuple[int, int]) -> None:
    draws = np.random.default_rng(seed)
    mask = draws.random(size) < draws.random()
    assert decode_counts(packed(mask)["counts"], "it") == counted(mask)["counts"]
