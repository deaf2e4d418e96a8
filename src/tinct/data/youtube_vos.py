"""YouTube-VOS (Xu et al., ECCV 2018): many short videos, whose objects may begin in any frame.

A root holds a folder per split, {train,valid,test}, each with JPEGImages/<video>/<frame>.jpg,
Annotations/<video>/<frame>.png (palette) and meta.json with the category and the frames of every object.
Every fifth frame is stored (6 of 30 per second). In valid and test a frame is annotated only if an object
is seen in it for the first time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinct.data.annotations import files_of, label_files
from tinct.data.sequences import Sequence, SequenceDataset, select
from tinct.errors import DatasetError, MissingDatasetError, near_match
from tinct.io.json_files import parse_json, reading
from tinct.io.regular_files import read_regular

FRAME_SUFFIXES = frozenset({".jpg", ".jpeg"})


@dataclass(frozen=True)
class VideoObject:
    """The entry of one object in meta.json.

    Attributes:
        category: Such as "penguin"; None if the split does not publish it.
        frames: The names of the frames that show it, in order.
    """

    category: str | None
    frames: tuple[str, ...]


Meta = Mapping[str, Mapping[int, VideoObject]]
"""The content of meta.json by video and object id."""


class YouTubeVos(SequenceDataset):
    """A split of YouTube-VOS.

    Attributes:
        meta: The content of meta.json; empty if there is none.

    Args:
        root: The folder that holds the splits.
        split: Such as "train", "valid" or "test"; any folder in this layout.
        only: Only these videos.
        unannotated: Keep frames without an annotation: of all but train, and of the archives of all frames.

    Raises:
        DatasetError: A folder, frame or annotation is missing, or meta.json is broken.
        OptionError: `only` names a video that the split does not hold.
    """

    def __init__(
        self, root: Path, split: str, *, only: Collection[str] | None = None, unannotated: bool = True
    ) -> None:
        self.folder = split_folder(root, split)
        self.meta = read_meta(self.folder)
        names = sorted(self.meta) or video_names(self.folder)
        sequences = (self._sequence(name) for name in select(names, only, f"split {split!r}"))
        super().__init__(tuple(s if unannotated else s.of_annotated() for s in sequences))

    def _sequence(self, name: str) -> Sequence:
        folder = self.folder / "JPEGImages" / name
        frames = files_of(folder, FRAME_SUFFIXES)
        if not frames:
            raise DatasetError(
                f"{folder} holds no .jpg frame, but video {name!r} belongs to the split. Fetch it."
            )
        labels = {path.stem: path for path in label_files(self.folder / "Annotations" / name)}
        label_maps = tuple(labels.get(frame.stem) for frame in frames)
        if not any(label_maps):
            raise DatasetError(
                f"{self.folder / 'Annotations' / name} holds no annotation of any of the {len(frames)} "
                "frames of the video; every object's first frame needs one. Fetch it."
            )
        return Sequence(name, frames, label_maps, objects_start_later=True)


def seen_categories(root: Path) -> frozenset[str] | None:
    """The categories of the training videos; None if there is no train/meta.json.

    The benchmark scores objects of these categories separately from all others.

    Raises:
        DatasetError: train/meta.json is broken.
    """
    meta = read_meta(root / "train")
    found = {o.category for objects in meta.values() for o in objects.values() if o.category is not None}
    return frozenset(found) or None


def read_meta(folder: Path) -> Meta:
    """Read the meta.json of a split; empty if there is none.

    Raises:
        DatasetError: The file cannot be read, or has another format.
    """
    path = folder / "meta.json"
    if not path.exists():
        return {}
    form = '{"videos": {VIDEO: {"objects": {ID: {"category": ..., "frames": [...]}}}}}'
    with reading(path, "YouTube-VOS's meta.json", f"Expected {form}. Fetch it again.", DatasetError):
        videos = parse_json(read_regular(path))["videos"]
        return {name: _objects(video) for name, video in videos.items()}


def split_folder(root: Path, split: str) -> Path:
    """The folder of a split; DatasetError if it does not exist."""
    if (root / split / "JPEGImages").is_dir():
        return root / split
    splits = sorted(path.parent.name for path in root.glob("*/JPEGImages")) if root.is_dir() else []
    hint = (
        near_match(split, splits)
        if splits
        else "Give the folder that holds train, valid and test as the root."
    )
    raise MissingDatasetError(f"Split {split!r} has no folder {root / split / 'JPEGImages'}. {hint}")


def video_names(folder: Path) -> list[str]:
    """The videos of a split that have a folder of frames, sorted."""
    return sorted(path.name for path in (folder / "JPEGImages").glob("[!.]*") if path.is_dir())


def _objects(video: Mapping[str, Any]) -> dict[int, VideoObject]:
    found = {}
    for object_id, entry in video["objects"].items():
        category = entry.get("category")
        frames = tuple(str(frame) for frame in entry.get("frames", ()))
        found[int(object_id)] = VideoObject(None if category is None else str(category), frames)
    return found
