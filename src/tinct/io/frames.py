"""One frame, in whatever form it comes: uint8 RGB [H, W, 3] is what becomes of it, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image as Pictures

from tinct.errors import VideoError
from tinct.shapes import Image, Shaped

if TYPE_CHECKING:
    import torch

    FrameLike: TypeAlias = "np.ndarray[Any, Any] | torch.Tensor | Pictures.Image"
else:
    FrameLike = Any
"""What people have for a frame; `as_frame` says what becomes of each."""

CHANNELS = (1, 3, 4)
"""Grey, RGB, RGB with transparency."""


def as_frame(frame: FrameLike | Any, name: str = "the frame") -> Image:
    """The frame as uint8 RGB [H, W, 3].

    Args:
        frame: A NumPy array, or a torch tensor on any device: [H, W, C], [C, H, W] or, grey, [H, W]; of
            uint8, or of floats in [0, 1]. Or a PIL image, as it is stored. Grey is repeated, transparency
            dropped. That channels are in the order of OpenCV (BGR) cannot be seen: turn them,
            `frame[..., ::-1]`. Values of more than 8 bits are refused: one frame does not tell their range.
        name: What to call it in messages.

    Raises:
        VideoError: It is none of these; the message names what to give instead.
    """
    if isinstance(frame, Pictures.Image):
        if frame.mode.startswith("I"):
            raise VideoError(
                f"{_start(name)} is a PIL image of more than 8 bits (mode {frame.mode}), whose range is not "
                "known. Give the path of the file or folder, whose frames tinct scales alike, or 8 bits: of "
                "values up to 65535, `(numpy.asarray(frame) >> 8).astype(numpy.uint8)`."
            )
        try:
            return rgb_of(frame)
        except (OSError, ValueError, SyntaxError) as error:
            raise VideoError(f"{_start(name)} cannot be read: {error}.") from error
    if isinstance(frame, (str, Path)):
        raise VideoError(
            f"{_start(name)} is the path {frame}; give the folder of frames itself, or open each: "
            "`PIL.Image.open(path)`."
        )
    pixels = _eight_bits(_channels_last(_as_array(frame), name), name)
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    return np.ascontiguousarray(pixels, np.uint8)


def check_stack(frames: Any) -> None:
    """VideoError if an array is not, or not surely, a stack of frames."""
    shape = tuple(getattr(frames, "shape", ()))
    one = len(shape) == 2 or (len(shape) == 3 and (shape[2] in (3, 4) or shape[0] == 3))
    if one:
        raise VideoError(
            f"An array of the shape {shape} came as the video, which is a single frame; give a list of "
            "frames, `[frame]`, and grey ones as [T, H, W, 1]."
        )
    if len(shape) > 4:
        raise VideoError(
            f"An array of the shape {shape} came as the video; expected [T, H, W, 3]. Drop the axis of the "
            "batch: `frames[0]`."
        )


def _as_array(frame: Any) -> Shaped[np.ndarray, "..."]:
    if hasattr(frame, "detach"):  # a torch tensor; numpy has no bfloat16
        frame = frame.detach().cpu()
        frame = frame.float() if frame.is_floating_point() else frame
    return np.asarray(frame)


def _channels_last(pixels: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "H W C"]:
    if pixels.ndim == 2:
        return _channels_last(pixels[..., None], name)
    if pixels.ndim == 3 and pixels.shape[2] not in CHANNELS and pixels.shape[0] in CHANNELS:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim != 3 or pixels.shape[2] not in CHANNELS or 0 in pixels.shape:
        raise VideoError(
            f"{_start(name)} is {pixels.dtype} {pixels.shape}; expected RGB frames, uint8 [H, W, 3], or "
            "[3, H, W], or grey [H, W]."
        )
    return pixels


def _eight_bits(pixels: Shaped[np.ndarray, "H W C"], name: str) -> Shaped[np.ndarray, "H W C"]:
    if pixels.dtype == np.uint8:
        return pixels
    if np.issubdtype(pixels.dtype, np.floating):
        low, high = float(pixels.min()), float(pixels.max())
        if low >= 0 and high <= 1:  # false for NaN
            return np.asarray(np.rint(pixels * 255), np.uint8)
        raise VideoError(
            f"{_start(name)} is of type {pixels.dtype} with values from {low:g} to {high:g}; floats lie in "
            "[0, 1]. Divide by 255, undo the normalisation, or give uint8: `frame.astype(np.uint8)`."
        )
    raise VideoError(
        f"{_start(name)} is of type {pixels.dtype}; expected uint8, or floats in [0, 1]. Give "
        "`frame.astype(np.uint8)`, of 16 bits `(frame >> 8).astype(np.uint8)`."
    )


def _start(name: str) -> str:
    return name[:1].upper() + name[1:]


def sizes_differ(first: str, first_size: Sequence[int], other: str, other_size: Sequence[int]) -> str:
    """What to say of two frames whose (H, W) differ."""
    return (
        f"Frames of different sizes: {first} is {first_size[1]}×{first_size[0]} pixels and {other} is "
        f"{other_size[1]}×{other_size[0]}. Bring all frames to one size."
    )


def rgb_of(picture: Pictures.Image) -> Image:
    """The picture as it is stored, of 8 bits a channel, in uint8 RGB [H, W, 3]; ValueError for mode F."""
    if picture.mode == "F":
        raise ValueError("its pixels are fractions; expected 8 bits")
    if picture.mode == "P":
        picture = picture.convert("RGBA")  # else a palette with transparency makes a warning
    return np.array(picture.convert("RGB"))
