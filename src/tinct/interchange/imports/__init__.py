"""Import of prompts from other programs: COCO, LabelMe, CVAT (for images and for video), and all mask images.

The content of a file shows its format. Files are untrusted: entities and document types are errors, and
sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from tinct.errors import MaskError
from tinct.interchange.imports.archives import annotation_in_zip
from tinct.interchange.imports.coco import coco_pictures
from tinct.interchange.imports.cvat import cvat_pictures
from tinct.interchange.imports.frame_names import FrameNames
from tinct.interchange.imports.labelme import labelme_pictures
from tinct.interchange.imports.pictures import AnnotatedPicture
from tinct.interchange.imports.prompts import Annotations, to_prompts
from tinct.io.json_files import parse_json, reading
from tinct.io.mask_files import read_mask
from tinct.io.masks import MaskWarning
from tinct.io.regular_files import check_regular
from tinct.io.video import Video

__all__ = ["MAX_FILE_BYTES", "Annotations", "lists_pictures", "read_annotations"]

MAX_FILE_BYTES = 512 * 2**20
"""Maximum size of a JSON or XML file; a hundred thousand masks are smaller."""


def read_annotations(
    path: str | Path,
    video: Video,
    *,
    frame: int | None = None,
    known: Mapping[int, str] | None = None,
    repair: bool = False,
) -> Annotations:
    """Read the annotated frames of a file.

    The ids of a mask image and the track ids of a file are preserved. Other objects are distinguished by
    their labels and numbered in the order of the file; a label that is `known` gets its id.

    Args:
        path: COCO JSON (RLE or polygons), LabelMe JSON, CVAT XML, a ZIP with one of these, or what
            `tinct.read_mask` reads.
        video: The annotated video.
        frame: Index of the annotated frame; None for the one that the file names. An image is of the frame
            that is called like it, else of frame 0.
        known: Existing objects, id to name ("" for one without).
        repair: As for `tinct.read_mask`; for images only.

    Returns:
        The label maps by frame index, and the objects' names.

    Raises:
        MaskError: The file is missing, damaged, of another video or size, names a label that it
            does not declare, or holds no object.

    Warns:
        MaskWarning: Shapes were left out, ids changed, or a picture's name leaves its frame in doubt.
    """
    path = Path(path)
    text = _text_of(path)
    if text is None:
        index = _frame_of_image(path.name, video) if frame is None else frame
        return Annotations({index: read_mask(path, frame_size=video.size, repair=repair)}, {})
    with reading(path.name, "annotations", "Save or export it again.", MaskError):
        return to_prompts(path.name, _pictures(text, path.name, video), video, frame, known or {})


def lists_pictures(path: str | Path) -> bool:
    """Whether a file lists the annotated pictures (COCO, CVAT), unlike LabelMe's and images.

    Raises:
        MaskError: The file is too large or damaged.
    """
    path = Path(path)
    text = _text_of(path)
    if text is None or text.lstrip().startswith("<"):
        return text is not None
    with reading(path.name, "annotations", "Save or export it again.", MaskError):
        content = parse_json(text)
    return isinstance(content, dict) and "shapes" not in content


def _frame_of_image(name: str, video: Video) -> int:
    """The frame that is called like a mask image, else 0."""
    names = FrameNames(video)
    named, meant = names.named(name), names.index(name)
    if named is None and meant:
        warnings.warn(
            f"{name} is taken for the mask of frame 0, since no frame is called exactly so (they are "
            f"{video.names[0]} to {video.names[-1]}). If it is of another one, such as frame {meant}, give "
            f"{meant}:{name}.",
            MaskWarning,
            stacklevel=3,
        )
    return named or 0


def _text_of(path: Path) -> str | None:
    """The text of a file that starts like JSON or XML, or of that in a ZIP; None for what may be an image."""
    try:
        if path.is_dir() or not path.exists():
            return None
        check_regular(path)
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(b"PK\x03\x04"):
            return annotation_in_zip(path, MAX_FILE_BYTES).decode("utf-8-sig")
        if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"{", b"[", b"<"):
            if path.suffix.lower() in (".json", ".xml", ".zip"):
                raise MaskError(f"{path.name} is no {path.suffix[1:].upper()}; save or export it again.")
            return None
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise MaskError(
                f"{path.name} has {size / 2**20:.0f} MB; at most {MAX_FILE_BYTES // 2**20} are read. "
                "Export the painted frames alone."
            )
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, MaskError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise MaskError(f"{path} cannot be read: {reason}.") from error


def _pictures(text: str, name: str, video: Video) -> list[AnnotatedPicture]:
    """The annotated pictures of a JSON or XML text."""
    if text.lstrip().startswith("<"):
        return cvat_pictures(text, name, video.size)
    content = parse_json(text)
    if isinstance(content, dict) and "shapes" in content:
        return labelme_pictures(content, name)
    if isinstance(content, dict) and "images" in content and "annotations" in content:
        return coco_pictures(content, name)
    if isinstance(content, dict) and "videos" in content:
        raise MaskError(f"{name} is YouTube-VIS JSON, which is not read; export it as COCO JSON.")
    raise MaskError(
        f"{name} is JSON, but neither of LabelMe (`shapes`) nor of COCO (`images` and `annotations`). Export "
        "the masks as one of them."
    )
