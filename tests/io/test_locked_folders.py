"""Folders that are locked or read-only: one clear line, whoever asks."""

from __future__ import annotations

import builtins
import errno
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_kit import Drift
from run_kit import run_to_folder

from tinct.data.annotations import find_annotations
from tinct.data.images import read_rgb
from tinct.data.lists import list_names
from tinct.errors import TinctError
from tinct.evaluation.predictions import find_predictions
from tinct.evaluation.results import read_scores
from tinct.interchange.exports import LabelledVideo, export
from tinct.interchange.imports import read_annotations
from tinct.io.flow_files import read_flo, write_flo
from tinct.io.mask_files import read_mask, write_mask
from tinct.io.masks import ObjectMasks
from tinct.io.soft_masks import write_soft
from tinct.io.video import Video
from tinct.runs.folder_lock import folder_lock
from tinct.zoo.build import file_sha256

H, W = 6, 8
LABELS = np.ones((H, W), np.uint8)


def video() -> Video:
    return Video.from_arrays([np.full((H, W, 3), t, np.uint8) for t in range(2)])


def _path_in(arguments: tuple[Any, ...], options: dict[str, Any], folder: Path) -> bool:
    given = [*arguments, *options.values()]
    paths = (os.fspath(each) for each in given if isinstance(each, str | os.PathLike))
    return any(str(path).startswith(str(folder)) for path in paths)


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets calls fail as the system does for paths below a folder; permission bits do not stop root."""

    def forbid(folder: Path, number: int, calls: list[tuple[Any, str]]) -> None:
        for owner, name in calls:
            monkeypatch.setattr(owner, name, _failing(getattr(owner, name), folder, number, name))

    return forbid


def _failing(call: Callable[..., Any], folder: Path, number: int, name: str) -> Callable[..., Any]:
    def failing(*arguments: Any, **options: Any) -> Any:
        mode = arguments[1] if len(arguments) > 1 else options.get("mode", "r")
        writes = name != "open" or (
            any(letter in mode for letter in "wax+") if isinstance(mode, str) else mode & os.O_CREAT
        )
        locked = number == errno.EACCES or writes
        if locked and _path_in(arguments, options, folder):
            raise OSError(number, os.strerror(number), str(folder))
        return call(*arguments, **options)

    return failing


LOOKING = [(os, "stat"), (os, "scandir"), (os, "listdir"), (io, "open"), (builtins, "open"), (os, "open")]
WRITING = [(os, "mkdir"), (tempfile, "mkstemp"), (tempfile, "mkdtemp"), (io, "open"), (builtins, "open")]
WRITING += [(os, "open"), (os, "replace")]

READERS: dict[str, Callable[[Path], Any]] = {
    "frames": lambda folder: Video.open(folder / "frames"),
    "film": lambda folder: Video.open(folder / "film.mp4"),
    "mask": lambda folder: read_mask(folder / "mask.png"),
    "annotations": lambda folder: read_annotations(folder / "a.json", video()),
    "weights": lambda folder: file_sha256(folder / "w.safetensors"),
    "run": lambda folder: LabelledVideo.of_run(folder / "run"),
    "scores": lambda folder: read_scores(folder / "scores.json"),
    "flow": lambda folder: read_flo(folder / "a.flo"),
    "list": lambda folder: list_names(folder / "DAVIS", "train"),
    "truth": lambda folder: find_annotations(folder / "DAVIS"),
    "predictions": lambda folder: find_predictions(folder / "masks"),
    "photo": lambda folder: read_rgb(folder / "a.jpg"),
}


@pytest.mark.parametrize("name", READERS)
def test_what_lies_in_a_locked_folder_is_named_in_one_line(
    name: str, tmp_path: Path, forbid: Callable[..., None]
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    forbid(folder, errno.EACCES, LOOKING)
    with pytest.raises(TinctError, match="Permission denied") as raised:
        READERS[name](folder)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    assert "Errno" not in str(raised.value)


def _run(out: Path) -> None:
    run_to_folder(Drift(), video(), {0: LABELS}, out, overlay=False)


def _export(to: str) -> Callable[[Path], None]:
    return lambda out: export(LabelledVideo(["00000"], (H, W), (1,), lambda _: LABELS), to, out)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "run": lambda folder: _run(folder / "out"),
    "run at once": _run,
    "export of a folder": lambda folder: _export("palette-png")(folder / "out"),
    "export of a file": lambda folder: _export("coco")(folder / "a.json"),
    "mask": lambda folder: write_mask(folder / "a.png", LABELS),
    "flow": lambda folder: write_flo(folder / "a.flo", np.zeros((H, W, 2), np.float32)),
    "soft": lambda folder: write_soft(folder, "00000", ObjectMasks.from_label_map(LABELS), (1,)),
    "lock": lambda folder: folder_lock(folder).__enter__(),
}


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_written_is_named_in_one_line(
    name: str, number: int, tmp_path: Path, forbid: Callable[..., None]
) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    forbid(folder, number, WRITING)
    with pytest.raises(TinctError, match=os.strerror(number)) as raised:
        WRITERS[name](folder)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    assert not list(folder.iterdir())


def test_a_run_in_a_folder_that_becomes_read_only_says_how_far_it_came(
    tmp_path: Path, forbid: Callable[..., None]
) -> None:
    def lock(stage: str, done: int, of: int) -> None:
        if done == 1:
            forbid(tmp_path, errno.EROFS, WRITING)

    with pytest.raises(TinctError, match=r"Read-only file system.* 1 of 2 masks are whole.*--resume"):
        run_to_folder(Drift(), video(), {0: LABELS}, tmp_path, overlay=False, progress=lock)
    assert read_mask(tmp_path / "masks" / "00000.png").shape == (H, W)
