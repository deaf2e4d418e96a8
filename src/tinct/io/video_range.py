"""Some frames of a video in a row, as a video of its own: the in and out of `tinct segment --frames`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tinct.errors import OptionError
from tinct.io.video import Video
from tinct.shapes import Image, LabelMap


class VideoRange(Video):
    """A view of some frames of a video; they keep their names.

    Args:
        video: The whole.
        start: The first frame of the range.
        stop: The frame before which it ends; None for the video's end.

    Raises:
        OptionError: The range is empty, or not one of the video's.
    """

    def __init__(self, video: Video, start: int = 0, stop: int | None = None) -> None:
        stop = len(video) if stop is None else stop
        if not 0 <= start < stop <= len(video):
            raise OptionError(
                f"The frames {start}:{stop} came, but the video has {len(video)} frames: give START:STOP "
                f"with 0 <= START < STOP <= {len(video)}; the frame STOP is left out."
            )
        self._video, self.start, self.stop = video, start, stop
        self.size, self.rate, self.path = video.size, video.rate, video.path

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def names(self) -> Sequence[str]:
        """Those that the frames have in the whole video."""
        return self._video.names[self.start : self.stop]

    def _read(self, start: int, stop: int) -> Iterator[Image]:
        return self._video.frames(self.start + start, self.start + stop)

    def prompts(self, prompts: Mapping[int, LabelMap]) -> dict[int, LabelMap]:
        """Prompts at frames of the whole video, as prompts at frames of the range.

        Raises:
            OptionError: One lies outside the range.
        """
        outside = sorted(index for index in prompts if not self.start <= index < self.stop)
        if outside:
            raise OptionError(
                f"The mask of frame {outside[0]} came with --frames {self}; give masks of the frames "
                f"{self.start} to {self.stop - 1}, or a range that holds frame {outside[0]}."
            )
        return {index - self.start: labels for index, labels in prompts.items()}

    def __str__(self) -> str:
        return f"{self.start}:{self.stop}"


def parse_range(text: str) -> tuple[int, int | None]:
    """`START:STOP`, either of which may be left out, as Python's slices have it.

    Returns:
        The first frame, and the frame before which the range ends; None for the video's end.

    Raises:
        OptionError: The text is no range.
    """
    found = re.fullmatch(r"(\d*):(\d*)", text.strip(), re.ASCII)
    if found is None:
        raise OptionError(
            f"The frames {text!r} came; give START:STOP, such as 10:200 (frame 10 up to and without frame "
            "200), 10: or :200."
        )
    return int(found[1] or 0), int(found[2]) if found[2] else None
