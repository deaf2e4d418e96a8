"""Where training samples come from: the folders that a recipe is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinct.data.davis import Davis
from tinct.data.held_out import held_out
from tinct.data.static_images import StaticImages
from tinct.errors import OptionError


@dataclass(frozen=True)
class Sources:
    """Folders of training data.

    Attributes:
        davis: Root of DAVIS-layout data, or None.
        split: Its list to train on.
        stills: Folder of photos with masks, or None.
        year: Of the lists: "2016" or "2017".
        keep_held_out: Also learn from the photos that the occlusion benchmark is made from; a recipe
            whose weights are measured on it says no.
    """

    davis: Path | None
    split: str = "train"
    stills: Path | None = None
    year: str = "2016"
    keep_held_out: bool = True

    def videos(self) -> Davis:
        """The sequences.

        Raises:
            OptionError: There is no folder of videos.
            DatasetError: A file is missing.
        """
        if self.davis is None:
            raise OptionError("This stage needs videos; give their folder with --data.")
        return Davis(self.davis, self.split, year=self.year)

    def first_frames(self) -> Davis:
        """The same sequences, of which the first frame alone needs an annotation.

        Raises:
            OptionError: There is no folder of videos.
            DatasetError: A file is missing.
        """
        if self.davis is None:
            raise OptionError("This stage needs videos; give their folder with --data.")
        return Davis(self.davis, self.split, year=self.year, annotated="first")

    def photos(self) -> StaticImages:
        """The photos.

        Raises:
            OptionError: There is no folder of photos.
            DatasetError: A file is missing.
        """
        if self.stills is None:
            raise OptionError("This stage needs photos with masks; give their folder with --stills.")
        return StaticImages(self.stills, without=None if self.keep_held_out else held_out)
