"""The interface of export formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tinct.interchange.exports.object_names import folder_name
from tinct.interchange.exports.source import LabelledVideo
from tinct.io.atomic import path_below
from tinct.shapes import Image


@dataclass(frozen=True)
class ExportJob:
    """The arguments of one export.

    Args:
        source: The video and its masks.
        out: The file to write, or the empty folder to fill.
        first: Index of the first frame.
        last: Index of the last frame, inclusive.
        soft: Whether edges are soft, in formats that can have them.
        progress: Called with the number of frames done.
        start: The number of the first frame's file; None to call files as the frames are called.
    """

    source: LabelledVideo
    out: Path
    first: int
    last: int
    soft: bool
    progress: Callable[[int], None]
    start: int | None = None

    @property
    def rate(self) -> Fraction | None:
        """Frames per second."""
        return self.source.rate

    def indices(self) -> Iterator[int]:
        """The frames to export; `progress` is called after each."""
        for done, index in enumerate(range(self.first, self.last + 1), start=1):
            yield index
            self.progress(done)

    def number(self, index: int) -> int:
        """The number of a frame, in time codes and headers."""
        return index if self.start is None else self.start + index - self.first

    def frame_path(self, index: int, suffix: str, folder: Path | None = None) -> Path:
        """The file of a frame in `out`, or in a folder in it; OutputError if its name is none for a file."""
        name = self.source.frame_names[index] if self.start is None else f"{self.number(index):05d}"
        return path_below(folder or self.out, name, suffix)

    def object_folders(self) -> list[Path]:
        """Create a folder in `out` for every object, in the order of the ids, and return them."""
        names = (folder_name(i, self.source.object_names) for i in self.source.object_ids)
        folders = [path_below(self.out, name) for name in names]
        for folder in folders:
            folder.mkdir()
        return folders

    def frames(self) -> Iterator[tuple[int, Image]]:
        """(index, picture) of the frames to export, read one at a time.

        Raises:
            OptionError: The source has no video.
            VideoError: A frame cannot be read.
        """
        yield from zip(
            self.indices(), self.source.require_video().frames(self.first, self.last + 1), strict=True
        )


@dataclass(frozen=True)
class ExportFormat:
    """An export format.

    Args:
        name: The value of `--to`.
        title: The name for people.
        write: Writes the file or the folder.
        suffix: The suffix of the file; None for a format that fills a folder.
        extra: The optional dependency group that it needs, if any.
        needs_video: Whether it shows the frames themselves.
        needs_soft: Whether it always needs soft masks.
        can_be_soft: Whether it can have soft edges.
        numbered: Whether its frames have numbers, which may begin at any.
    """

    name: str
    title: str
    write: Callable[[ExportJob], None]
    suffix: str | None = None
    extra: str | None = None
    needs_video: bool = False
    needs_soft: bool = False
    can_be_soft: bool = False
    numbered: bool = False

    @property
    def one_file(self) -> bool:
        """Whether it writes one file instead of a folder."""
        return self.suffix is not None
