"""Pictures of a frame's masks and of their errors, small enough to lie inside the page."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from PIL import Image as PillowImage

from tinct.io.overlay import draw_masks
from tinct.shapes import BACKGROUND, VOID, LabelMap, UInt8

# A frame may be larger than its annotation, as DAVIS-2017's at full resolution are.
Frame = UInt8[np.ndarray, "frame_H frame_W 3"]
Picture = UInt8[np.ndarray, "h w 3"]
_LargeLabels = UInt8[np.ndarray, "large_h large_w"]
_LargePicture = UInt8[np.ndarray, "large_h large_w 3"]

WIDTH = 400
"""Pixels; the height follows."""

# Okabe and Ito's colours (2008), which the colour-blind tell apart; the page's legend repeats them.
ERROR_COLOURS = {
    "agree": (0, 158, 115),
    "only predicted": (213, 94, 0),
    "only truth": (86, 180, 233),
    "other object": (240, 228, 66),
}
"""RGB of a pixel where both agree, of one that only the prediction or only the truth has, and of one that
they give to different objects."""

_GREY = 96
_DIM = 0.55
_FILL = 0.75


def mask_picture(frame: Frame | None, labels: LabelMap, *, ids: bool) -> Picture:
    """The masks over their frame, scaled to the page's width.

    Args:
        frame: uint8 RGB of any size; None for a grey ground.
        labels: uint8 [H, W]; 0 and 255 are not drawn.
        ids: Whether to write every object's id on it.

    Returns:
        uint8 RGB [h, w, 3].
    """
    large = _scaled_labels(labels)
    return _halved(draw_masks(_ground(frame, large), large, ids=ids))


def error_picture(frame: Frame | None, prediction: LabelMap, truth: LabelMap) -> Picture:
    """Where prediction and truth agree and where they do not, over the dimmed frame.

    Args:
        frame: uint8 RGB of any size; None for a grey ground.
        prediction: uint8 [H, W].
        truth: uint8 [H, W]; void (255) counts as background, as in the scores.

    Returns:
        uint8 RGB [h, w, 3] in the colours of `ERROR_COLOURS`.
    """
    ours, theirs = _scaled_labels(prediction), _scaled_labels(truth)
    ours, theirs = (np.where(labels == VOID, np.uint8(BACKGROUND), labels) for labels in (ours, theirs))
    grey = cv2.cvtColor(_ground(frame, ours), cv2.COLOR_RGB2GRAY)
    drawn = np.repeat((grey * _DIM)[..., None], 3, axis=2)
    in_ours, in_theirs = ours != BACKGROUND, theirs != BACKGROUND
    for name, where in (
        ("agree", in_ours & (ours == theirs)),
        ("only predicted", in_ours & ~in_theirs),
        ("only truth", ~in_ours & in_theirs),
        ("other object", in_ours & in_theirs & (ours != theirs)),
    ):
        drawn[where] = (1 - _FILL) * drawn[where] + _FILL * np.asarray(ERROR_COLOURS[name], np.float64)
    return _halved(np.asarray(drawn.round(), np.uint8))


def data_uri(picture: Picture) -> str:
    """A picture as the text that stands in a page in place of an address: JPEG in base 64."""
    buffer = io.BytesIO()
    # Full-resolution colour: the masks' edges are what one looks at.
    PillowImage.fromarray(picture).save(buffer, format="JPEG", quality=84, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _scaled_labels(labels: LabelMap) -> _LargeLabels:
    """The label map at twice the page's width: halving what is drawn on it smooths every edge."""
    size = 2 * WIDTH, 2 * max(1, round(labels.shape[0] * WIDTH / labels.shape[1]))
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _ground(frame: Frame | None, large: _LargeLabels) -> _LargePicture:
    """The frame in the size of the scaled label map; grey if there is none."""
    if frame is None:
        return np.full((*large.shape, 3), _GREY, np.uint8)
    size = large.shape[1], large.shape[0]
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _halved(picture: _LargePicture) -> Picture:
    size = picture.shape[1] // 2, picture.shape[0] // 2
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
