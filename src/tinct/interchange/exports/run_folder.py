"""A run folder, as exports read it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tinct.errors import MaskError, OptionError, OutputError
from tinct.io.json_files import parse_json, reading
from tinct.io.levels import Levels
from tinct.io.mask_files import read_label_png
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.io.natural_order import natural_order
from tinct.io.soft_masks import read_soft, soft_path
from tinct.io.video import IMAGE_SUFFIXES, Video
from tinct.shapes import LabelMap


class RunFolder:
    """What a run folder of `tinct segment` holds.

    Args:
        folder: Holds run.json and masks/, and soft/ if the run was made with `--soft`.
        video: The frames; None to open the video at its recorded path.

    Attributes:
        record: The content of run.json.
        video: The frames; None if they cannot be found.
        names: Of every frame, in order.
        size: (H, W) in pixels.
        object_ids: Every object of the run, increasing.
        has_soft: Whether there are soft masks.

    Raises:
        OutputError: The folder is no run, or its run.json cannot be read.
        OptionError: The video is not the one that was segmented.
        VideoError: The video was found, but cannot be read.
    """

    def __init__(self, folder: Path, video: Video | None = None) -> None:
        self.folder, self.record = folder, _read_record(folder)
        run = self.record["run"]
        if video is None and (path := find_video(folder, self.record)) is not None:
            levels = run.get("levels")
            video = Video.open(path, None if levels is None else Levels.parse(levels))
        if video is not None:
            if "frame_range" in run:
                start, stop = map(int, run["frame_range"].split(":"))
                video = video[start:stop]
            _check_same(video, run, folder)
        self.video = video
        self.names = video.names if video is not None else _mask_names(folder, int(run["frames"]))
        self.object_ids = tuple(int(i) for i in self.record.get("object_ids", ()))
        self.size = (int(run["size"][0]), int(run["size"][1]))
        self.has_soft = (folder / "soft").is_dir()

    @property
    def rate(self) -> Fraction | None:
        """Frames per second, of the video or as it is recorded."""
        known = self.video.rate if self.video is not None else None
        rate = known if known is not None else self.record.get("frame_rate")
        return None if rate is None else Fraction(rate)

    @property
    def object_names(self) -> dict[int, str]:
        """What objects are called."""
        return {int(i): str(name) for i, name in self.record.get("object_names", {}).items()}

    @property
    def title(self) -> str:
        """What the video is called."""
        return Path(str(self.record["run"].get("video") or self.folder.resolve().name)).stem

    def labels(self, index: int) -> LabelMap:
        """The label map of a frame; MaskError if there is none."""
        return _read_labels(self.folder, self.names[index], self.record)

    def soft(self, index: int) -> ObjectMasks:
        """The soft masks of a frame; MaskError if the file of an object is missing."""
        return _read_soft(self.folder, self.names[index], self.object_ids, self.record)


def find_video(folder: Path, record: dict[str, Any]) -> Path | None:
    """The path of a run's video: the recorded one, or a file of its name near by; None if there is none."""
    name = record["run"].get("video")
    places = [folder / record["video_path"]] if record.get("video_path") else []
    if name:
        places += [near / str(name) for near in (folder.parent, Path())]
    return next((place for place in places if _could_be_video(place)), None)


def _could_be_video(place: Path) -> bool:
    if place.is_dir():
        return any(file.suffix.lower() in IMAGE_SUFFIXES for file in place.iterdir())
    return place.is_file()


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file():
        raise OutputError(
            f"{folder} is no run: it holds no run.json. Give the folder that `tinct segment` wrote (--out)."
        )
    with reading(path, "a run's record", "Run `tinct segment` again.", OutputError):
        record = parse_json(path.read_bytes())
        _check_entries(record)
        return dict(record)


def _check_entries(record: dict[str, Any]) -> None:
    """What `reading` explains, if an entry that exports use is of another type or out of its range."""
    run = record["run"]
    int(run["frames"]), [int(side) for side in run["size"]][1]
    [int(i) for i in record.get("object_ids", ())]
    [int(i) for i, _ in record.get("object_names", {}).items()]
    [int(part) for part in run.get("frame_range", "0:1").split(":")][1]
    run.get("levels", "0:1").split(":"), Path(record.get("video_path") or "")
    rate = record.get("frame_rate")
    if rate is not None and not Fraction(rate) > 0:
        raise ValueError(f"its frame_rate is {rate}")


def _check_same(video: Video, run: dict[str, Any], folder: Path) -> None:
    H, W = run["size"]
    if (len(video), list(video.size)) != (run["frames"], [H, W]):
        raise OptionError(
            f"{video.path or 'The video'} has {len(video)} frames of {video.size[1]}×{video.size[0]} pixels, "
            f"but {folder} was made of {run['frames']} of {W}×{H}; give the video that was segmented."
        )


def _mask_names(folder: Path, frames: int) -> Sequence[str]:
    """The names of the frames, taken from the mask files.

    Raises:
        OptionError: Some masks are missing, so that names and order of the frames are unknown.
    """
    found = [file.stem for file in (folder / "masks").glob("*.png") if not file.name.startswith(".")]
    if len(found) != frames:
        raise OptionError(
            f"{folder} holds {len(found)} of {frames} masks, and its video is not where it was; finish the "
            "run (the same command with --resume), or give the video with --video PATH."
        )
    return natural_order(found)


def _read_labels(folder: Path, name: str, record: dict[str, Any]) -> LabelMap:
    path = folder / "masks" / f"{name}.png"
    if not path.is_file():
        raise MaskError(
            f"There is no mask {path}: the run is {record.get('status', 'unfinished')}, with "
            f"{record.get('frames_done', 0)} of {record['run']['frames']} masks. Finish it (the same "
            "command with --resume), or export fewer frames (--last)."
        )
    return read_label_png(path)


def _read_soft(folder: Path, name: str, object_ids: tuple[int, ...], record: dict[str, Any]) -> ObjectMasks:
    """The soft masks of a frame; MaskError if the file of an object is missing."""
    labels = _read_labels(folder, name, record)
    for object_id in object_ids_of(labels):
        if not (path := soft_path(folder / "soft", object_id, name)).is_file():
            raise MaskError(f"There is no soft mask {path}; run `tinct segment` again with --soft.")
    return read_soft(folder / "soft", name, object_ids, (labels.shape[0], labels.shape[1]))
