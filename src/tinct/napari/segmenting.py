"""The command "Segment from this labels layer"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, no_type_check, overload

import numpy as np

from tinct.errors import MaskError, VideoError
from tinct.io.masks import check_labels
from tinct.io.video import Video
from tinct.napari.frame_stack import FrameStack
from tinct.shapes import Image, LabelMap

if TYPE_CHECKING:
    import napari.layers
    import napari.types


# napari reads these annotations to draw the form; they cannot be resolved where napari is not installed.
@no_type_check
def segment_from_labels(
    video: napari.layers.Image, labels: napari.layers.Labels, method: str = "feelvos"
) -> napari.types.LayerDataTuple:
    """Segment a video from all annotated frames of a labels layer.

    Args:
        video: The frames, [T, H, W, 3] or [T, H, W] (grey).
        labels: [T, H, W], an object id per pixel in at least one frame; or [H, W] for the first.
        method: See `tinct models`.

    Returns:
        A labels layer with the masks of every frame.

    Raises:
        MaskError: No frame is annotated, or the layers do not fit each other.
        VideoError: The image layer is no video.
        OptionError: The method is unknown.
    """
    masks = segment_arrays(video.data, labels.data, method)
    metadata = {**(getattr(video, "metadata", None) or {})}
    return masks, {"name": f"{labels.name} ({method})", "metadata": metadata}, "labels"


def segment_arrays(frames: Any, labels: Any, method: str) -> Any:
    """The masks of every frame, uint8 [T, H, W]; see `segment_from_labels`."""
    from tinct.inference.segmenter import segment_video
    from tinct.zoo import build_segmenter

    video = as_video(frames)
    prompts = annotated_frames(labels, video)
    masks = np.zeros((len(video), *video.size), np.uint8)
    for index, found in segment_video(build_segmenter(method), video, prompts):
        masks[index] = found.label_map
    return masks


def annotated_frames(labels: Any, video: Video) -> dict[int, LabelMap]:
    """The annotated frames of a labels layer.

    Raises:
        MaskError: No frame is annotated, or the layer does not fit the video.
    """
    maps = labels[None] if labels.ndim == 2 else labels
    if maps.ndim != 3 or maps.shape[0] > len(video) or tuple(maps.shape[1:]) != video.size:
        raise MaskError(
            f"The labels layer has the shape {tuple(labels.shape)}, and the video {len(video)} frames of "
            f"{video.size} (rows, columns); make the labels layer while the video is selected."
        )
    annotated = {i: np.asarray(maps[i]) for i in range(maps.shape[0]) if np.any(maps[i])}
    if not annotated:
        raise MaskError("Nothing is painted in the labels layer; paint an object in one of its frames.")
    return {
        index: check_labels(found, name=f"the paint of frame {index}") for index, found in annotated.items()
    }


def as_video(frames: Any) -> Video:
    """The data of an image layer as a video.

    Raises:
        VideoError: The data are not [T, H, W, 3] or [T, H, W], or not uint8.
    """
    if isinstance(frames, FrameStack):
        return frames.video
    shape = tuple(frames.shape)
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (3, 4))) or frames.dtype != np.uint8:
        raise VideoError(
            f"The image layer is {frames.dtype} {shape}; expected a video of 8 bits, [T, H, W, 3] or "
            "[T, H, W]. Open the video with tinct's reader."
        )
    return Video.from_arrays(_LayerFrames(frames))


class _LayerFrames(Sequence[Image]):
    """The frames of a layer's array, which may be lazy, converted to RGB one at a time."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def __len__(self) -> int:
        return int(self._data.shape[0])

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        if isinstance(index, slice):
            return _LayerFrames(self._data[index])
        frame = np.asarray(self._data[index])
        rgb = np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame[..., :3]
        return np.ascontiguousarray(rgb)
