"""Prompts as a browser sends them: PNG bytes, checked before a pixel is unpacked."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image as Pictures

from tinct.errors import MaskError
from tinct.io.image_files import opened_picture
from tinct.io.masks import MAX_OBJECTS, ObjectMasks, check_labels, check_size, object_ids_of
from tinct.shapes import Float, LabelMap
from tinct.web.http_errors import CallError


def read_prompt_png(body: bytes, size: tuple[int, int], index: int) -> LabelMap:
    """Decode the label map of a PNG; it may hold no object, if all was erased.

    Args:
        body: Grey or palette PNG whose pixels are object ids.
        size: (H, W) of the frame.
        index: The frame, for messages.

    Raises:
        MaskError: The size differs from that of the frame, or there are too many objects.
        CallError: The bytes are no PNG, or one of colours instead of ids.
    """
    name = f"the mask of frame {index}"

    def explain(reason: str) -> CallError:
        return CallError(
            f"{len(body)} bytes came as {name}, which are no PNG that can be read ({reason}); send a grey or "
            "palette PNG."
        )

    # Only PNG: untrusted bytes never reach the other decoders.
    with opened_picture(io.BytesIO(body), explain, formats=("PNG",)) as picture:
        check_size((picture.height, picture.width), size, name=name)
        if picture.mode not in ("P", "L", "1"):
            raise CallError(
                f"T{name[1:]} is a PNG of mode {picture.mode}; expected a grey or palette PNG whose pixels "
                "are object ids."
            )
        labels = np.array(picture, np.uint8)
    ids = object_ids_of(labels)
    return check_labels(labels, frame_size=size, name=name) if ids else labels * np.uint8(0)


def labels_of(png: bytes, size: tuple[int, int], modes: tuple[str, ...] = ("P", "L", "1")) -> LabelMap:
    """The label map of a stored PNG, or with the mode "L" alone an object's probabilities of 255.

    Raises:
        MaskError: It is damaged, or not of the frame's size (H, W) or of such a mode.
    """

    def explain(reason: str) -> MaskError:
        return MaskError(f"A stored mask is damaged ({reason}). Put back a copy of the project.")

    with opened_picture(io.BytesIO(png), explain, formats=("PNG",)) as picture:
        if (picture.height, picture.width) != size or picture.mode not in modes:
            raise explain(f"it is {picture.width}×{picture.height} pixels of mode {picture.mode}")
        return np.array(picture, np.uint8)


def content_name(labels: LabelMap) -> str:
    """The name of a stored label map, derived from its pixels."""
    digest = hashlib.sha256(repr(labels.shape).encode())
    digest.update(np.ascontiguousarray(labels).tobytes())
    return f"{digest.hexdigest()[:24]}.png"


def png_of(labels: LabelMap, *, grey: bool) -> bytes:
    """A label map as PNG bytes, grey or with the VOC palette."""
    from tinct.io.masks import voc_palette

    picture = Pictures.fromarray(np.ascontiguousarray(labels))
    if not grey:
        picture.putpalette(voc_palette().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def check_number_of_objects(count: int) -> None:
    """MaskError if one project would have too many objects."""
    if count > MAX_OBJECTS:
        raise MaskError(
            f"The project would have {count} objects; at most {MAX_OBJECTS} are taken. Delete some, or give "
            "several things one id."
        )


def soft_pngs(masks: ObjectMasks) -> dict[int, bytes]:
    """The probabilities of each object as a project stores them: 8-bit grey PNGs, by id."""
    return {i: _grey_png(masks[i]) for i in masks if masks[i].any()}


def _grey_png(alpha: Float[np.ndarray, "H W"]) -> bytes:
    buffer = io.BytesIO()
    Pictures.fromarray(np.rint(255 * alpha.clip(0, 1)).astype(np.uint8)).save(buffer, "PNG", compress_level=2)
    return buffer.getvalue()
