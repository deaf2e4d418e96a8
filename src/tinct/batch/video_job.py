"""One video of a batch while it is segmented, exported and put where the outputs go, whole or not at all.

    OUT/videos/<name>/          the run folder of `tinct segment`
        exports/<format>        what `--to` asked for
        thumbnail.jpg           the frame that the method is least sure of
        result.json             its row of the table; written last: where it is, all is

What is not complete lies in `OUT/.unfinished/`, or on the machine's own disk if OUT is elsewhere.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from tinct.batch.manifest import VideoRow
from tinct.batch.secrets import redacted
from tinct.batch.stores import local_path, put_folder, read_bytes, short_name, staging_folder
from tinct.errors import OutputError
from tinct.interchange.exports import LabelledVideo, export, format_of
from tinct.io.atomic import atomic_write, path_below
from tinct.io.json_files import parse_json
from tinct.io.overlay import draw_masks, read_labels
from tinct.io.processes import host_name
from tinct.io.video import Video
from tinct.runs.folder_lock import LOCK_NAME
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.shapes import LabelMap, holds_arrays

if TYPE_CHECKING:
    from tinct.inference.promptable import PromptableSegmenter
    from tinct.runs.segment_to_folder import FolderOptions, Segmenter

RESULT_NAME = "result.json"
THUMBNAIL_NAME = "thumbnail.jpg"
THUMBNAIL_PX = 240
"""The longer side of a thumbnail."""

LOCK_WAIT_S = 30
"""How long the processes of an earlier call, which are on their way out, are waited for."""

SegmenterOf = Callable[[SegmenterConfig, Video, Mapping[int, LabelMap]], "Segmenter"]


@dataclass(frozen=True)
class VideoOptions:
    """What is done with every video.

    Attributes:
        out: The folder of the batch, anywhere that fsspec reaches.
        config: The segmenter; a row may ask for another.
        formats: Names of `tinct.interchange.exports.FORMATS`.
        overlay: Whether to write the video with its masks drawn in.
        soft: Whether to write soft masks.
        threads: Of torch and OpenCV, for each video.
        staging: Where copies of files from elsewhere go.
        staging_bytes: What the files of one video may take together.
        segmenter: Gives the segmenter of a video; the config builds it if None.
        promptable: Gives the segmenter of points and boxes; `promptable_segmenter` if None.
    """

    out: str
    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    formats: tuple[str, ...] = ()
    overlay: bool = False
    soft: bool = False
    threads: int = 1
    staging: Path | None = None
    staging_bytes: int = 20 * 10**9
    segmenter: SegmenterOf | None = None
    promptable: Callable[[str], PromptableSegmenter] | None = None


@holds_arrays
@dataclass
class VideoJob:
    """A row in the middle of its work.

    Attributes:
        row: What was asked for.
        whole: The video as it was opened.
        video: The part of it that is segmented.
        prompts: By frame of that part.
        info: What `run.json` says of the video and the segmenter.
        backward: Whether it runs from the last annotated frame to the first.
        where: Where the outputs go.
        options: Of every video.
    """

    row: VideoRow
    whole: Video
    video: Video
    prompts: Mapping[int, LabelMap]
    info: Mapping[str, Any]
    backward: bool
    where: str
    options: VideoOptions

    @property
    def out(self) -> Path | None:
        """The folder of the batch, if it is on this machine."""
        return local_path(self.options.out)

    @property
    def work(self) -> Path:
        """Where this video's run folder lies until it is complete."""
        elsewhere = staging_folder(self.options.staging)
        folder = elsewhere if self.out is None else self.out / ".unfinished"
        return folder / short_name(f"{self.options.out} {self.row.name}")

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """As in `run.json`."""
        from tinct.inference.segmenter import check_prompts
        from tinct.runs.run_folder import run_identity

        info = {**self.info, **({"soft": True} if self.options.soft else {})}
        found = run_identity(
            self.video, check_prompts(self.video, self.prompts), info, backward=self.backward
        )
        return dict(json.loads(json.dumps(found)))

    def is_run(self, record: bytes | None) -> bool:
        """Whether a `run.json` is of this run: the same pictures, prompts and segmenter."""
        ours = self.identity
        with suppress(ValueError, AttributeError, RecursionError):
            return record is not None and parse_json(record).get("run") == ours
        return False

    def segment(self, segmenter: Segmenter, notes: Mapping[str, Any]) -> None:
        """Fill the working folder; goes on where a process that died has left it."""
        from tinct.runs.segment_to_folder import FolderOptions

        if self.work.is_dir() and not self.is_run(read_bytes(str(self.work / "run.json"))):
            shutil.rmtree(self.work)
        self.work.parent.mkdir(parents=True, exist_ok=True)
        if self.out is not None and self.whole.path is not None:
            notes = {**notes, "video_path": _relative(self.whole.path, self.out / "videos" / self.row.name)}
        options = FolderOptions(
            self.backward, True, self.options.overlay, self.options.soft, "the same command with --resume"
        )
        self._segment(segmenter, options, notes)

    def _segment(self, segmenter: Segmenter, options: FolderOptions, notes: Mapping[str, Any]) -> None:
        from tinct.runs.segment_to_folder import segment_to_folder

        for waited_s in range(LOCK_WAIT_S + 1):
            try:
                segment_to_folder(
                    segmenter, self.video, self.prompts, self.work, options, info=self.info, notes=notes
                )
                return
            except OutputError:
                # A process of a call that was killed may be on its way out.
                if waited_s == LOCK_WAIT_S or not (self.work / LOCK_NAME).exists():
                    raise
                time.sleep(1)

    def finish(self, started_s: float, peak_memory_mb: float | None) -> dict[str, Any]:
        """Write exports and the thumbnail; the row of the table."""
        record = parse_json((self.work / "run.json").read_bytes())
        source = None
        # A process that died may have left some; a folder of them must be new.
        shutil.rmtree(self.work / "exports", ignore_errors=True)
        for name in self.options.formats:
            source = source or LabelledVideo.of_run(self.work, self.whole)
            one = format_of(name)
            export(source, name, self.work / "exports" / f"{name}{one.suffix or ''}", soft=self.options.soft)
        margins = [margin for margin in record["confidence"]["margin"] if margin is not None]
        worst = record["confidence"]["margin"].index(min(margins)) if margins else 0
        self._write_thumbnail(worst)
        H, W = self.video.size
        seconds = record.get("seconds_per_frame", {})
        return {
            "name": self.row.name,
            "video": redacted(self.row.video),
            "status": "complete",
            "error": None,
            "frames": len(self.video),
            "width": W,
            "height": H,
            "objects": len(record.get("object_ids", ())),
            "seconds": round(time.perf_counter() - started_s, 3),
            "seconds_per_frame": seconds.get("median"),
            "peak_memory_mb": peak_memory_mb,
            "confidence": min(margins) if margins else None,
            "mean_confidence": round(sum(margins) / len(margins), 4) if margins else None,
            "worst_frame": worst,
            "method": self.info.get("method"),
            "where": redacted(self.where),
            "host": host_name(),
            "skipped": False,
        }

    def _write_thumbnail(self, index: int) -> None:
        labels = read_labels(self.work / "masks" / f"{self.video.names[index]}.png", self.video.size)
        picture = draw_masks(self.video[index], labels)
        scale = min(1.0, THUMBNAIL_PX / max(picture.shape[:2]))
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        with atomic_write(self.work / THUMBNAIL_NAME) as part:
            cv2.imwrite(str(part), small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])

    def commit(self, content: Mapping[str, Any]) -> None:
        """Put the folder where the outputs go; the result is there last."""
        with atomic_write(self.work / RESULT_NAME) as part:
            part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        if self.out is None:
            put_folder(self.work, self.where, RESULT_NAME)
            shutil.rmtree(self.work, ignore_errors=True)
            return
        target = path_below(self.out / "videos", self.row.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        old = self.work.with_name(f"{self.work.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.rename(target, old)
        os.rename(self.work, target)
        shutil.rmtree(old, ignore_errors=True)


def _relative(path: Path, folder: Path) -> str:
    with suppress(ValueError):  # on another drive (Windows) nothing leads from here to there
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    return str(path)
