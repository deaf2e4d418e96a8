"""The frames of a video that a run is of: the in and out of `tinct segment --frames`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tinct.errors import OptionError
from tinct.shapes import LabelMap


@dataclass(frozen=True)
class FrameRange:
    """Some frames of a video in a row; `video[range.start:range.stop]` has them.

    Attributes:
        start: The first frame.
        stop: The frame before which the range ends.
    """

    start: int
    stop: int

    @staticmethod
    def parse(text: str, frames: int) -> FrameRange:
        """The range of `START:STOP`, either of which may be left out, as Python's slices have it.

        Args:
            text: Such as "10:200", "10:" or ":200".
            frames: How many frames the video has.

        Raises:
            OptionError: The text is no range, or the range is empty or ends after the video.
        """
        found = re.fullmatch(r"(\d*):(\d*)", text.strip(), re.ASCII)
        if found is None:
            raise OptionError(
                f"The frames {text!r} came; give START:STOP, such as 10:200 (frame 10 up to and without "
                "frame 200), 10: or :200."
            )
        start, stop = int(found[1] or 0), int(found[2] or frames)
        if not start < stop <= frames or found[2] == "0":
            raise OptionError(
                f"The frames {text} came, but the video has {frames} frames: give START:STOP with "
                f"0 <= START < STOP <= {frames}; the frame STOP is left out."
            )
        return FrameRange(start, stop)

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
