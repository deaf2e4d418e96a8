"""Categories of objects and file names of frames, for the JSON formats."""

from __future__ import annotations

from typing import Any

from tinct.interchange.exports.source import LabelledVideo
from tinct.io.video import IMAGE_SUFFIXES


def categories_of(source: LabelledVideo) -> tuple[dict[int, int], list[dict[str, Any]]]:
    """(object id to category id, the categories): one per name, in the order of the objects, from 1."""
    ids: dict[str, int] = {}
    category_of = {i: ids.setdefault(source.name_of(i), len(ids) + 1) for i in source.object_ids}
    return category_of, [{"id": i, "name": name, "supercategory": "object"} for name, i in ids.items()]


def file_names(source: LabelledVideo) -> list[str]:
    """The file of each frame: its own in a folder of frames, else its name with `.jpg`."""
    folder = None if source.video is None else source.video.path
    own: dict[str, str] = {}
    if folder is not None and folder.is_dir():
        own = {file.stem: file.name for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES}
    return [own.get(name, f"{name}.jpg") for name in source.frame_names]
