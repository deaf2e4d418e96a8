"""Whose a run folder is, and which of its frames are whole."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinct.errors import MaskError, OutputError
from tinct.inference.fingerprints import labels_sha256, video_sha256
from tinct.io.atomic import sweep
from tinct.io.masks import object_ids_of
from tinct.io.overlay import read_labels
from tinct.io.soft_masks import read_soft, soft_objects
from tinct.io.video import Video
from tinct.runs.run_file import RunFile
from tinct.shapes import LabelMap


def run_identity(
    video: Video, prompts: Mapping[int, LabelMap], info: Mapping[str, Any], *, backward: bool
) -> dict[str, Any]:
    """What makes two runs the same run."""
    return {
        **info,
        **({"direction": "backward"} if backward else {}),
        "frames": len(video),
        "size": list(video.size),
        "video_sha256": video_sha256(video),
        "prompts": {str(index): labels_sha256(labels) for index, labels in prompts.items()},
    }


def check_apart(out: Path, video: Video) -> None:
    """OutputError if the run folder is, holds or lies in that of the frames: masks are pictures, too."""
    frames = video.path
    if frames is None or not frames.is_dir():
        return
    ours, theirs = out.resolve(), frames.resolve()
    relation = "is" if ours == theirs else "lies in" if theirs in ours.parents else "contains"
    if relation != "contains" or ours in theirs.parents:
        raise OutputError(
            f"The output {out} {relation} the folder of the frames, {frames}, whose pictures would mix with "
            "the masks. Choose a folder beside it."
        )


def prepare_folder(out: Path, file: RunFile, resume: bool, notes: Mapping[str, Any]) -> None:
    """Make the folder this run's own.

    Args:
        out: The run folder.
        file: Its `run.json`.
        resume: Whether it may hold the same run already.
        notes: What `run.json` shall say beside the run's state.

    Raises:
        OutputError: It holds something else, or cannot be written.
    """
    file.compare(resume)
    theirs = out.joinpath("overlay.mp4").exists() or _has_files(out / "masks") or _has_files(out / "soft")
    if not file.path.exists() and theirs:
        raise OutputError(
            f"{out} holds masks or a video but no run.json: they are not this run's; choose another folder."
        )
    try:
        (out / "masks").mkdir(parents=True, exist_ok=True)
        sweep(out)
        for folder in (out / "masks", *(out / "soft").glob("*")):
            sweep(folder, locked=True)
        if not os.access(out / "masks", os.W_OK):
            raise PermissionError(13, "Permission denied")
        file.write(**notes, status="running", message="", frames_done=file.frames_done)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written: {error.strerror or error}. Choose a folder that you may write to."
        ) from error


def whole_masks(masks: Sequence[Path], size: tuple[int, int], soft: Path | None) -> set[int]:
    """The places of the masks that are there and whole, with what lies beside them.

    Args:
        masks: The files, in the order of the run.
        size: (H, W) of the video.
        soft: The folder of soft masks; None without them.
    """
    whole: set[int] = set()
    begun: list[int] = []
    for place, path in enumerate(masks):
        with suppress(MaskError):
            labels = read_labels(path, size)
            if soft is not None:
                begun = _soft_objects(soft, path.stem, size, {*begun, *object_ids_of(labels)})
            whole.add(place)
    return whole


def _soft_objects(folder: Path, name: str, size: tuple[int, int], expected: set[int]) -> list[int]:
    """The objects of which a frame has a soft mask, all whole; MaskError if one is missing or broken."""
    found = soft_objects(folder, name)
    if not expected <= set(found):
        raise MaskError(f"Frame {name} lacks a soft mask.")
    read_soft(folder, name, found, size)
    return found


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
