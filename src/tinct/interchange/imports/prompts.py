"""Label maps from annotated pictures: the frame of each picture, and the id of each object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from tinct.errors import MaskError
from tinct.interchange.imports.pictures import AnnotatedObject, AnnotatedPicture
from tinct.io.masks import check_labels, check_size
from tinct.io.video import IMAGE_SUFFIXES, Video
from tinct.shapes import LabelMap

MAX_OBJECT_ID = 254


class Annotations(NamedTuple):
    """The prompts of an annotation file.

    Attributes:
        prompts: Frame index to label map, uint8 [H, W].
        names: Object id to name, for objects with a name.
    """

    prompts: dict[int, LabelMap]
    names: dict[int, str]


def to_prompts(
    source: str,
    pictures: Sequence[AnnotatedPicture],
    video: Video,
    frame: int | None,
    known: Mapping[int, str],
) -> Annotations:
    """The label maps of a file's pictures; later regions cover earlier ones.

    Args:
        source: The file's name, for messages.
        pictures: The pictures of the file.
        video: The annotated video.
        frame: The only frame to take, or None.
        known: Existing objects, id to name.

    Raises:
        MaskError: A picture is of another video or size, or there is no object.
    """
    annotated = [picture for picture in pictures if picture.regions]
    if not annotated:
        raise MaskError(f"{source} holds no object: nothing was painted in it. Draw one, and save it again.")
    chosen = _of_one_frame(source, annotated, video, frame) if frame is not None else None
    frames = {frame: chosen} if frame is not None and chosen else _by_frame(source, annotated, video)
    # Ids come from the whole file, so that a frame alone gets the same ids as all frames together.
    owners = dict.fromkeys(region.owner for picture in annotated for region in picture.regions)
    ids = object_ids(sorted(owners, key=lambda owner: owner.rank), known, source)
    prompts = {}
    for index, picture in sorted(frames.items()):
        name = f"{source} ({picture.file_name or f'frame {index}'})"
        labels = np.zeros(video.size, np.uint8)
        if picture.size is not None:
            check_size(picture.size, video.size, name=name)
        for region in picture.regions:
            labels[region.mask()] = ids[region.owner]
        prompts[index] = check_labels(labels, name=name)
    names = {ids[owner]: owner.name for p in frames.values() for r in p.regions if (owner := r.owner).name}
    return Annotations(prompts, dict(sorted(names.items())))


def object_ids(
    objects: Iterable[AnnotatedObject], known: Mapping[int, str], source: str
) -> dict[AnnotatedObject, int]:
    """Assign ids: that of the file if it is free or of the same object, that of the name, or the next one.

    Raises:
        MaskError: There are more than 254 objects.
    """
    ids: dict[AnnotatedObject, int] = {}
    unassigned = []
    for one in objects:
        wanted = one.wanted_id
        fits = wanted is not None and 1 <= wanted <= MAX_OBJECT_ID and wanted not in ids.values()
        if wanted is not None and fits and (not one.name or known.get(wanted, "") in ("", one.name)):
            ids[one] = wanted
        else:
            unassigned.append(one)
    by_name: dict[str, int] = {}
    for object_id, name in sorted(known.items()):
        by_name.setdefault(name, object_id)
    for one in unassigned:
        same = by_name.get(one.name) if one.name else None
        taken = {*known, *ids.values()}
        if same is not None and same not in ids.values():
            ids[one] = same
        elif (free := next((i for i in range(1, MAX_OBJECT_ID + 1) if i not in taken), None)) is not None:
            ids[one] = free
        else:
            raise MaskError(f"{source} holds more objects than there are ids; at most {MAX_OBJECT_ID} are.")
    return ids


def _of_one_frame(
    source: str, annotated: Sequence[AnnotatedPicture], video: Video, frame: int
) -> AnnotatedPicture:
    """The picture of a frame: the only one, else the one with the name of the frame."""
    if len(annotated) == 1:
        return annotated[0]
    found = {
        index: picture
        for index, picture in _matches(_of_this_video(annotated, video), video)
        if index is not None
    }
    if frame not in found:
        raise MaskError(
            f"{source} holds {len(annotated)} painted pictures, and none is called like frame {frame}; its "
            f"pictures are {annotated[0].file_name}, … {annotated[-1].file_name}. Give a file of this video."
        )
    return found[frame]


def _by_frame(
    source: str, annotated: Sequence[AnnotatedPicture], video: Video
) -> dict[int, AnnotatedPicture]:
    """The pictures by the frames that their names match."""
    frames: dict[int, AnnotatedPicture] = {}
    for index, picture in _matches(_of_this_video(annotated, video), video):
        if index is None:
            raise MaskError(
                f"{source} was painted on {picture.file_name or 'a picture without a name'}, and no frame of "
                f"the video is called so (they are {video.names[0]} to {video.names[-1]}). If it is of this "
                f"video, say of which frame: INDEX:{source}."
            )
        if index in frames:
            raise MaskError(
                f"{source} holds two pictures of frame {index}, {frames[index].file_name} and "
                f"{picture.file_name}; it may be of several videos. Export this video's pictures alone."
            )
        frames[index] = picture
    return frames


def _of_this_video(annotated: Sequence[AnnotatedPicture], video: Video) -> Sequence[AnnotatedPicture]:
    """The pictures in a folder of this video's name, or all if there are none."""
    title = "" if video.path is None else video.path.resolve().stem
    own = [p for p in annotated if title and _as_path(p.file_name).parent.name == title]
    return own or annotated


def _matches(
    pictures: Iterable[AnnotatedPicture], video: Video
) -> Iterable[tuple[int | None, AnnotatedPicture]]:
    """(frame index or None, picture): by the name, or by its last number where names are numbers."""
    by_name = {name: index for index, name in enumerate(video.names)}
    numbered = all(name.isdecimal() for name in video.names)
    by_number = {int(name): index for name, index in by_name.items()} if numbered else {}
    for picture in pictures:
        path = _as_path(picture.file_name)
        stem = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
        digits = re.search(r"([0-9]{1,15})$", stem)
        found = by_name.get(stem)
        if found is None and digits:
            found = by_number.get(int(digits[1]))
        yield found, picture


def _as_path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))
