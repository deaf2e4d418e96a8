"""Names from elsewhere never lead out of the folder that is written to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_kit import Drift
from hostile_names import CURIOUS_NAMES, HARMLESS_NAMES, HOSTILE_NAMES
from PIL import Image
from run_kit import run_to_folder

from tinct.data.davis import Davis
from tinct.data.lists import read_list
from tinct.data.occlusion.files import visibility_file
from tinct.errors import DatasetError, OutputError, TinctError
from tinct.evaluation.pack import pack
from tinct.interchange.exports import FORMATS, LabelledVideo, export
from tinct.io import atomic
from tinct.io.atomic import path_below
from tinct.io.masks import ObjectMasks
from tinct.io.soft_masks import soft_path
from tinct.io.video import Video

H, W = 6, 8


def test_there_are_two_hundred_of_each_kind() -> None:
    for names in (HOSTILE_NAMES, CURIOUS_NAMES):
        assert len(names) == len(set(names)) == 200
    assert not {*HOSTILE_NAMES} & {*CURIOUS_NAMES}


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Path]:
    """A folder in which the work is done; beside it nothing may appear."""
    folder = tmp_path / "a" / "b" / "inside"
    folder.mkdir(parents=True)
    yield folder
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    assert outside == {tmp_path / "a", tmp_path / "a" / "b"}


def refused(work: Any) -> None:
    with pytest.raises(TinctError):
        work()


def test_hostile_names_are_refused_with_the_name_and_the_reason(tmp_path: Path) -> None:
    for name in HOSTILE_NAMES:
        with pytest.raises(OutputError, match=r"^The name '.*(is empty|absolute|elsewhere|longer|NUL)"):
            path_below(tmp_path, name)
        with pytest.raises(DatasetError):
            path_below(tmp_path, name, ".png", error=DatasetError)


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_harmless_names_are_taken_as_they_are(name: str, tmp_path: Path) -> None:
    path = path_below(tmp_path, name, ".png")
    assert path == tmp_path / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")


def test_a_suffix_counts(tmp_path: Path) -> None:
    path_below(tmp_path, "x" * 255)
    with pytest.raises(OutputError, match="255 bytes"):
        path_below(tmp_path, "x" * 255, ".png")


@pytest.fixture
def linked(inside: Path) -> Path:
    """A folder with links that lead out of it."""
    folder = inside / "linked"
    for link in (folder / "link", folder / "a" / "link"):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(inside.parents[1])
    return folder


def test_what_curious_names_write_lies_inside(linked: Path) -> None:
    taken = []
    for name in CURIOUS_NAMES:
        try:
            path = path_below(linked, name, ".png")
        except OutputError:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        taken.append(name)
    assert len(taken) > 100
    assert not [name for name in taken if "link/" in name]
    assert len([path for path in linked.rglob("*") if path.is_file()]) == len(taken)


@pytest.mark.parametrize("name", ["NUL", "con.png", "a/aux", "COM1 .x", "lpt9:", "CONIN$"])
def test_devices_of_windows_are_refused_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not atomic._not_below(name, ".png")
    monkeypatch.setattr(atomic.os, "name", "nt")
    assert "device" in atomic._not_below(name, ".png")
    assert not atomic._not_below("control", ".png")


@pytest.mark.parametrize("to", FORMATS)
def test_names_of_frames_and_objects_in_every_format(to: str, inside: Path) -> None:
    if FORMATS[to].extra:
        pytest.importorskip("OpenEXR")
    labels = np.ones((H, W), np.uint8)
    soft = ObjectMasks.from_label_map(labels)
    names = [*HOSTILE_NAMES, *CURIOUS_NAMES]
    written = 0
    for number, name in enumerate(names if not FORMATS[to].one_file else names[::8]):
        for frame, named in ((name, "cow"), ("00000", name))[: 1 + (number % 4 == 0)]:
            source = LabelledVideo(
                [frame], (H, W), (1,), lambda _: labels, video_of_one(), object_names={1: named},
                soft=lambda _: soft, title=name,
            )  # fmt: skip
            with suppress(TinctError):
                written += export(source, to, inside / f"{number}-{named == name}").exists()
    assert written > 10


def video_of_one() -> Video:
    return Video.from_arrays([np.zeros((H, W, 3), np.uint8)])


class Named(type(Video.from_arrays([np.zeros((H, W, 3), np.uint8)]))):  # type: ignore[misc]
    """A video whose frames are called as somebody likes."""

    def __init__(self, names: list[str]) -> None:
        super().__init__([np.full((H, W, 3), 9 * t, np.uint8) for t in range(len(names))])
        self._given = names

    @property
    def names(self) -> list[str]:
        return self._given


def test_frames_of_a_video(inside: Path) -> None:
    labels = np.ones((H, W), np.uint8)
    for number, name in enumerate(HOSTILE_NAMES):
        out = inside / str(number)
        refused(
            lambda out=out, name=name: run_to_folder(Drift(), Named([name]), {0: labels}, out, overlay=False)
        )
        refused(lambda name=name: soft_path(inside, 1, name))
    assert not list(inside.rglob("*.png"))


@pytest.mark.parametrize("to", ["palette-png", "object-png", "soft-png"])
def test_frames_of_an_export(to: str, inside: Path) -> None:
    labels = np.ones((H, W), np.uint8)
    soft = ObjectMasks.from_label_map(labels)
    for number, name in enumerate(HOSTILE_NAMES):
        source = LabelledVideo([name], (H, W), (1,), lambda _: labels, soft=lambda _: soft)
        refused(lambda source=source, number=number: export(source, to, inside / str(number)))
    assert not list(inside.iterdir())


def test_objects_of_an_export(inside: Path) -> None:
    labels = np.ones((H, W), np.uint8)
    for number, name in enumerate(HOSTILE_NAMES):
        source = LabelledVideo(["00000"], (H, W), (1,), lambda _: labels, object_names={1: name})
        (folder,) = export(source, "object-png", inside / str(number)).iterdir()
        assert folder.name.startswith("1")


def test_sequences_of_a_list(inside: Path) -> None:
    (inside / "ImageSets" / "2016").mkdir(parents=True)
    listing = inside / "ImageSets" / "2016" / "val.txt"
    taken = []
    for name in HOSTILE_NAMES:
        listing.write_text(f"{name}\n", encoding="utf-8")
        try:
            taken += read_list(listing)
            Davis(inside, "val")
        except DatasetError:
            continue
        raise AssertionError(f"{name!r} was taken")
    for name in CURIOUS_NAMES:
        listing.write_bytes(name.encode("utf-8", "surrogateescape"))
        with suppress(DatasetError):
            taken += read_list(listing)
    # What is left of a path is its folder's name, as in DAVIS-2016's own lists.
    assert all(path_below(inside, name).parent == inside for name in taken)


def test_splits_of_occlusion_clips(inside: Path) -> None:
    for name in HOSTILE_NAMES:
        refused(lambda name=name: visibility_file(inside, name))


def test_entries_of_a_zip(inside: Path) -> None:
    from tinct.evaluation import pack as packing

    for number, name in enumerate(HOSTILE_NAMES[:60]):
        files = inside / f"masks{number}"
        files.mkdir()
        Image.fromarray(np.ones((H, W), np.uint8)).save(files / "00000.png")
        found = {name: {"00000": files / "00000.png"}}
        expected = {name: packing._Expected(None, None, None)}, [], packing._Problems()
        with pytest.MonkeyPatch.context() as patches:
            patches.setattr(packing, "find_predictions", lambda _, found=found: found)
            patches.setattr(packing, "_expectations", lambda *_, expected=expected: expected)
            out = inside / f"{number}.zip"
            refused(lambda files=files, out=out: pack(files, "davis-2017", out))
        assert not out.exists()


def test_the_record_of_a_run(inside: Path) -> None:
    """An export takes the frames' names from the masks, whatever the record says."""
    labels = np.ones((H, W), np.uint8)
    video = Video.from_arrays([np.zeros((H, W, 3), np.uint8)])
    run_to_folder(Drift(), video, {0: labels}, inside / "run", overlay=False)
    record = json.loads((inside / "run" / "run.json").read_text())
    for number, name in enumerate(HOSTILE_NAMES[:60]):
        hostile = record | {"video_path": name, "object_names": {"1": name}}
        hostile["run"] = record["run"] | {"video": name}
        (inside / "run" / "run.json").write_text(json.dumps(hostile))
        for to in ("object-png", "coco"):
            out = inside / f"{to}{number}"
            try:
                export(LabelledVideo.of_run(inside / "run", video), to, out)
            except TinctError:
                continue
