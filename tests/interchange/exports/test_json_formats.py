from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinct.interchange.exports import LabelledVideo, export
from tinct.interchange.exports.run_lengths import run_lengths

pytest.importorskip("pycocotools", reason="needs pycocotools")


@pytest.fixture(autouse=True)
def _decoder_may_warn() -> Iterator[None]:
    """pycocotools' arrays do not know numpy 2's copy keyword, and decoding says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def counts_by_hand(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed counts, pixel by pixel: down the columns, the pixels outside first."""
    counts, inside = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if bool(mask[row, column]) != inside:
                counts.append(0)
                inside = not inside
            counts[-1] += 1
    return counts


def test_masks_are_counted_down_the_columns(labelled: LabelledVideo) -> None:
    from pycocotools import mask as coco

    H, W = labelled.size
    for index in range(len(labelled)):
        labels = labelled.read(index)
        found = run_lengths(labels)
        assert sorted(found) == [i for i in (1, 5, 7) if (labels == i).any()]
        for object_id, one in found.items():
            mask = labels == object_id
            by_hand = coco.frPyObjects({"size": [H, W], "counts": counts_by_hand(mask)}, H, W)
            assert one.segmentation == {"size": [H, W], "counts": by_hand["counts"].decode()}
            rows, columns = np.nonzero(mask)
            x, y = columns.min(), rows.min()
            assert one.bbox == [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
            assert one.area == mask.sum()


def test_coco_reads_every_mask_back(labelled: LabelledVideo, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    out = export(labelled, "coco", tmp_path / "masks.json")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(out))
    assert [image["file_name"] for image in coco.dataset["images"]] == [
        f"shot.{1001 + t}.jpg" for t in range(6)
    ]
    assert [image["frame_index"] for image in coco.dataset["images"]] == list(range(6))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [
        "dog",
        "object 5",
        "dög / 2",
    ]
    assert coco.dataset["info"]["frame_rate"] == "30000/1001"
    for index in range(len(labelled)):
        labels = np.zeros(labelled.size, np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(imgIds=index + 1)):
            mask = coco.annToMask(one).astype(bool)
            assert one["area"] == mask.sum()
            labels[mask] = one["track_id"]
        np.testing.assert_array_equal(labels, labelled.read(index))
    ids = coco.getAnnIds()
    assert sorted(ids) == list(range(1, 6 * 3))


def test_objects_of_one_name_are_of_one_category(labelled: LabelledVideo, tmp_path: Path) -> None:
    out = export(labelled, "coco", tmp_path / "masks", names={5: "dog", 7: "cat"})
    assert out == tmp_path / "masks.json"
    content = read(out)
    assert [category["name"] for category in content["categories"]] == ["dog", "cat"]
    pairs = {(one["track_id"], one["category_id"]) for one in content["annotations"]}
    assert pairs == {(1, 1), (5, 1), (7, 2)}


def test_a_range_keeps_the_frames_numbers(labelled: LabelledVideo, tmp_path: Path) -> None:
    content = read(export(labelled, "coco", tmp_path / "masks.json", first=2, last=3))
    assert [image["id"] for image in content["images"]] == [3, 4]
    assert [image["file_name"] for image in content["images"]] == ["shot.1003.jpg", "shot.1004.jpg"]
    # Object 5 is not in frame 2.
    assert [(one["image_id"], one["track_id"]) for one in content["annotations"]] == [
        (3, 1),
        (3, 7),
        (4, 1),
        (4, 5),
        (4, 7),
    ]


def test_youtube_vis_has_an_entry_per_frame(labelled: LabelledVideo, tmp_path: Path) -> None:
    from pycocotools import mask as coco

    content = read(export(labelled, "youtube-vis", tmp_path / "vis.json", first=1))
    (video,) = content["videos"]
    assert (video["height"], video["width"], video["length"]) == (13, 17, 5)
    assert video["file_names"] == [f"walk/shot.{1001 + t}.jpg" for t in range(1, 6)]
    assert [one["track_id"] for one in content["annotations"]] == [1, 5, 7]
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3]
    for one in content["annotations"]:
        assert (one["video_id"], one["iscrowd"]) == (1, 0)
        assert len(one["segmentations"]) == len(one["bboxes"]) == len(one["areas"]) == 5
        for position in range(5):
            mask = labelled.read(position + 1) == one["track_id"]
            packed = one["segmentations"][position]
            if not mask.any():
                assert (packed, one["bboxes"][position], one["areas"][position]) == (None, None, None)
                continue
            np.testing.assert_array_equal(coco.decode(packed), mask)
            assert one["areas"][position] == mask.sum()
            assert one["bboxes"][position] == list(coco.toBbox(packed))
    absent = content["annotations"][1]["segmentations"]
    assert [entry is None for entry in absent] == [False, True, False, False, False]
    assert [path.name for path in tmp_path.iterdir()] == ["vis.json"]


def test_file_names_are_those_of_the_folder(labelled: LabelledVideo, tmp_path: Path) -> None:
    from dataclasses import replace

    from PIL import Image

    from tinct.io.video import Video

    (tmp_path / "walk").mkdir()
    for name, frame in zip(labelled.frame_names, labelled.require_video(), strict=True):
        Image.fromarray(frame).save(tmp_path / "walk" / f"{name}.tif")
    source = replace(labelled, video=Video.open(tmp_path / "walk"))
    content = read(export(source, "coco", tmp_path / "masks.json", last=0))
    assert content["images"][0]["file_name"] == "shot.1001.tif"
