"""Label maps from annotated pictures: the frame of each picture, and the id of each object."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tinct.errors import MaskError
from tinct.interchange.imports.frame_names import FrameNames, as_path
from tinct.interchange.imports.pictures import AnnotatedObject, AnnotatedPicture
from tinct.io.masks import MaskWarning, check_labels, check_size, object_ids_of
from tinct.io.video import Video
from tinct.shapes import BACKGROUND, VOID, LabelMap

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
    annotated = [picture for picture in pictures if picture.has_objects]
    left_out = [reason for picture in pictures for reason in picture.left_out]
    if not annotated:
        nothing = f"{source} holds no object: nothing was painted in it. Draw one, and save it again."
        raise MaskError(left_out[0] if left_out else nothing)
    frames = (
        _by_frame(source, pictures, video)
        if frame is None
        else {frame: _of_one_frame(source, pictures, video, frame)}
    )
    # Ids come from the whole file, so that a frame alone gets the same ids as all frames together.
    owners = dict.fromkeys(region.owner for picture in annotated for region in picture.regions)
    ids = object_ids(sorted(owners, key=lambda owner: owner.rank), known, source)
    prompts = {index: _drawn(source, index, frames[index], video, ids) for index in sorted(frames)}
    if left_out:
        more = f" ({len(left_out) - 1} more are left out, too.)" if len(left_out) > 1 else ""
        warnings.warn(f"Left out: {left_out[0]}{more}", MaskWarning, stacklevel=3)
    _warn_of_joined_shapes(source, frames)
    owners = dict.fromkeys(region.owner for picture in frames.values() for region in picture.regions)
    _warn_of_changed_ids(source, {owner: ids[owner] for owner in owners})
    names = {ids[owner]: owner.name for owner in owners if owner.name and 0 < ids[owner] < VOID}
    return Annotations(prompts, dict(sorted(names.items())))


def _drawn(
    source: str, index: int, picture: AnnotatedPicture, video: Video, ids: Mapping[AnnotatedObject, int]
) -> LabelMap:
    """The label map of a picture; an object without a pixel is warned of."""
    name = f"{source} ({picture.file_name or f'frame {index}'})"
    labels = np.zeros(video.size, np.uint8)
    if picture.size is not None:
        check_size(picture.size, video.size, name=name)
    for region in picture.regions:
        labels[region.mask()] = ids[region.owner]
    labels = check_labels(labels, name=name)
    shown = object_ids_of(labels)
    for owner in dict.fromkeys(region.owner for region in picture.regions):
        if ids[owner] not in (BACKGROUND, VOID, *shown):
            text = (
                f"{name}: {owner.name or owner.key!r} has no pixel: it has no area, lies outside of the "
                "picture, or is wholly covered by later shapes. Draw it again if it is meant."
            )
            warnings.warn(text, MaskWarning, stacklevel=5)
    return labels


def _warn_of_joined_shapes(source: str, frames: Mapping[int, AnnotatedPicture]) -> None:
    """Say where several shapes are one object because nothing but their label tells them apart."""
    for index, picture in sorted(frames.items()):
        shapes = Counter(region.owner for region in picture.regions if region.owner.by_label)
        if joined := [(owner, number) for owner, number in shapes.items() if number > 1]:
            owner, number = joined[0]
            warnings.warn(
                f"{source}: the {number} shapes {owner.name!r} of frame {index} are one object. If they are "
                "several, give each a group (group_id) or a label of its own.",
                MaskWarning,
                stacklevel=4,
            )
            return


def _warn_of_changed_ids(source: str, ids: Mapping[AnnotatedObject, int]) -> None:
    changed = [(one, i) for one, i in ids.items() if one.wanted_id is not None and one.wanted_id != i]
    if changed:
        text = ", ".join(f"{one.wanted_id} becomes {i}" for one, i in changed[:6])
        text += ", …" if len(changed) > 6 else ""
        warnings.warn(
            f"{source} has object ids that are taken or lie outside 1 to {MAX_OBJECT_ID}: {text}.",
            MaskWarning,
            stacklevel=4,
        )


def object_ids(
    objects: Iterable[AnnotatedObject], known: Mapping[int, str], source: str
) -> dict[AnnotatedObject, int]:
    """Assign ids: that of the file if it is free or of the same object, that of the name, or the next one.

    Raises:
        MaskError: There are more than 254 objects.
    """
    objects = list(objects)
    ids = {one: one.label for one in objects if one.label is not None}
    unassigned = []
    for one in objects:
        if one.label is not None:
            continue
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
    source: str, pictures: Sequence[AnnotatedPicture], video: Video, frame: int
) -> AnnotatedPicture:
    """The annotated picture of a frame: the only one, else the one with the name of the frame."""
    annotated = [picture for picture in pictures if picture.has_objects]
    if len(annotated) == 1:
        return annotated[0]
    names = FrameNames(video)
    from_one = names.count_from_one([p.file_name for p in _of_this_video(pictures, video)])
    found = {_index(p, names, from_one): p for p in _of_this_video(annotated, video)}
    if frame not in found:
        raise MaskError(
            f"{source} holds {len(annotated)} painted pictures, and none is called like frame {frame}; its "
            f"pictures are {annotated[0].title}, … {annotated[-1].title}. Give a file of this video."
        )
    return found[frame]


def _by_frame(source: str, pictures: Sequence[AnnotatedPicture], video: Video) -> dict[int, AnnotatedPicture]:
    """The annotated pictures by the frames that their names mean.

    Args:
        source: The file's name, for messages.
        pictures: All pictures of the file, since those without objects show how the file counts.
        video: The annotated video.
    """
    names = FrameNames(video)
    listed = [p.file_name for p in _of_this_video(pictures, video) if p.index is None]
    from_one = names.count_from_one(listed)
    frames: dict[int, AnnotatedPicture] = {}
    for picture in _of_this_video([picture for picture in pictures if picture.has_objects], video):
        index = _index(picture, names, from_one)
        if index is None or not 0 <= index < len(video):
            raise MaskError(_no_frame(source, picture, video, names))
        if index in frames:
            raise MaskError(
                f"{source} holds two pictures of frame {index}, {frames[index].title} and "
                f"{picture.title}; it may be of several videos. Export this video's pictures alone."
            )
        frames[index] = picture
    if from_one:
        first = next(name for name in listed if names.number(name) == 1)
        text = f"{source} numbers its pictures from 1 to {len(video)}, so {first} is taken for frame 0."
        warnings.warn(text, MaskWarning, stacklevel=4)
    elif not any(names.number(name) == 0 for name in listed):
        _warn_of_doubtful_numbers(source, frames, names)
    return frames


def _warn_of_doubtful_numbers(source: str, frames: Mapping[int, AnnotatedPicture], names: FrameNames) -> None:
    doubtful = [i for i, p in frames.items() if p.index is None and names.may_count_from_one(p.file_name)]
    if not doubtful:
        return
    index = doubtful[0]
    fix = f"give {index - 1}:{source}" if len(frames) == 1 else "call the pictures as the frames are called"
    warnings.warn(
        f"{source} was painted on {frames[index].file_name}, which is taken for frame {index} (the first is "
        f"0). If the program that named it counts from 1, as ffmpeg does, {fix}.",
        MaskWarning,
        stacklevel=5,
    )


def _no_frame(source: str, picture: AnnotatedPicture, video: Video, names: FrameNames) -> str:
    """The message about a picture that is no frame of the video."""
    number = names.number(picture.file_name) if picture.index is None else None
    last = (
        f" If it is its last frame, counted from 1, that is {number - 1}:{source}."
        if number == len(video)
        else ""
    )
    return (
        f"{source} was painted on {picture.title}, and no frame of the video is called so (they are "
        f"{video.names[0]} to {video.names[-1]}; digits at the end of another name are not taken for a "
        f"frame's number). If it is of this video, say of which frame, counted from 0: INDEX:{source}.{last}"
    )


def _index(picture: AnnotatedPicture, names: FrameNames, from_one: bool) -> int | None:
    if picture.index is not None:
        return picture.index
    number = names.number(picture.file_name) if from_one else None
    return names.index(picture.file_name) if number is None else number - 1


def _of_this_video(pictures: Sequence[AnnotatedPicture], video: Video) -> Sequence[AnnotatedPicture]:
    """The pictures in a folder of this video's name, or all if there are none."""
    title = "" if video.path is None else video.path.resolve().stem
    own = [p for p in pictures if title and as_path(p.file_name).parent.name == title]
    return own or pictures
