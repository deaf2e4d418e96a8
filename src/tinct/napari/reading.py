"""Videos, runs and folders of masks as napari's layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinct.data.annotations import label_files
from tinct.errors import MaskError, TinctError
from tinct.interchange.exports import LabelledVideo
from tinct.io.image_files import opened_picture
from tinct.io.mask_files import read_label_png
from tinct.io.video import FolderVideo, Video
from tinct.napari.frame_stack import FrameStack
from tinct.shapes import UInt8

LayerData = tuple[Any, dict[str, Any], str]
"""(data, attributes, type of layer), the form in which napari takes layers."""


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """The reader of a path; None for other paths, so that napari asks the next plugin.

    Args:
        path: A video file, a run folder, a folder of frames or of masks; several paths have no reader.
    """
    if not isinstance(path, str):
        return None
    place = Path(path)
    if place.is_dir():
        if (place / "run.json").is_file():
            return _read_run
        if _holds_masks(place):
            return _read_masks
    try:
        Video.open(place)
    except TinctError:
        return None
    return _read_video


def _holds_masks(folder: Path) -> bool:
    """Whether the folder's first picture is a palette PNG."""
    files = label_files(folder)
    if not files:
        return False
    try:
        with opened_picture(files[0], MaskError) as picture:
            return picture.mode == "P"
    except MaskError:
        return False


def _read_video(path: str) -> list[LayerData]:
    return [_image_layer(Video.open(path), Path(path).stem)]


def _read_masks(path: str) -> list[LayerData]:
    folder = FolderVideo(Path(path))  # checks the size of all, and gives the order
    files = label_files(Path(path))
    by_name = {file.stem: file for file in files}
    labels = np.zeros((len(folder), *folder.size), np.uint8)
    for index, name in enumerate(folder.names):
        labels[index] = read_label_png(by_name[name])
    return [_labels_layer(labels, Path(path).name, folder.names, {})]


def _read_run(path: str) -> list[LayerData]:
    source = LabelledVideo.of_run(Path(path))
    labels = np.zeros((len(source), *source.size), np.uint8)
    for index in range(len(source)):
        labels[index] = source.read(index)
    layers = [_image_layer(source.video, source.title)] if source.video is not None else []
    names = {i: source.name_of(i) for i in source.object_ids}
    return [*layers, _labels_layer(labels, f"{source.title} masks", source.frame_names, names)]


def _image_layer(video: Video, name: str) -> LayerData:
    return (
        FrameStack(video),
        {"name": name, "rgb": True, "metadata": {"frame_names": list(video.names)}},
        "image",
    )


def _labels_layer(
    labels: UInt8[np.ndarray, "T H W"], name: str, frame_names: Sequence[str], names: dict[int, str]
) -> LayerData:
    metadata = {"frame_names": list(frame_names), "object_names": names}
    return labels, {"name": name, "metadata": metadata}, "labels"
