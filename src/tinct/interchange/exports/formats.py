"""What a format is, and what its writer is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tinct.interchange.exports.source import LabelledVideo
from tinct.shapes import Image


@dataclass(frozen=True)
class ExportJob:
    """One export in the making.

    Args:
        source: The video and its masks.
        out: The file to write, or the folder to fill; it is there already, and empty.
        first: Index of the first frame.
        last: Index of the last frame, which is exported too.
        soft: Whether edges are soft where the format can have them.
        tell: Called with the number of frames done.
    """

    source: LabelledVideo
    out: Path
    first: int
    last: int
    soft: bool
    tell: Callable[[int], None]

    @property
    def rate(self) -> Fraction | None:
        """Frames per second."""
        return self.source.rate

    def indices(self) -> Iterator[int]:
        """The frames to export; `tell` hears of each when it is done."""
        for done, index in enumerate(range(self.first, self.last + 1), start=1):
            yield index
            self.tell(done)

    def frames(self) -> Iterator[tuple[int, Image]]:
        """(index, picture) of the frames to export, read one at a time.

        Raises:
            OptionError: The video is not at hand.
            VideoError: A frame cannot be read.
        """
        yield from zip(self.indices(), self.source.shown().frames(self.first, self.last + 1), strict=True)


@dataclass(frozen=True)
class ExportFormat:
    """One way out of tinct.

    Args:
        name: What `--to` calls it.
        title: What people call it.
        write: Writes it.
        suffix: The ending of the one file that it makes; None where it fills a folder.
        extra: The extra of tinct that it needs, if any.
        needs_video: Whether it shows the frames themselves.
        needs_soft: Whether it is made of probabilities.
        can_be_soft: Whether `soft` makes a difference.
    """

    name: str
    title: str
    write: Callable[[ExportJob], None]
    suffix: str | None = None
    extra: str | None = None
    needs_video: bool = False
    needs_soft: bool = False
    can_be_soft: bool = False

    @property
    def one_file(self) -> bool:
        """Whether it makes one file, and not a folder."""
        return self.suffix is not None
