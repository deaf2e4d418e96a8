"""Occlusion clips on disk: a split in the layout of DAVIS-2017, with the visibility of every object.

    ROOT/JPEGImages/480p/<clip>/<frame>.jpg     ROOT/ImageSets/2017/<split>.txt
    ROOT/Annotations/480p/<clip>/<frame>.png    ROOT/Visibility/<split>.json

So every reader, protocol and verb that knows DAVIS-2017 takes it. The JSON file holds per clip and
object its source, its role, one letter per frame (v visible, h hidden, o outside, r reappeared), its
sizes, its visible shares, and its disappearances. The folder is called 480p at any size, as readers
expect it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from tinct.data.occlusion.clips import OcclusionClip, OcclusionClips, VisibilityTrace
from tinct.data.visibility import GONE_FRAMES, GONE_SHARE, Visibility, from_letters, to_letters
from tinct.errors import DatasetError, OutputError
from tinct.inference.callbacks import ProgressCallback
from tinct.io.atomic import atomic_write, path_below
from tinct.io.json_files import parse_json, reading
from tinct.io.mask_files import write_mask
from tinct.io.regular_files import read_regular
from tinct.shapes import Image

JPEG_QUALITY = 90

ClipTraces = Mapping[str, Mapping[int, VisibilityTrace]]
"""Visibility traces by clip name and object id."""


def write_occlusion_split(
    clips: OcclusionClips,
    root: Path,
    split: str,
    count: int,
    *,
    command: str = "",
    progress: ProgressCallback | None = None,
) -> Path:
    """Write the first `count` clips as a split, replacing files of the same names.

    Args:
        clips: The clips to write.
        root: The dataset's folder; other splits in it stay.
        split: The list's name; clip 7 is called "<split>-007".
        count: The number of clips.
        command: The command line that made the split, recorded in its JSON file.
        progress: Called with ("make", clips done, clips in all) after each clip.

    Returns:
        The path of the JSON file.

    Raises:
        DatasetError: The pictures are broken, or give no clip.
        OutputError: A file cannot be written.
    """
    names = [f"{split}-{index:03d}" for index in range(count)]
    content: dict[str, Any] = {}
    for index, name in enumerate(names):
        clip = clips[index]
        _write_frames(root, name, clip)
        content[name] = _clip_json(clip)
        if progress is not None:
            progress("make", index + 1, count)
    listing, visibility = _list_file(root, split), visibility_file(root, split)
    for folder in (listing.parent, visibility.parent):
        _make_folder(folder)
    with atomic_write(listing) as part:
        part.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    rule = {"gone_share": GONE_SHARE, "gone_frames": GONE_FRAMES}
    head = {"split": split, "command": command, "options": asdict(clips.options), "rule": rule}
    # A clip per line: every figure on a line of its own would make a file of ten thousand lines.
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(clip)}" for name, clip in content.items())
    with atomic_write(visibility) as part:
        part.write_text(f'{json.dumps(head)[:-1]}, "clips": {{\n{lines}\n}}}}\n', encoding="utf-8")
    return visibility


def visibility_file(root: Path, split: str) -> Path:
    """The path of a split's JSON file."""
    return path_below(root / "Visibility", split, ".json")


def read_visibility(root: Path, split: str) -> dict[str, dict[int, VisibilityTrace]]:
    """Read the visibility traces of every clip of a split.

    Raises:
        DatasetError: The file is missing, or is not of this format.
    """
    path = visibility_file(root, split)
    fix = "`tinct datasets make-occlusion` writes it beside the clips; give their root and split."
    with reading(path, "the visibility of occlusion clips", fix, DatasetError):
        clips = parse_json(read_regular(path))["clips"]
        return {
            name: {int(i): _trace(entry) for i, entry in clip["objects"].items()}
            for name, clip in clips.items()
        }


def _write_frames(root: Path, name: str, clip: OcclusionClip) -> None:
    kinds = (root / kind / "480p" for kind in ("JPEGImages", "Annotations"))
    frames, masks = (_make_folder(path_below(kind, name)) for kind in kinds)
    for folder in (frames, masks):
        for old in folder.iterdir():  # left by a longer clip of the same name
            old.unlink()
    for t, (image, labels) in enumerate(zip(clip.images, clip.labels, strict=True)):
        _write_jpeg(frames / f"{t:05d}.jpg", image)
        write_mask(masks / f"{t:05d}.png", labels)


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}; give another folder.") from error
    return folder


def _write_jpeg(path: Path, image: Image) -> None:
    with atomic_write(path) as part:
        PillowImage.fromarray(image).save(part, format="JPEG", quality=JPEG_QUALITY)


def _list_file(root: Path, split: str) -> Path:
    return path_below(root / "ImageSets" / "2017", split, ".txt")


def _clip_json(clip: OcclusionClip) -> dict[str, Any]:
    return {
        "frames": len(clip.images),
        "background": clip.background,
        "others": [{"role": role, "source": source} for role, source in clip.others],
        "objects": {str(i): _object_json(trace) for i, trace in clip.objects.items()},
    }


def _object_json(trace: VisibilityTrace) -> dict[str, Any]:
    return {
        "source": trace.source,
        "role": trace.role,
        "states": to_letters(trace.states),
        "sizes": [round(float(size), 4) for size in trace.sizes],
        "shares": [round(float(share), 3) for share in trace.shares],
        "disappearances": [
            {**asdict(gone), "kind": Visibility(gone.kind).name.lower()} for gone in trace.disappearances
        ],
    }


def _trace(entry: Mapping[str, Any]) -> VisibilityTrace:
    """One object's trace from its JSON entry; disappearances follow from states and sizes."""
    states = from_letters(entry["states"])
    sizes, shares = (np.asarray(entry[name], np.float64) for name in ("sizes", "shares"))
    if not len(states) == len(sizes) == len(shares):
        raise ValueError(f"{len(states)} states, {len(sizes)} sizes and {len(shares)} shares")
    return VisibilityTrace(entry["source"], entry["role"], states, sizes, shares)
