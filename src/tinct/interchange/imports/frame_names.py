"""Which frame of a video the name of a picture means."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from tinct.io.video import IMAGE_SUFFIXES, Video

_FRAME = re.compile(r"frame[ _-]?(\d{1,15})", re.ASCII | re.IGNORECASE)
_CVAT_FRAME = re.compile(r"frame_\d{6}", re.ASCII)
"""What CVAT calls the frames of a video, from 0."""
_ROBOFLOW = re.compile(r"(.+)_(?:jpe?g|png|bmp|webp|tiff?)\.rf\.\w+", re.ASCII | re.IGNORECASE)
"""What Roboflow makes of `NAME.jpg`: the ending becomes part of the name, before a hash."""
_QUERY = re.compile(r"[?#].*", re.DOTALL)


def as_path(name: str) -> PurePosixPath:
    """The path of a picture's name: of either system, or of an address without its query."""
    name = name.replace("\\", "/")
    return PurePosixPath(_QUERY.sub("", name) if "://" in name else name)


class FrameNames:
    """The frames of a video by the names that pictures have in other programs.

    A picture's name means a frame if it is the frame's name or, where all frames are called by numbers, one
    of these forms of a frame's number: `123`, `frame_123`, and `TITLE_123` with the video's own title and at
    least as many digits as the names of the frames. Other digits (hashes, versions, dates) mean nothing.

    Args:
        video: The video.
    """

    def __init__(self, video: Video) -> None:
        names = list(video.names)
        self._by_name = {name: index for index, name in enumerate(names)}
        numbered = all(name.isascii() and name.isdecimal() for name in names)
        self._by_number = {int(name): index for index, name in enumerate(names)} if numbered else {}
        self._forms = [re.compile(r"(\d{1,15})", re.ASCII), _FRAME]
        if video.path is not None:
            path, width = video.path.resolve(), min(len(name) for name in names)
            for title, least in ((path.stem, width), (path.name, 1 if path.suffix else width)):
                form = rf"{re.escape(title)}[ ._-](\d{{{least},{max(least, 15)}}})"
                self._forms.append(re.compile(form, re.ASCII | re.IGNORECASE))

    def named(self, picture: str) -> int | None:
        """The index of the frame that is called exactly like the picture, or None."""
        found = (self._by_name.get(stem) for stem in (_stem(picture), _original_stem(picture)))
        return next((index for index in found if index is not None), None)

    def index(self, picture: str) -> int | None:
        """The index of the frame that a picture's name means, or None."""
        named = self.named(picture)
        number = self.number(picture)
        return named if named is not None or number is None else self._by_number.get(number)

    def number(self, picture: str) -> int | None:
        """The frame number in a picture's name, or None if the name has none of the known forms."""
        stem = _original_stem(picture)
        found = (form.fullmatch(stem) for form in self._forms)
        return next((int(match[1]) for match in found if match), None)

    def count_from_one(self, pictures: Collection[str]) -> bool:
        """Whether pictures are numbered from 1 to the number of frames, and the frames from 0."""
        from_zero = self._by_number.keys() == set(range(len(self._by_name)))
        return from_zero and {self.number(name) for name in pictures} == set(range(1, len(self._by_name) + 1))

    def may_count_from_one(self, picture: str) -> bool:
        """Whether a picture's number may be one more than its frame's, for all that its name says."""
        number = self.number(picture)
        own = self.named(picture) is not None or _CVAT_FRAME.fullmatch(_original_stem(picture)) is not None
        return bool(number) and not own and 0 in self._by_number


def _stem(picture: str) -> str:
    path = as_path(picture)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name


def _original_stem(picture: str) -> str:
    """The stem without what Roboflow appends."""
    stem = _stem(picture)
    roboflow = _ROBOFLOW.fullmatch(stem)
    return roboflow[1] if roboflow else stem
