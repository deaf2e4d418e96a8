"""Parts of a run folder of `tinct segment`, as exports read them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tinct.errors import MaskError, OptionError, OutputError, VideoError
from tinct.io.json_files import parse_json, reading
from tinct.io.levels import Levels
from tinct.io.mask_files import read_label_png
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.io.natural_order import natural_order
from tinct.io.regular_files import read_regular, readable
from tinct.io.soft_masks import read_soft, soft_path
from tinct.io.video import IMAGE_SUFFIXES, Video
from tinct.shapes import LabelMap


def video_of_run(folder: Path, record: dict[str, Any], video: Video | None) -> Video | None:
    """The frames that were segmented; None if they cannot be found.

    Args:
        folder: The run folder.
        record: The content of its run.json.
        video: The whole video; None to open it at its recorded path.

    Raises:
        OptionError: The video is not the one that was segmented.
        VideoError: The video was found, but cannot be read.
    """
    run = record["run"]
    if video is None and (path := find_video(folder, record)) is not None:
        levels = run.get("levels")
        video = Video.open(path, None if levels is None else Levels.parse(levels))
    if video is None:
        return None
    if "frame_range" in run:
        start, stop = map(int, run["frame_range"].split(":"))
        video = video[start:stop]
    _check_same(video, run, folder)
    return video


@readable(VideoError)
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


@readable(OutputError)
def read_run(folder: Path) -> dict[str, Any]:
    """The content of run.json; OutputError if the folder is no run, or it cannot be read."""
    path = folder / "run.json"
    if not path.exists():
        raise OutputError(
            f"{folder} is no run: it holds no run.json. Give the folder that `tinct segment` wrote (--out)."
        )
    with reading(path, "a run's record", "Run `tinct segment` again.", OutputError):
        record = parse_json(read_regular(path))
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


def mask_names(folder: Path, frames: int) -> Sequence[str]:
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


def read_labels(folder: Path, name: str, record: dict[str, Any]) -> LabelMap:
    """The label map of a frame; MaskError if there is none."""
    path = folder / "masks" / f"{name}.png"
    if not path.is_file():
        raise MaskError(
            f"There is no mask {path}: the run is {record.get('status', 'unfinished')}, with "
            f"{record.get('frames_done', 0)} of {record['run']['frames']} masks. Finish it (the same "
            "command with --resume), or export fewer frames (--last)."
        )
    return read_label_png(path)


def read_soft_masks(
    folder: Path, name: str, object_ids: tuple[int, ...], record: dict[str, Any]
) -> ObjectMasks:
    """The soft masks of a frame; MaskError if the file of an object is missing."""
    labels = read_labels(folder, name, record)
    for object_id in object_ids_of(labels):
        if not (path := soft_path(folder / "soft", object_id, name)).is_file():
            raise MaskError(f"There is no soft mask {path}; run `tinct segment` again with --soft.")
    return read_soft(folder / "soft", name, object_ids, (labels.shape[0], labels.shape[1]))
