"""The work of an actor: rows of a batch in, rows of its table out."""

from __future__ import annotations

import functools
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinct.batch.manifest import VideoRow
from tinct.batch.prompts import Prompts, promptable_segmenter
from tinct.batch.secrets import redacted
from tinct.batch.stores import Staging, joined, name_of, read_bytes, version_of
from tinct.batch.video_job import RESULT_NAME, VideoJob, VideoOptions
from tinct.errors import OptionError, OutputError, TinctError
from tinct.inference.threads import set_threads
from tinct.io.json_files import parse_json
from tinct.io.processes import begin_memory_peak, memory_peak_mb
from tinct.io.video import Video
from tinct.runs.frame_range import FrameRange
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.shapes import LabelMap

if TYPE_CHECKING:
    from tinct.runs.segment_to_folder import Segmenter

SEGMENTERS_HELD = 2
"""Segmenters of different options that an actor has in memory."""


class VideoSegmentation:
    """Segments rows of a batch; it travels to a process and keeps the segmenters that it builds there.

    Args:
        options: Of every video.
    """

    def __init__(self, options: VideoOptions) -> None:
        self.options = options
        self._segmenters: OrderedDict[str, Segmenter] = OrderedDict()
        self._described: dict[str, dict[str, Any]] = {}

    def __call__(self, row: VideoRow) -> dict[str, Any]:
        """The row's result for the table; a video that is complete already is not computed again.

        Raises:
            TinctError: The row cannot be segmented; one line, without credentials.
        """
        started_s = time.perf_counter()
        set_threads(self.options.threads)
        with Staging(self.options.staging, self.options.staging_bytes) as staging:
            try:
                return self._result(row, staging, started_s)
            except TinctError as error:
                raise type(error)(redacted(str(error))) from None
            except OSError as error:
                text = error.strerror or error
                raise OutputError(f"{redacted(str(error.filename))}: {redacted(str(text))}.") from None

    def _result(self, row: VideoRow, staging: Staging, started_s: float) -> dict[str, Any]:
        where = joined(self.options.out, f"videos/{row.name}")
        previous = self._previous(where)
        sources = {redacted(url): version_of(url) for url in (row.video, *(url for _, url in row.masks))}
        config = replace(self.options.config, **row.config)
        described = self.described(config)
        request = self._request(row, described)
        asked_before = previous is not None and previous.get("request") == request
        if previous is not None and asked_before and all(sources.values()) and previous["sources"] == sources:
            return {**previous["result"], "skipped": True}
        video = Video.open(staging.fetch(row.video))
        prompts = self._prompts(row, video, config, staging)
        clip, labels, info = video, prompts.labels, {**described, "video": name_of(row.video)}
        if row.frames is not None:
            span = FrameRange.parse(row.frames, len(video))
            clip, labels = video[span.start : span.stop], span.prompts(labels)
            info["frame_range"] = str(span)
        backward = config.direction == "backward"
        job = VideoJob(row, video, clip, labels, info, backward, where, self.options)
        if previous is not None and asked_before and job.is_run(read_bytes(f"{where}/run.json")):
            return {**previous["result"], "skipped": True}
        begin_memory_peak()
        segmenter = self._segmenter(config, clip, labels)
        job.segment(segmenter, _notes(video, prompts))
        result = job.finish(started_s, memory_peak_mb())
        job.commit({"result": result, "request": request, "sources": sources})
        return result

    def _request(self, row: VideoRow, described: Mapping[str, Any]) -> dict[str, Any]:
        """What is asked for, beside the content of files, as JSON has it."""
        request = {
            "masks": [index for index, _ in row.masks],
            "points": row.points,
            "boxes": row.boxes,
            "frames": row.frames,
            "config": described,
            "formats": self.options.formats,
            "overlay": self.options.overlay,
            "soft": self.options.soft,
        }
        return dict(json.loads(json.dumps(request)))

    def _previous(self, where: str) -> dict[str, Any] | None:
        """What an earlier call left of this output; None if it did not finish."""
        content = read_bytes(f"{where}/{RESULT_NAME}")
        if content is None:
            return None
        try:
            previous = parse_json(content)
            return dict(previous) if {"result", "request", "sources"} <= previous.keys() else None
        except (ValueError, AttributeError, RecursionError):
            return None

    def _prompts(self, row: VideoRow, video: Video, config: SegmenterConfig, staging: Staging) -> Prompts:
        prompts = Prompts()
        prompts.add_files([(index, staging.fetch(url)) for index, url in row.masks], video)
        proposer = self.options.promptable or promptable_segmenter
        prompts.add_clicks(row, video, functools.partial(proposer, config.device))
        if not prompts.labels:
            raise OptionError(
                f"{row.name} has no prompt; give a mask (in a folder: of the video's name), points or a box."
            )
        return prompts

    def described(self, config: SegmenterConfig) -> dict[str, Any]:
        """What the config is, for records; weights are read for it once."""
        key = repr(config)
        if key not in self._described:
            own = self.options.segmenter
            self._described[key] = (
                config.described() if own is None else {"method": getattr(own, "__qualname__", repr(own))}
            )
        return self._described[key]

    def _segmenter(self, config: SegmenterConfig, video: Video, labels: Mapping[int, LabelMap]) -> Segmenter:
        """The segmenter; one that serves all videos is built once, and the last few are kept."""
        if self.options.segmenter is not None:
            return self.options.segmenter(config, video, labels)
        if config.per_video:
            return config.build(video, prompts=labels)
        key = repr(config)
        if key not in self._segmenters:
            self._segmenters[key] = config.build()
            if len(self._segmenters) > SEGMENTERS_HELD:
                self._segmenters.popitem(last=False)
        self._segmenters.move_to_end(key)
        return self._segmenters[key]


def _notes(video: Video, prompts: Prompts) -> dict[str, Any]:
    """What `tinct export` will want to know."""
    notes: dict[str, Any] = {}
    if prompts.names:
        notes["object_names"] = {str(i): name for i, name in prompts.names.items()}
    if video.rate is not None:
        notes["frame_rate"] = str(video.rate)
    return notes
