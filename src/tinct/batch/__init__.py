"""Thousands of videos on one machine or a cluster, by Ray.

`tinct batch` is this room's command; `segment_dataset` stands in the middle of a Ray Data pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinct.batch.actors import ActorOptions as ActorOptions
    from tinct.batch.dataset import segment_dataset as segment_dataset
    from tinct.batch.video_job import VideoOptions as VideoOptions

_HOMES = {"ActorOptions": "actors", "VideoOptions": "video_job", "segment_dataset": "dataset"}

__all__ = ["ActorOptions", "VideoOptions", "segment_dataset"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: actors alone need neither OpenCV nor torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"tinct.batch.{_HOMES[name]}"), name)
