"""What is known of a project's video without opening it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tinct.io.video import Video


@dataclass(frozen=True)
class ProjectInfo:
    """Metadata of the video, known without opening it.

    Attributes:
        name: The name that people see.
        video: The file or folder of frames; relative to the scratch folder where it is embedded.
        embedded: Whether the video lies in the project file.
        frames: Number of frames.
        size: (H, W) in pixels.
        rate: Frames per second as a fraction in text; None if unknown.
    """

    name: str
    video: str
    embedded: bool
    frames: int
    size: tuple[int, int]
    rate: str | None

    @property
    def fps(self) -> float | None:
        """Frames per second."""
        return None if self.rate is None else float(Fraction(self.rate))

    @staticmethod
    def of(video: Video, name: str, path: str, *, embedded: bool) -> ProjectInfo:
        """The metadata of an opened video."""
        rate = None if video.rate is None else str(Fraction(video.rate))
        return ProjectInfo(name, path, embedded, len(video), video.size, rate)

    @staticmethod
    def from_json(values: Any) -> ProjectInfo:
        """The metadata as a project file holds them; ValueError, KeyError or TypeError if damaged."""
        height, width = (int(side) for side in values["size"])
        info = ProjectInfo(
            str(values["name"]), str(values["video"]), bool(values["embedded"]), int(values["frames"]),
            (height, width), None if values["rate"] is None else str(values["rate"]),
        )  # fmt: skip
        if (info.fps is not None and info.fps <= 0) or min(height, width, info.frames) < 1:
            raise ValueError("its frames, their size or their rate are not positive")
        if info.embedded and (".." in info.video or info.video.split("/")[0] != "video"):
            raise ValueError("its video is called like none that is embedded")
        return info
