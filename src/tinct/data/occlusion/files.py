"""Occlusion clips on disk: a split in the layout of DAVIS-2017, and beside it who is to be seen when.

    ROOT/JPEGImages/480p/<clip>/<frame>.jpg     ROOT/ImageSets/2017/<split>.txt
    ROOT/Annotations/480p/<clip>/<frame>.png    ROOT/Visibility/<split>.json

So every reader, protocol and verb that knows DAVIS-2017 takes it. The JSON file holds per clip and
object its source, its role, one letter per frame (v visible, h hidden, o outside, r reappeared), its
sizes, the shares of it that are seen, and its disappearances. The folder is called 480p at any size,
as readers expect it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from tinct.data.occlusion.make import ObjectStory, OcclusionClip, OcclusionClips
from tinct.data.visibility import GONE_FRAMES, GONE_SHARE, Visibility, from_letters, to_letters
from tinct.errors import DatasetError, OutputError
from tinct.io.atomic import atomic_write
from tinct.io.mask_files import write_mask
from tinct.shapes import Image

JPEG_QUALITY = 90

Stories = Mapping[str, Mapping[int, ObjectStory]]
"""By clip and object id."""


def write_occlusion_split(
    clips: OcclusionClips,
    root: Path,
    split: str,
    count: int,
    *,
    command: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Write the first `count` clips as a split; what is there under the same names is replaced.

    Args:
        clips: Where they come from.
        root: The dataset's folder; other splits in it stay.
        split: The list's name; clip 7 is called "<split>-007".
        count: How many.
        command: What made the split, for its JSON file.
        progress: Told ("make", clips done, in all).

    Returns:
        The JSON file.

    Raises:
        DatasetError: The pictures are broken, or give no clip.
        OutputError: Something cannot be written.
    """
    names = [f"{split}-{index:03d}" for index in range(count)]
    content: dict[str, Any] = {}
    for index, name in enumerate(names):
        clip = clips[index]
        _write_frames(root, name, clip)
        content[name] = _clip_json(clip)
        if progress is not None:
            progress("make", index + 1, count)
    listing, told = _list_file(root, split), visibility_file(root, split)
    for folder in (listing.parent, told.parent):
        _made(folder)
    with atomic_write(listing) as part:
        part.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    rule = {"gone_share": GONE_SHARE, "gone_frames": GONE_FRAMES}
    head = {"split": split, "command": command, "options": asdict(clips.options), "rule": rule}
    # A clip per line: every figure on a line of its own would make a file of ten thousand lines.
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(clip)}" for name, clip in content.items())
    with atomic_write(told) as part:
        part.write_text(f'{json.dumps(head)[:-1]}, "clips": {{\n{lines}\n}}}}\n', encoding="utf-8")
    return told


def visibility_file(root: Path, split: str) -> Path:
    """Where a split's JSON file lies."""
    return root / "Visibility" / f"{split}.json"


def read_stories(root: Path, split: str) -> dict[str, dict[int, ObjectStory]]:
    """Who is to be seen when, in every clip of a split.

    Raises:
        DatasetError: There is no such file, or it holds something else.
    """
    path = visibility_file(root, split)
    try:
        clips = json.loads(path.read_text(encoding="utf-8"))["clips"]
        return {
            name: {int(i): _story(entry) for i, entry in clip["objects"].items()}
            for name, clip in clips.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} cannot be read as the visibility of occlusion clips ({type(error).__name__}: {error}). "
            "`tinct datasets make-occlusion` writes it beside the clips; give their root and split."
        ) from error


def _write_frames(root: Path, name: str, clip: OcclusionClip) -> None:
    frames, masks = (_made(root / kind / "480p" / name) for kind in ("JPEGImages", "Annotations"))
    for folder in (frames, masks):
        for old in folder.iterdir():  # of a longer clip that had this name
            old.unlink()
    for t, (image, labels) in enumerate(zip(clip.images, clip.labels, strict=True)):
        _write_jpeg(frames / f"{t:05d}.jpg", image)
        write_mask(masks / f"{t:05d}.png", labels)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}; give another folder.") from error
    return folder


def _write_jpeg(path: Path, image: Image) -> None:
    with atomic_write(path) as part:
        PillowImage.fromarray(image).save(part, format="JPEG", quality=JPEG_QUALITY)


def _list_file(root: Path, split: str) -> Path:
    return root / "ImageSets" / "2017" / f"{split}.txt"


def _clip_json(clip: OcclusionClip) -> dict[str, Any]:
    return {
        "frames": len(clip.images),
        "background": clip.background,
        "others": [{"role": role, "source": source} for role, source in clip.others],
        "objects": {str(i): _object_json(story) for i, story in clip.objects.items()},
    }


def _object_json(story: ObjectStory) -> dict[str, Any]:
    return {
        "source": story.source,
        "role": story.role,
        "states": to_letters(story.states),
        "sizes": [round(float(size), 4) for size in story.sizes],
        "shares": [round(float(share), 3) for share in story.shares],
        "disappearances": [
            {**asdict(gone), "kind": Visibility(gone.kind).name.lower()} for gone in story.disappearances
        ],
    }


def _story(entry: Mapping[str, Any]) -> ObjectStory:
    """An object's entry; its disappearances follow from its states and sizes."""
    states = from_letters(entry["states"])
    sizes, shares = (np.asarray(entry[name], np.float64) for name in ("sizes", "shares"))
    if not len(states) == len(sizes) == len(shares):
        raise ValueError(f"{len(states)} states, {len(sizes)} sizes and {len(shares)} shares")
    return ObjectStory(entry["source"], entry["role"], states, sizes, shares)
