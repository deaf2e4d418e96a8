"""The annotated frames of a row: from files of masks, and from points and boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tinct.batch.manifest import VideoRow
from tinct.errors import FrameIndexError, OptionError
from tinct.inference.promptable import PromptableSegmenter
from tinct.inference.prompting import frame_prompts, prompted_labels
from tinct.interchange.imports import read_annotations
from tinct.io.masks import object_ids_of
from tinct.io.video import Video
from tinct.shapes import LabelMap, holds_arrays


@lru_cache(maxsize=1)
def promptable_segmenter(device: str) -> PromptableSegmenter:
    """The segmenter that answers points and boxes: the one place where a batch gets it, once per process."""
    from tinct.zoo.promptable import build_promptable

    return build_promptable(device=device)


@holds_arrays
@dataclass
class Prompts:
    """The annotated frames of a video, and the names of its objects.

    Attributes:
        labels: Label maps by frame.
        names: By object id.
    """

    labels: dict[int, LabelMap] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def add_files(self, files: Iterable[tuple[int | None, Path]], video: Video) -> None:
        """Read files of masks; a label means one object in all of them.

        Raises:
            MaskError: A file is missing, damaged, or of another size.
            OptionError: Two are of one frame, or of one that the video lacks.
        """
        known: dict[int, str] = {}
        for index, path in files:
            _check_frame(index or 0, video)
            read = read_annotations(path, video, frame=index, known=known)
            twice = sorted(self.labels.keys() & read.prompts.keys())
            if twice:
                raise OptionError(
                    f"{path.name} is another mask of frame {twice[0]}; give one per frame, INDEX:FILE."
                )
            self.labels |= read.prompts
            self.names |= read.names
            ids = (i for labels in read.prompts.values() for i in object_ids_of(labels))
            known |= {i: self.names.get(i, "") for i in ids}

    def add_clicks(self, row: VideoRow, video: Video, segmenter: Callable[[], PromptableSegmenter]) -> None:
        """Propose masks from points and boxes; on a frame that has a mask, that of the row's objects changes.

        Raises:
            OptionError: A frame or a place lies outside, or no segmenter answers.
            MaskError: Nothing was found of an object.
        """
        for index, prompt in frame_prompts(row.points, row.boxes).items():
            _check_frame(index, video)
            self.labels[index] = prompted_labels(segmenter(), video[index], prompt, self.labels.get(index))


def _check_frame(index: int, video: Video) -> None:
    if index >= len(video):
        raise FrameIndexError(
            f"A prompt of frame {index} came; the video has the frames 0 to {len(video) - 1}."
        )
