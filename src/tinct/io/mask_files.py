"""Mask files: read, explained when they are wrong, repaired on request, and written whole or not at all.

A mask file comes in as one of

- palette PNG: the palette indices are the object ids, whatever the colours;
- grey label PNG (8 bits, or 16 bits with values up to 255): the grey values are the ids;
- 0/255, 0/65535 or 1-bit: one object, which gets id 1;
- RGB or RGBA with one flat colour per object on black (or on transparency): a colour of the
  PASCAL VOC palette stands for its VOC id; the other colours take the lowest free ids, dark
  before light (by Rec. 601 luminance, then red, green, blue);
- black with transparency, or a cut-out (a picture with transparency): one object where it is opaque.

0 is background. 255 beside other ids is void; but beside shades of grey above every usual id, in an image
without a palette, white is an object. Masks go out as palette PNGs with the VOC palette.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from tinct.errors import MaskError, MissingMaskError, OptionError, near_match
from tinct.io.atomic import atomic_write
from tinct.io.image_files import opened_picture, pictures_in
from tinct.io.mask_repair import blends, flat_colours, snap_strays, stray_colours
from tinct.io.mask_transparency import opaque_object
from tinct.io.masks import (
    MAX_OBJECTS,
    MaskLike,
    MaskWarning,
    as_label_map,
    check_labels,
    check_size,
    object_ids_of,
    voc_palette,
)
from tinct.io.regular_files import readable
from tinct.shapes import BACKGROUND, VOID, Bool, Int64, LabelMap, Shaped, UInt8, holds_arrays

REPAIR_HINT = "repair=True (--repair-mask on the command line)"

_MOST_FAR = 0.15  # With more pixels far from all main colours, a repair would make up objects.
_DRIFT = 8  # Black, white and VOC colours are recognised within this difference.


def read_mask(
    path: str | Path, *, frame_size: tuple[int, int] | None = None, repair: bool = False
) -> LabelMap:
    """Read a painted mask, check it, and return its label map.

    Args:
        path: An image file; see the top of this module for what is understood.
        frame_size: (H, W) of the frame on which it was painted, if it must fit one.
        repair: Snap stray pixels (anti-aliased edges, JPEG noise) to the nearest of the main
            colours instead of refusing the mask.

    Returns:
        uint8 [H, W].

    Raises:
        MaskError: The file is missing or unreadable, or cannot be what was painted; the message
            says what was found in it and how to fix it.

    Warns:
        MaskWarning: The mask was taken from transparency, or white taken for an object or background.
    """
    path = Path(path)
    with _opened(path) as picture:
        if frame_size is not None:
            check_size((picture.height, picture.width), frame_size, name=path.name)
        painting = _painting(picture, path.name)
    if painting.stray.any():
        repaired = _repaired(painting)
        if not repair:
            raise MaskError(_stray_message(painting, repaired))
        painting = repaired
    return check_labels(_with_ground(painting.label_map, path.name, repair), name=path.name)


def _with_ground(labels: LabelMap, name: str, repair: bool) -> LabelMap:
    """Refuse a label map in which 255 stands where the background should be, or repair it."""
    if (labels == BACKGROUND).any() or not object_ids_of(labels) or not (labels == VOID).any():
        return labels
    undecided = int((labels == VOID).sum())
    if not repair:
        raise MaskError(
            f"{name} has no pixel of background (0), and 255 on {undecided} pixels. 255 means undecided, not "
            "background, and objects would flood it. Paint the background 0, or let 255 become background: "
            f"{REPAIR_HINT}."
        )
    text = f"{name}: the {undecided} pixels of 255 are taken for background, since none is 0."
    warnings.warn(text, MaskWarning, stacklevel=3)
    return np.where(labels == VOID, BACKGROUND, labels).astype(np.uint8)


def _repaired(painting: _Painting) -> _Painting:
    codes = snap_strays(painting.codes, painting.colours, painting.stray)
    return replace(painting, codes=codes, stray=np.zeros_like(painting.stray))


def read_label_png(path: str | Path) -> LabelMap:
    """The exact values of a palette or grey label PNG, without any check of what they mean.

    The fast way for files that are known to be label maps: tinct's own, and annotations of a dataset.

    Raises:
        MaskError: The file is missing or unreadable, or is neither a palette nor an 8-bit grey image.
    """
    path = Path(path)
    with _opened(path) as picture:
        if picture.mode not in ("P", "L", "1"):
            raise MaskError(
                f"{path} is an image of mode {picture.mode}; expected a palette or 8-bit grey PNG."
            )
        return np.array(picture, np.uint8)


def write_mask(path: str | Path, labels: MaskLike, *, durable: bool = False) -> None:
    """Write a label map as an 8-bit palette PNG with the VOC palette, whole or not at all.

    Args:
        path: Ends in .png.
        labels: In any form that `as_label_map` takes.
        durable: As for `atomic_write`.

    Raises:
        OptionError: The name does not end in .png.
        MaskError: `labels` is no label map.
        OutputError: The file cannot be written (no such folder, read-only, disk full).
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OptionError(
            f"A mask was to be written as {path.name}; masks are PNG files, since JPEG changes ids. "
            f"Name it {path.stem}.png."
        )
    picture = Pictures.fromarray(as_label_map(labels))
    picture.putpalette(voc_palette().tobytes())
    with atomic_write(path, durable=durable) as part:
        picture.save(part, format="PNG", compress_level=2)


@holds_arrays
@dataclass(frozen=True, repr=False)
class _Painting:
    """A painted mask as an indexed image: one code per distinct colour.

    Args:
        codes: int64 [H, W].
        colours: The colour of each code, grey (one channel) or RGB.
        ids: The object id of each code.
        stray: Which colours are no paint but edge blur or noise.
        name: The file's name.
    """

    codes: Int64[np.ndarray, "H W"]
    colours: UInt8[np.ndarray, "K C"]
    ids: UInt8[np.ndarray, "K"]
    stray: Bool[np.ndarray, "K"]
    name: str
    is_jpeg: bool

    @property
    def label_map(self) -> LabelMap:
        """The object id of each pixel."""
        labels: LabelMap = self.ids[self.codes]
        return labels

    @property
    def counts(self) -> Int64[np.ndarray, "K"]:
        """How many pixels have each colour."""
        return np.bincount(self.codes.ravel(), minlength=len(self.colours)).astype(np.int64)


@contextmanager
def _opened(path: Path) -> Iterator[Pictures.Image]:
    _check_there(path)
    with opened_picture(path, partial(_unreadable, path), several=True) as picture:
        if (number := pictures_in(picture)) > 1:
            raise MaskError(
                f"{path} holds {number} pictures, and a mask is one. Save the one that was painted alone, as "
                "PNG; several masks are given one by one, each with its frame."
            )
        yield picture


@readable(MaskError)
def _check_there(path: Path) -> None:
    if not path.exists():
        near = [p.name for p in path.parent.glob("*.png")] if path.parent.is_dir() else []
        hint = near_match(path.name, near) if 0 < len(near) <= 20 else "Check the path."
        raise MissingMaskError(f"There is no mask file {path}. {hint}")
    if path.is_dir():
        raise MaskError(f"{path} is a folder; expected one mask image, such as {path.name}/00000.png.")


def _unreadable(path: Path, reason: str) -> MaskError:
    return MaskError(f"{path} cannot be read as a mask: {reason}. Save or copy it again, as PNG.")


def _painting(picture: Pictures.Image, name: str) -> _Painting:
    is_jpeg = picture.format in ("JPEG", "MPO")
    if picture.mode == "P" and (indexed := _from_palette(picture, name)) is not None:
        return indexed
    opaque = opaque_object(picture, name)
    pixels = _grey_or_rgb(picture, name) if opaque is None else opaque[..., None].astype(np.uint8) * 255
    codes, colours = _index_colours(pixels)
    stray = stray_colours(codes, colours, is_jpeg=is_jpeg)
    painting = _Painting(codes, colours, np.zeros(len(colours), np.uint8), stray, name, is_jpeg)
    _refuse_photo(painting)
    painting = replace(painting, ids=_ids_of(colours, stray, name))
    return _with_white_object(painting) if colours.shape[1] == 1 else painting


def _with_white_object(painting: _Painting) -> _Painting:
    """White beside lighter greys than ids are is an object; beside low ids it is void, as DAVIS has it."""
    ids = painting.ids[~painting.stray]
    shades = [int(i) for i in np.unique(ids) if BACKGROUND < i < VOID]
    if not shades or shades[-1] <= MAX_OBJECTS or not {BACKGROUND, VOID} <= set(ids.tolist()):
        return painting
    white = next(i for i in range(1, VOID) if i not in shades)
    number = int(painting.counts[~painting.stray & (painting.ids == VOID)].sum())
    warnings.warn(
        f"{painting.name}: white (255) on {number} pixels is taken for an object, id {white}, since the "
        f"other values ({', '.join(map(str, shades[:6]))}) are shades of grey, not numbers of objects. If "
        "white means undecided, number the objects 1, 2, ….",
        MaskWarning,
        stacklevel=4,
    )
    return replace(painting, ids=np.where(painting.ids == VOID, white, painting.ids).astype(np.uint8))


def _from_palette(picture: Pictures.Image, name: str) -> _Painting | None:
    """A palette image whose indices are ids; None if it is a picture that was squeezed into a palette."""
    codes = np.array(picture, np.int64)
    used = np.flatnonzero(np.bincount(codes.ravel(), minlength=256))
    palette = np.zeros((256, 3), np.uint8)
    given = np.asarray(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    palette[: len(given)] = given
    colours = palette[used]
    distinct = len(np.unique(colours, axis=0)) == len(colours)
    codes = np.searchsorted(used, codes)
    black = (colours == 0).all(axis=1)
    # A colour reducer orders its palette as it likes; then only the colours say what is background.
    flat = flat_colours(codes, len(used))
    reordered = bool(used[0] == 0 and not black[0] and black.any())
    greys = used[-1] == VOID and bool((colours == used[:, None]).all())
    two_tone = greys or (list(used) == [0, VOID] and bool((palette[VOID] == 255).all()))
    soft = distinct and (blends(codes, colours, flat).sum() >= 3 or len(used) > MAX_OBJECTS + 2)
    if reordered or two_tone or soft:
        return None
    return _Painting(codes, colours, used.astype(np.uint8), np.zeros(len(used), np.bool_), name, False)


def _grey_or_rgb(picture: Pictures.Image, name: str) -> UInt8[np.ndarray, "H W C"]:
    """uint8 with one channel if all colours are grey, else with three; transparency is background."""
    mode = picture.mode
    if mode == "1":
        return np.array(picture, np.uint8)[..., None] * 255
    if mode.startswith("I"):
        return _from_16_bits(np.array(picture), name)[..., None]
    if mode == "F":
        raise MaskError(f"{name} holds fractions, not ids; save the mask as an 8-bit palette PNG.")
    if mode == "L":
        return np.array(picture)[..., None]
    rgba = np.array(picture.convert("RGBA"))
    alpha = rgba[..., 3:]
    rgb = rgba[..., :3]
    if alpha.max() == 0:
        raise MaskError(f"{name} is wholly transparent, so it holds no object. Paint an object.")
    if alpha.min() < 255:
        rgb = ((rgb.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    grey = bool((rgb[..., :1] == rgb).all())
    return np.ascontiguousarray(rgb[..., :1] if grey else rgb)


def _from_16_bits(values: Shaped[np.ndarray, "H W"], name: str) -> UInt8[np.ndarray, "H W"]:
    distinct = np.unique(values)
    if distinct[0] >= 0 and distinct[-1] <= VOID:
        return values.astype(np.uint8)
    if len(distinct) <= 2 and distinct[0] == 0:
        return np.where(values > 0, 255, 0).astype(np.uint8)
    if distinct[0] >= 0 and not (distinct % 257).any():
        return (values // 257).astype(np.uint8)  # 8-bit values stretched to 16 bits
    shown = ", ".join(str(v) for v in distinct[:6]) + (", …" if len(distinct) > 6 else "")
    raise MaskError(
        f"{name} is a 16-bit image with {len(distinct)} values ({shown}); object ids lie between 1 and 254 "
        "(0 is background, 255 void). Renumber the objects and save an 8-bit PNG."
    )


def _index_colours(
    pixels: UInt8[np.ndarray, "H W C"],
) -> tuple[Int64[np.ndarray, "H W"], UInt8[np.ndarray, "K C"]]:
    """(codes, colours): colours are in increasing order of (grey) or (red, green, blue)."""
    if pixels.shape[2] == 1:  # counting is far faster than sorting
        present = np.bincount(pixels.ravel(), minlength=256) > 0
        codes = (np.cumsum(present) - 1)[pixels[..., 0]]
        return codes, np.flatnonzero(present).astype(np.uint8)[:, None]
    packed = np.zeros(pixels.shape[:2], np.uint32)
    for channel in range(pixels.shape[2]):
        packed = (packed << 8) | pixels[..., channel]
    distinct, codes = np.unique(packed, return_inverse=True)
    shifts = np.arange(8 * (pixels.shape[2] - 1), -1, -8, dtype=np.uint32)
    colours = (distinct[:, None] >> shifts & 255).astype(np.uint8)
    return codes.reshape(packed.shape).astype(np.int64), colours


def _refuse_photo(painting: _Painting) -> None:
    """Tell a picture from a painting: few of its pixels have, or are near, a few main colours."""
    counts, stray = painting.counts, painting.stray
    mains = int((~stray).sum())
    share = counts[stray].sum() / counts.sum()
    photo = share > 0.8 or (share > 0.5 and (mains > 8 or _share_far_from_paint(painting) > _MOST_FAR))
    if not photo and mains <= MAX_OBJECTS + 2:
        return
    what = "looks like a photo" if photo else "holds more objects than anyone paints"
    raise MaskError(
        f"{painting.name} {what}: {len(counts)} colours, of which {mains} fill areas. Expected a mask: "
        f"one flat colour or id per object, at most {MAX_OBJECTS} objects, on a black (0) background."
    )


def _share_far_from_paint(painting: _Painting) -> float:
    table = painting.colours.astype(np.int16)
    far = np.ones(len(table), np.bool_)
    for colour in table[~painting.stray]:
        far &= np.abs(table - colour).max(axis=1) > 32
    return float(painting.counts[far].sum() / painting.counts.sum())


def _ids_of(
    colours: UInt8[np.ndarray, "K C"], stray: Bool[np.ndarray, "K"], name: str
) -> UInt8[np.ndarray, "K"]:
    """The object id of each main colour; 0 for a stray one."""
    ids = np.zeros(len(colours), np.uint8)
    main = np.flatnonzero(~stray)
    if colours.shape[1] == 1:
        values = colours[main, 0]
        if stray.any():  # noise may have moved the main greys themselves
            values = np.where(values <= _DRIFT, 0, np.where(values >= 255 - _DRIFT, 255, values))
        binary = len(values) == 2 and values[0] == 0 and values[1] == VOID
        ids[main] = (values > 0) if binary else values
        return ids
    palette = voc_palette().astype(np.int16)
    differences = np.abs(colours[main].astype(np.int16)[:, None] - palette).max(axis=2)
    voc = np.where(differences.min(axis=1) <= _DRIFT, differences.argmin(axis=1), -1)
    if not (voc == 0).any():
        raise MaskError(
            f"{name} has {len(main)} colours and none of them is black, so nothing says what is background. "
            "Paint everything that is no object black."
        )
    luminance = colours[main] @ np.array([299, 587, 114])
    free = (i for i in range(1, VOID) if i not in voc)
    for row in np.argsort(luminance, kind="stable"):
        ids[main[row]] = voc[row] if voc[row] >= 0 else next(free)
    return ids


def _stray_message(painting: _Painting, repaired: _Painting) -> str:
    pixels, stray = painting.counts, painting.stray
    share = pixels[stray].sum() / pixels.sum()
    mains = [str(tuple(map(int, c))) if len(c) > 1 else str(c[0]) for c in painting.colours[~stray]]
    cause = "It is a JPEG, whose compression changes colours. " if painting.is_jpeg else ""
    fix = "Paint with a hard brush (no anti-aliasing) and save as PNG"
    if _share_far_from_paint(painting) <= _MOST_FAR and object_ids_of(repaired.label_map):
        fix += f", or let stray pixels snap to the nearest main colour: {REPAIR_HINT}"
    return (
        f"{painting.name} has soft or noisy edges: {stray.sum()} stray colours on "
        f"{pixels[stray].sum()} pixels ({100 * share:.2g} %) beside the main colours {', '.join(mains)}. "
        f"{cause}{fix}."
    )
