"""Pictures of a frame's masks and of their errors, small enough to embed in the page."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from PIL import Image as PillowImage

from tinct.io.overlay import draw_masks
from tinct.shapes import BACKGROUND, VOID, LabelMap, UInt8

# A frame may be larger than its annotation, as in DAVIS-2017 at full resolution.
Frame = UInt8[np.ndarray, "frame_H frame_W 3"]
Picture = UInt8[np.ndarray, "h w 3"]
_LargeLabels = UInt8[np.ndarray, "large_h large_w"]
_LargePicture = UInt8[np.ndarray, "large_h large_w 3"]

WIDTH = 400
"""Width of a picture in pixels."""

# Okabe and Ito's colours (2008), for the colour-blind; the legend of the page repeats them.
ERROR_COLOURS = {
    "agree": (0, 158, 115),
    "only predicted": (213, 94, 0),
    "only truth": (86, 180, 233),
    "other object": (240, 228, 66),
}
"""RGB of pixels where both agree, that only the prediction or only the truth has, or that belong to
different objects."""

_GREY = 96
_DIM = 0.55
_FILL = 0.75


def mask_picture(frame: Frame | None, labels: LabelMap, *, ids: bool) -> Picture:
    """Draw masks over their frame, at the width of the page.

    Args:
        frame: uint8 RGB of any size; None for a grey background.
        labels: uint8 [H, W]; 0 and 255 are not drawn.
        ids: Whether to write every object's id on it.

    Returns:
        uint8 RGB [h, w, 3].
    """
    large = _scale_labels(labels)
    return _halve(draw_masks(_backdrop(frame, large), large, ids=ids))


def error_picture(frame: Frame | None, prediction: LabelMap, truth: LabelMap) -> Picture:
    """Draw where prediction and truth agree and differ, over the dimmed frame.

    Args:
        frame: uint8 RGB of any size; None for a grey background.
        prediction: uint8 [H, W].
        truth: uint8 [H, W]; void (255) counts as background, as in the scores.

    Returns:
        uint8 RGB [h, w, 3] in the colours of `ERROR_COLOURS`.
    """
    predicted, true = _scale_labels(prediction), _scale_labels(truth)
    predicted, true = (np.where(labels == VOID, np.uint8(BACKGROUND), labels) for labels in (predicted, true))
    grey = cv2.cvtColor(_backdrop(frame, predicted), cv2.COLOR_RGB2GRAY)
    drawn = np.repeat((grey * _DIM)[..., None], 3, axis=2)
    in_predicted, in_true = predicted != BACKGROUND, true != BACKGROUND
    for name, where in (
        ("agree", in_predicted & (predicted == true)),
        ("only predicted", in_predicted & ~in_true),
        ("only truth", ~in_predicted & in_true),
        ("other object", in_predicted & in_true & (predicted != true)),
    ):
        drawn[where] = (1 - _FILL) * drawn[where] + _FILL * np.asarray(ERROR_COLOURS[name], np.float64)
    return _halve(np.asarray(drawn.round(), np.uint8))


def data_uri(picture: Picture) -> str:
    """A picture as data URI: JPEG in base 64."""
    buffer = io.BytesIO()
    # No chroma subsampling, which would blur the edges of masks.
    PillowImage.fromarray(picture).save(buffer, format="JPEG", quality=84, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _scale_labels(labels: LabelMap) -> _LargeLabels:
    """The label map at twice the width of the page: halving the drawing smooths its edges."""
    size = 2 * WIDTH, 2 * max(1, round(labels.shape[0] * WIDTH / labels.shape[1]))
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _backdrop(frame: Frame | None, large: _LargeLabels) -> _LargePicture:
    """The frame at the size of the scaled label map; grey if there is none."""
    if frame is None:
        return np.full((*large.shape, 3), _GREY, np.uint8)
    size = large.shape[1], large.shape[0]
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _halve(picture: _LargePicture) -> Picture:
    size = picture.shape[1] // 2, picture.shape[0] // 2
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
