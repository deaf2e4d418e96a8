from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from tinct.data.annotations import LabelFiles, ObjectFiles, files_of, find_annotations, read_annotation
from tinct.errors import DatasetError
from tinct.io.masks import voc_palette


def annotation(path: Path, values: list[int], mode: str) -> list[int]:
    """The values, written as an image of that mode, as they are read."""
    picture = PillowImage.fromarray(np.array([values], np.uint8))
    if mode == "P":
        picture.putpalette(voc_palette().tobytes())
    elif mode != "L":
        picture = picture.convert(mode)
    picture.save(path)
    labels = read_annotation(path)
    assert labels.dtype == np.uint8
    return labels.tolist()[0]


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([0, 1, 2], "P", [0, 1, 2]),
        ([0, 1, 255], "P", [0, 1, 255]),
        ([0, 0, 255], "P", [0, 0, 1]),
        ([0, 0, 0], "P", [0, 0, 0]),
        ([0, 255, 0], "L", [0, 1, 0]),
        ([255, 255, 255], "L", [1, 1, 1]),
        ([0, 0, 0], "L", [0, 0, 0]),
        ([0, 1, 5], "L", [0, 1, 5]),
        ([0, 1, 255], "L", [0, 1, 255]),
        ([0, 255, 0], "1", [0, 1, 0]),
        ([0, 255, 0], "LA", [0, 1, 0]),
        ([0, 255, 0], "RGB", [0, 1, 0]),
        ([0, 255, 0], "RGBA", [0, 1, 0]),
        ([0, 3, 0], "RGB", [0, 3, 0]),
    ],
)
def test_every_kind_of_annotation(values: list[int], mode: str, expected: list[int], tmp_path: Path) -> None:
    assert annotation(tmp_path / "a.png", values, mode) == expected


@given(st.lists(st.integers(0, 255), min_size=1, max_size=30), st.sampled_from(["P", "L"]))
def test_only_0_255_images_are_changed(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], mode: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    expected = [int(v == 255) for v in values] if set(values) <= {0, 255} else values
    assert annotation(path, values, mode) == expected


def test_colours_are_refused_with_the_reason(layouts: Any, tmp_path: Path) -> None:
    path = layouts.mask(tmp_path / "00003.png", (1, 2), "colours")
    with pytest.raises(
        DatasetError, match=r"00003\.png is in colours \(RGB\).*object id per pixel.*read_mask"
    ):
        read_annotation(path)


def test_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    PillowImage.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DatasetError, match=r"deep\.png is an image of mode I.*8 bits"):
        read_annotation(tmp_path / "deep.png")


@pytest.mark.parametrize("keep", [0, 20, -30])
def test_a_truncated_file_is_named(keep: int, layouts: Any, tmp_path: Path) -> None:
    path = layouts.mask(tmp_path / "00003.png", (1, 2))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"00003\.png cannot be read"):
        read_annotation(path)


def test_several_files_make_one_label_map(layouts: Any, tmp_path: Path) -> None:
    first = layouts.mask(tmp_path / "1" / "7.png", (255, 255, 100), "RGB")
    second = layouts.mask(tmp_path / "2" / "7.bmp", (0, 130), "RGB", kind="BMP")
    labels = read_annotation(ObjectFiles("7", ((1, first), (2, second))))
    assert labels[5, :9].tolist() == [0, 1, 1, 0, 2, 2, 0, 0, 0]
    layouts.mask(second, (255,), "RGB", size=(12, 21), kind="BMP")
    with pytest.raises(DatasetError, match=r"7\.bmp is 21×12, but .*7\.png of the same frame is 20×12"):
        read_annotation(ObjectFiles("7", ((1, first), (2, second))))
    with pytest.raises(DatasetError, match="'7' has no picture"):
        read_annotation(ObjectFiles("7", ()))


def test_a_folder_of_folders(layouts: Any, tmp_path: Path) -> None:
    for name in ("swan", "bear"):
        for t in (2, 0, 10):
            layouts.mask(tmp_path / name / f"{t}.png", (1, t + 1))
        (tmp_path / name / ".0.part.png").write_bytes(b"half a file")
        (tmp_path / name / "notes.txt").write_text("no mask")
    (tmp_path / "empty").mkdir()
    layouts.mask(tmp_path / ".ipynb_checkpoints" / "0.png")
    (tmp_path / "global_results.csv").write_text("J")
    found = find_annotations(tmp_path)
    assert [a.sequence for a in found] == ["bear", "swan"]
    assert found[0].frame_names == ("0", "2", "10")
    assert np.unique(found[0].read(2)).tolist() == [0, 1, 11]
    assert [a.sequence for a in find_annotations(tmp_path, only=["swan"])] == ["swan"]
    with pytest.raises(DatasetError, match=r"no annotation of 'swam' and 1 more.*Did you mean 'swan'"):
        find_annotations(tmp_path, only={"swam", "zebra"})


def test_annotations_can_be_sent_to_a_worker(layouts: Any, tmp_path: Path) -> None:
    layouts.mask(tmp_path / "bear" / "0.png")
    (one,) = find_annotations(tmp_path)
    assert pickle.loads(pickle.dumps(one)) == one
    assert isinstance(one, LabelFiles)


def test_one_folder_of_pngs_is_one_sequence(layouts: Any, tmp_path: Path) -> None:
    layouts.mask(tmp_path / "bear" / "00000.png")
    (one,) = find_annotations(tmp_path / "bear")
    assert (one.sequence, one.frame_names) == ("bear", ("00000",))
    layouts.mask(tmp_path / "00000.png")
    with pytest.raises(DatasetError, match=r"PNGs itself, such as 00000\.png, and folders.*bear"):
        find_annotations(tmp_path)


def test_wrong_folders_are_explained(layouts: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder .*nowhere"):
        find_annotations(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"no PNG and no folder with PNGs\.$"):
        find_annotations(tmp_path)
    layouts.mask(tmp_path / "Annotations" / "480p" / "bear" / "00000.png")
    with pytest.raises(DatasetError, match=r"Did you mean .*Annotations/480p\?"):
        find_annotations(tmp_path / "Annotations")


def test_files_come_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.png", "2.PNG", "a2.png", "a10.png", "1.jpg"):
        (tmp_path / name).touch()
    assert [p.name for p in files_of(tmp_path, {".png"})] == ["2.PNG", "10.png", "a2.png", "a10.png"]
    assert files_of(tmp_path / "nowhere", {".png"}) == ()


def test_truth_is_read_without_torch() -> None:
    modules = "annotations, check, davis, lists, plain, segtrack, sequences, youtube_vos"
    code = f"import sys; from tinct.data import {modules}; print({{'torch', 'av'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
