"""The source of an export: a video with the masks of its frames, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from tinct.errors import MaskError, OptionError
from tinct.interchange.exports.run_folder import (
    mask_names,
    read_labels,
    read_run,
    read_soft_masks,
    video_of_run,
)
from tinct.io.frame_reader import FrameReader
from tinct.io.masks import ObjectMasks, check_size, object_ids_of
from tinct.io.video import Video
from tinct.ops.finishing import FinishingRule, FrameSource, finish
from tinct.shapes import Bool, Float, LabelMap, holds_arrays


@holds_arrays
@dataclass(frozen=True, repr=False)
class LabelledVideo:
    """Frames, masks and names of objects; `LabelledVideo.of_run` opens a run folder.

    Args:
        frame_names: The name of every frame, used for exported files.
        size: (H, W) in pixels.
        object_ids: The ids of all objects of the video, increasing.
        labels: The label map of a frame, by index.
        video: The frames; None if they are missing, which only formats that show them need.
        rate: Frames per second; None if unknown.
        object_names: Names by object id; an object without one is called "object 3" and the like.
        soft: The probabilities of a frame, by index; None if they were not stored.
        title: The name of the video.
    """

    frame_names: Sequence[str]
    size: tuple[int, int]
    object_ids: tuple[int, ...]
    labels: Callable[[int], LabelMap]
    video: Video | None = None
    rate: Fraction | None = None
    object_names: Mapping[int, str] = field(default_factory=dict)
    soft: Callable[[int], ObjectMasks] | None = None
    title: str = "video"

    @staticmethod
    def of_run(folder: Path, video: Video | None = None) -> LabelledVideo:
        """Open a run folder of `tinct segment`; without frames if its video cannot be found.

        Args:
            folder: Holds run.json and masks/, and soft/ if the run was made with `--soft`.
            video: The frames; None to open the video at its recorded path.

        Raises:
            OutputError: The folder is no run, or its run.json cannot be read.
            OptionError: The video is not the one that was segmented.
            VideoError: The video was found, but cannot be read.
        """
        record = read_run(folder)
        run = record["run"]
        video = video_of_run(folder, record, video)
        names = video.names if video is not None else mask_names(folder, int(run["frames"]))
        object_ids = tuple(int(i) for i in record.get("object_ids", ()))
        rate = record.get("frame_rate") if video is None or video.rate is None else video.rate

        def labels(index: int) -> LabelMap:
            return read_labels(folder, names[index], record)

        def soft(index: int) -> ObjectMasks:
            return read_soft_masks(folder, names[index], object_ids, record)

        return LabelledVideo(
            names,
            size=(int(run["size"][0]), int(run["size"][1])),
            object_ids=object_ids,
            labels=labels,
            video=video,
            rate=None if rate is None else Fraction(rate),
            object_names={int(i): str(name) for i, name in record.get("object_names", {}).items()},
            soft=soft if (folder / "soft").is_dir() else None,
            title=Path(str(run.get("video") or folder.resolve().name)).stem,
        )

    def __len__(self) -> int:
        return len(self.frame_names)

    def name_of(self, object_id: int) -> str:
        """The name of an object."""
        return self.object_names.get(object_id) or f"object {object_id}"

    def read(self, index: int) -> LabelMap:
        """The label map of a frame, uint8 [H, W]; void (255) becomes background.

        Raises:
            MaskError: The mask is missing, has another size, or holds an object that is not listed.
        """
        labels = self.labels(index)
        where = f"the mask of frame {index}"
        check_size((labels.shape[0], labels.shape[1]), self.size, name=where)
        unknown = set(object_ids_of(labels)) - set(self.object_ids)
        if unknown:
            raise MaskError(
                f"The mask of frame {index} holds object {min(unknown)}, which is not among the video's "
                f"objects ({', '.join(map(str, self.object_ids)) or 'none'}); the file is not of this run."
            )
        return np.where(labels == 255, 0, labels).astype(np.uint8) if labels.max(initial=0) == 255 else labels

    def read_soft(self, index: int) -> ObjectMasks:
        """The probabilities of every object in a frame, in the order of `object_ids`.

        Raises:
            OptionError: The source has no soft masks.
            MaskError: A file is damaged or of another size.
        """
        if self.soft is None:
            raise OptionError(
                f"Soft masks were asked for, but {self.title} has hard ones only: probabilities are not "
                "written unless one asks. Run `tinct segment` again with --soft, or soften them: --feather, "
                "--matte."
            )
        masks = self.soft(index)
        if masks.object_ids == self.object_ids:
            return masks
        probs = np.zeros((len(self.object_ids), *self.size), np.float32)
        for object_id, probability in zip(masks.object_ids, masks.probs, strict=True):
            probs[self.object_ids.index(object_id)] = probability
        return ObjectMasks(self.object_ids, probs)

    def finished(self, rules: Sequence[FinishingRule]) -> LabelledVideo:
        """The same video with finished masks; they are made when they are read, and this one stays as it is.

        Label maps show where an object's alpha wins. There are soft masks if there were any, or if a rule
        softens.
        """
        if not rules:
            return self
        reach = max(rule.finishing.steady_frames for rule in rules)
        frames = FrameSource(
            len(self),
            lru_cache(2 * reach + 1)(self.read),
            None if self.soft is None else self.read_soft,
            None if self.video is None else FrameReader(self.video).frame,
        )

        @lru_cache(1)
        def masks(index: int) -> ObjectMasks:
            return finish(frames, rules, self.object_ids, index)

        soft = self.soft is not None or any(rule.finishing.softens for rule in rules)
        return replace(self, labels=lambda index: masks(index).label_map, soft=masks if soft else None)

    def only(self, object_ids: Sequence[int]) -> LabelledVideo:
        """The same video with some of its objects.

        Raises:
            OptionError: There is no such object.
        """
        unknown = sorted(set(object_ids) - set(self.object_ids))
        if unknown or not object_ids:
            known = ", ".join(map(str, self.object_ids)) or "none"
            asked = f"Object {unknown[0]}" if unknown else "No object"
            raise OptionError(f"{asked} was asked for; the video has the objects {known}.")
        ids = tuple(sorted(set(object_ids)))

        def labels(index: int) -> LabelMap:
            found = self.read(index)
            return np.where(np.isin(found, ids), found, 0).astype(np.uint8)

        def soft(index: int) -> ObjectMasks:
            masks = self.read_soft(index)
            return ObjectMasks(ids, np.stack([masks[object_id] for object_id in ids]))

        return replace(self, object_ids=ids, labels=labels, soft=None if self.soft is None else soft)

    def read_object(
        self, index: int, *, soft: bool
    ) -> Float[np.ndarray, "N H W"] | Bool[np.ndarray, "N H W"]:
        """A map per object in the order of `object_ids`: bool, or float32 in [0, 1] if soft."""
        if soft:
            return self.read_soft(index).probs
        wanted = np.asarray(self.object_ids, np.uint8).reshape(-1, 1, 1)
        maps: Bool[np.ndarray, "N H W"] = self.read(index)[None] == wanted
        return maps

    def require_video(self) -> Video:
        """The video, for formats that show its frames.

        Raises:
            OptionError: The source has no video.
        """
        if self.video is None:
            raise OptionError(
                f"This format shows the pictures of {self.title}, and they are not where they were when it "
                "was segmented; give the video: --video PATH, in Python `LabelledVideo.of_run(run, video)`."
            )
        return self.video
