from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinct.data.region_clips import RegionClips, RegionOptions, VideoRegions
from tinct.data.samplers import ClipOptions, VideoClips
from tinct.errors import DatasetError, OptionError, TinctError
from tinct.training.sources import LAYOUTS, DataSet, Sources, parse_set, recognise, sources_of

Sets = dict[str, Path]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognised_by_its_content(layout: str, sets: Sets) -> None:
    assert recognise(sets[layout]) == layout
    assert parse_set(f"{sets[layout]}:2.5") == DataSet(layout, sets[layout], 2.5)


def test_parts_of_a_layout_are_recognised_too(sets: Sets) -> None:
    assert recognise(sets["youtube-vos"] / "train") == "youtube-vos"
    assert recognise(sets["coco"] / "annotations" / "instances_train2017.json") == "coco"
    assert recognise(sets["davis-2016"], year="2017") == "davis-2017"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stills=some/photos", DataSet("stills", Path("some/photos"))),
        ("coco=a.json:.5", DataSet("coco", Path("a.json"), 0.5)),
        ("davis=D:3", DataSet("davis-2016", Path("D"), 3.0)),
        ("davis-2017=a=b:c", DataSet("davis-2017", Path("a=b:c"))),
    ],
)
def test_a_layout_may_be_named(text: str, expected: DataSet) -> None:
    assert parse_set(text) == expected


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("stils=photos", OptionError, "no layout 'stils'. Did you mean 'stills'"),
        ("stills=photos:0", OptionError, "weight 0"),
        ("nowhere", DatasetError, "no folder nowhere"),
    ],
)
def test_what_cannot_be_read_is_explained(text: str, error: type[TinctError], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_set(text)


def test_an_unknown_layout_names_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DatasetError, match=r"it holds photos\. Expected were ImageSets.*LAYOUT="):
        recognise(tmp_path)


def test_the_same_set_twice(sets: Sets) -> None:
    with pytest.raises(OptionError, match=r"came twice.*:2"):
        sources_of([str(sets["stills"])], stills=sets["stills"])


def test_videos_of_all_layouts_are_one_dataset(sets: Sets) -> None:
    names = ("davis-2016", "davis-2017", "youtube-vos")
    videos = sources_of(
        [f"{sets[name]}:{weight}" for name, weight in zip(names, (1, 1, 2), strict=True)]
    ).videos()
    assert [sequence.name for sequence in videos] == ["bear", "bear", "0a1b"]
    ids = [set(np.unique(sequence.read_labels(1))) for sequence in videos]
    assert ids == [{0, 1}, {0, 1, 2, 3}, {0, 1, 3}]
    random = np.random.default_rng(0)
    drawn = Counter(videos.draw(random) for _ in range(4000))
    assert [drawn[i] / 4000 for i in range(3)] == pytest.approx([0.25, 0.25, 0.5], abs=0.03)


def test_of_youtube_vos_only_annotated_frames_are_read(sets: Sets) -> None:
    (video,) = sources_of([str(sets["youtube-vos"])], split="fit").videos()
    assert [frame.stem for frame in video.frames] == ["00000", "00005", "00010"]
    assert video.annotated == (0, 1, 2)


def test_photos_of_all_layouts_are_one_set(sets: Sets) -> None:
    sources = sources_of([str(sets["saliency"]), f"{sets['coco']}:3"], stills=sets["stills"])
    photos = sources.photos()
    labels = [photo.read()[1] for photo in photos]
    # Grey levels above half; an instance each, the crowd beneath them; ids.
    assert [set(np.unique(y)) for y in labels] == [{0, 1}, {0, 1}, {1, 2, 255}, {0, 1, 2}, {0, 1, 2}]
    assert (labels[0] == 1).sum() == 20 * 48
    random = np.random.default_rng(0)
    drawn = Counter(photos.draw(random) for _ in range(5000))
    assert [drawn[i] / 5000 for i in range(5)] == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.1], abs=0.03)


def test_several_true_objects_are_in_clips(sets: Sets) -> None:
    """Two sequences of one name, of which one has three objects and the other one: neither is the other's."""
    videos = sources_of([str(sets["davis-2016"]), str(sets["davis-2017"])]).videos()
    options = ClipOptions(size=(64, 96), frames=3, max_objects=3, paste=0.0, min_reference_pixels=20)
    clips = VideoClips(videos, options)
    counts = Counter(int(clips[index]["objects"]) for index in range(40))
    assert set(counts) == {1, 2, 3}
    alone = VideoClips(videos, replace(options, max_objects=1))
    assert {int(alone[index]["objects"]) for index in range(8)} == {1}
    regions = RegionClips(
        [(VideoRegions(videos), 1.0)], RegionOptions(size=(64, 96), frames=2, paste=0.0, min_pixels=20)
    )
    known = {tuple(sorted(i for i in regions[index]["identities"].tolist() if i >= 0)) for index in range(20)}
    assert (0,) in known
    assert any(len(identities) == 3 and min(identities) >= 8 for identities in known)


def test_what_a_stage_needs_is_named(sets: Sets) -> None:
    with pytest.raises(OptionError, match=r"needs videos.*--data"):
        Sources(()).videos()
    with pytest.raises(OptionError, match=r"needs photos.*--stills"):
        sources_of([str(sets["davis-2016"])]).photos()
    with pytest.raises(OptionError, match="layout of DAVIS"):
        sources_of([str(sets["youtube-vos"])]).first_frames()


def test_a_description_is_that_of_the_content(sets: Sets, tmp_path: Path) -> None:
    here = sources_of([str(sets["stills"])]).describe()
    moved = shutil.copytree(sets["stills"], tmp_path / sets["stills"].name)
    assert sources_of([str(moved)]).describe() == here
    (moved / "images" / "a.jpg").rename(moved / "images" / "c.jpg")
    (moved / "masks" / "a.png").rename(moved / "masks" / "c.png")
    renamed = shutil.copytree(moved, tmp_path / "other" / sets["stills"].name)
    assert sources_of([str(renamed)]).describe() != here
    assert sources_of([f"{sets['stills']}:2"]).describe() != here


def test_damaged_coco_files_are_named(sets: Sets, tmp_path: Path) -> None:
    root = shutil.copytree(sets["coco"], tmp_path / "coco")
    file = root / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    (root / "annotations" / "instances_val2017.json").write_text("{}")
    assert recognise(root) == "coco"

    def photos() -> list[np.ndarray]:
        return [photo.read()[1] for photo in Sources((DataSet("coco", file),)).photos()]

    content["annotations"][0]["segmentation"] = "?"
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"Instance 5 of 1\.jpg cannot be read as a COCO segmentation"):
        photos()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root / "train2017"), "images of .* are neither in"),
        (lambda root: (root / "train2017" / "1.jpg").unlink(), "no image .*1.jpg"),
        (lambda root: shutil.rmtree(root / "annotations"), "these COCO files: none"),
        (
            lambda root: (root / "annotations" / "instances_train2017.json").write_text("{}"),
            "lacks 'annotations'",
        ),
    ],
)
def test_missing_parts_of_coco_are_named(damage: object, message: str, sets: Sets, tmp_path: Path) -> None:
    root = shutil.copytree(sets["coco"], tmp_path / "coco")
    damage(root)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=message):
        Sources((DataSet("coco", root),)).photos()
