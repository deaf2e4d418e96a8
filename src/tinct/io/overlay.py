"""Masks drawn over frames: coloured fill, outlines and ids; the overlay video and the contact sheet."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from tinct.errors import OptionError
from tinct.io.atomic import atomic_write, path_below
from tinct.io.mask_files import read_label_png
from tinct.io.masks import check_size, object_ids_of
from tinct.io.video import Video
from tinct.shapes import BinaryMask, Image, LabelMap, UInt8

if TYPE_CHECKING:
    from tinct.io.video_writer import VideoWriter

FILL = 0.45
"""Opacity of the fill."""

# Bright and distinct, also for the colour-blind; the first colours of the VOC palette are too dark here.
_FIRST_COLOURS = (
    (255, 170, 0),
    (0, 160, 255),
    (60, 220, 100),
    (255, 80, 120),
    (170, 110, 255),
    (0, 225, 215),
    (255, 235, 60),
    (255, 120, 240),
)


def overlay_colours() -> UInt8[np.ndarray, "256 3"]:
    """One RGB colour per label; background and void are black and are never drawn."""
    colours = np.zeros((256, 3), np.uint8)
    for label in range(1, 255):
        if label <= len(_FIRST_COLOURS):
            colours[label] = _FIRST_COLOURS[label - 1]
        else:
            # Steps of the golden ratio separate the hues of neighbouring ids.
            rgb = colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.55 + 0.1 * (label % 4), 1.0)
            colours[label] = [round(255 * value) for value in rgb]
    return colours


_COLOURS = overlay_colours()
_INSIDE = np.array([0, *[1] * 254, 0], np.uint8)


def draw_masks(frame: Image, labels: LabelMap, *, ids: bool = True) -> Image:
    """Draw every object over a frame: filled (45 %), outlined (2 pixels) and optionally numbered.

    Args:
        frame: uint8 RGB [H, W, 3]; not changed.
        labels: uint8 [H, W]; 0 and 255 are not drawn.
        ids: Whether to write each object's id on it.

    Returns:
        uint8 RGB [H, W, 3].
    """
    colours = cv2.LUT(cv2.merge([labels] * 3), _COLOURS[:, None])
    mixed = cv2.addWeighted(frame, 1 - FILL, colours, FILL, 0)
    drawn: Image = cv2.copyTo(mixed, cv2.LUT(labels, _INSIDE), frame.copy())
    objects = [(object_id, labels == object_id) for object_id in object_ids_of(labels)]
    for object_id, mask in objects:
        contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, contours, -1, _rgb(object_id), 2, cv2.LINE_AA)
    if ids:
        for object_id, mask in objects:
            _write_text(drawn, str(object_id), _middle(mask))
    return drawn


def _rgb(label: int) -> tuple[int, int, int]:
    red, green, blue = _COLOURS[label].tolist()
    return red, green, blue


def _middle(mask: BinaryMask) -> tuple[int, int]:
    """The (x, y) of the id: of the places deep inside the mask, the nearest to its centre of mass."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    inside = mask[top : top + height, left : left + width].view(np.uint8)
    # The frame's border counts as an edge, as an id there would be cut off.
    padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)
    moments = cv2.moments(padded, binaryImage=True)
    # Not the deepest place alone: along a ridge it would jump from frame to frame.
    rows, columns = np.nonzero(depth >= 0.85 * depth.max())
    off_y, off_x = rows - moments["m01"] / moments["m00"], columns - moments["m10"] / moments["m00"]
    nearest = int((off_y**2 + off_x**2).argmin())
    return left + int(columns[nearest]) - 1, top + int(rows[nearest]) - 1


def _write_text(image: Image, text: str, middle: tuple[int, int]) -> None:
    """Write text, white with a dark rim, centred at (x, y) and clipped to the image."""
    letters, opacity = _text(text, _text_height_px(image))
    height, width = letters.shape
    left, top = middle[0] - width // 2, middle[1] - height // 2
    rows = slice(max(0, -top), max(0, min(height, image.shape[0] - top)))
    columns = slice(max(0, -left), max(0, min(width, image.shape[1] - left)))
    window = image[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    share = opacity[rows, columns, None].astype(np.float32) / 255
    window[:] = (window * (1 - share) + letters[rows, columns, None] * share).round()


def _text_height_px(image: Image) -> int:
    H, W = image.shape[:2]
    return max(12, round(int(min(H, W)) / 18))


@cache
def _text(text: str, height_px: int) -> tuple[LabelMap, LabelMap]:
    """(brightness, opacity) of a line of text with a dark rim, uint8 [H, W] each."""
    font = ImageFont.load_default(height_px)
    rim = max(1, height_px // 8)
    left, top, right, bottom = (int(side) for side in font.getbbox(text, stroke_width=rim))
    planes = []
    for fill, stroke in ((255, 20), (255, 255)):
        plane = PillowImage.new("L", (right - left + 2, bottom - top + 2), 20 if stroke == 20 else 0)
        ImageDraw.Draw(plane).text(
            (1 - left, 1 - top), text, fill, font, stroke_width=rim, stroke_fill=stroke
        )
        planes.append(np.asarray(plane))
    return planes[0], planes[1]


def read_labels(path: Path, size: tuple[int, int]) -> LabelMap:
    """Read a mask that tinct wrote; unlike in `tinct.read_mask`, it may be empty.

    Args:
        path: A palette PNG.
        size: The video's (H, W).

    Raises:
        MaskError: The file is missing, truncated, no palette PNG, or of another size.
    """
    labels = read_label_png(path)
    check_size(labels.shape, size, name=str(path))
    return labels


def mask_paths(video: Video, masks_folder: Path) -> list[Path]:
    """The mask file of every frame: `<frame name>.png`."""
    return [path_below(masks_folder, name, ".png") for name in video.names]


def draw_video(video: Video, masks_folder: Path) -> Iterator[Image]:
    """Draw the masks of a folder over the frames, one at a time.

    Raises:
        MaskError: A mask is missing or broken.
        VideoError: A frame cannot be read.
    """
    for frame, path in zip(video, mask_paths(video, masks_folder), strict=True):
        yield draw_masks(frame, read_labels(path, video.size))


def overlay_writer(video: Video, path: Path) -> VideoWriter:
    """What writes the frames of `draw_masks` as a video, at the rate and size of theirs."""
    from tinct.io.video_writer import VideoWriter  # PyAV is not loaded for masks alone

    return VideoWriter(path, video.rate, video.size, video.pixel_aspect)


def write_overlay(
    video: Video, masks_folder: Path, path: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Write the overlay video.

    Args:
        video: The frames.
        masks_folder: Holds `<frame name>.png` for each frame.
        path: The video to write, such as `overlay.mp4`.
        progress: Called with the number of frames done.

    Raises:
        MaskError: A mask is missing or broken.
        VideoError: A frame cannot be read.
        OutputError: The video cannot be written.
    """
    with overlay_writer(video, path) as writer:
        for done, drawn in enumerate(draw_video(video, masks_folder), start=1):
            writer.write(drawn)
            if progress is not None:
                progress(done)


def contact_sheet(
    video: Video, masks_folder: Path, path: Path, frames: Sequence[int] | None = None, *, width: int = 1440
) -> None:
    """Write a PNG of a few frames with their masks side by side, each with its number.

    Args:
        video: The frames.
        masks_folder: Holds `<frame name>.png` for each frame shown.
        path: The PNG to write.
        frames: Indices, in any order; None for the first, the middle and the last.
        width: Width of the sheet in pixels.

    Raises:
        OptionError: There is no index, or one is outside the video.
        MaskError: A mask is missing or broken.
        VideoError: A frame cannot be read.
        OutputError: The PNG cannot be written.
    """
    shown = sorted({0, len(video) // 2, len(video) - 1} if frames is None else set(frames))
    if not shown or shown[0] < 0 or shown[-1] >= len(video):
        raise OptionError(f"Frames {list(shown)} came; name some between 0 and {len(video) - 1}.")
    gap = 8
    cell = (width - gap) // len(shown) - gap
    cells = [_cell(video, masks_folder, index, cell) for index in shown]
    sheet = np.full((cells[0].shape[0] + 2 * gap, gap + len(shown) * (cell + gap), 3), 255, np.uint8)
    for position, image in enumerate(cells):
        left = gap + position * (cell + gap)
        sheet[gap : gap + image.shape[0], left : left + cell] = image
    with atomic_write(path) as part:
        PillowImage.fromarray(sheet).save(part, format="PNG", optimize=True)


def _cell(video: Video, masks_folder: Path, index: int, width: int) -> Image:
    """One frame with its mask, `width` pixels wide, its number in the corner."""
    frame = video[index]
    H, W = video.size
    labels = read_labels(mask_paths(video, masks_folder)[index], video.size)
    size = (width, max(1, round(H * width / W)))
    shrink = cv2.INTER_AREA if width < W else cv2.INTER_CUBIC
    small = cv2.resize(frame, size, interpolation=shrink)
    drawn = draw_masks(small, cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST))
    label = f"frame {index}"
    height, width = _text(label, _text_height_px(drawn))[0].shape
    _write_text(drawn, label, (10 + width // 2, drawn.shape[0] - 10 - height // 2))
    return drawn
