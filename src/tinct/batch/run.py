"""A batch from its manifest to its table.

    OUT/batch.json              what ran
    OUT/videos/<name>/          the outputs of each video (`tinct.batch.video_job`)
    OUT/results.parquet         a row per video
    OUT/index.html              thumbnails, the least confident first

The outputs say themselves what is complete: a driver that is killed loses no video, and the same call with
`resume` goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from tinct._version import __version__
from tinct.batch.actors import ActorOptions, outcomes_on_ray
from tinct.batch.index_page import INDEX_NAME, write_index
from tinct.batch.manifest import Manifest, VideoRow
from tinct.batch.progress import OnVideo, Progress
from tinct.batch.results import ResultLog, failed, write_output
from tinct.batch.secrets import redacted
from tinct.batch.stores import absolute, filesystem, joined, local_path, reaching, read_bytes
from tinct.batch.video_job import VideoOptions
from tinct.batch.videos import VideoSegmentation
from tinct.errors import OutputError
from tinct.interchange.exports import format_of
from tinct.io.json_files import reading
from tinct.io.optional import import_optional
from tinct.runs.folder_lock import folder_lock
from tinct.runs.termination import signal_number_of

BATCH_NAME = "batch.json"


@dataclass(frozen=True)
class BatchReport:
    """What a batch left behind.

    Attributes:
        progress: How many videos it has, and what became of them.
        table: Where the table is.
        index: Where the page is.
    """

    progress: Progress
    table: str
    index: str


class BatchInterrupted(KeyboardInterrupt):
    """Ctrl-C or another signal; its text says what is complete and how to go on."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def segment_batch(
    manifest: Manifest,
    options: VideoOptions,
    actors: ActorOptions | None = None,
    *,
    resume: bool = False,
    progress: OnVideo | None = None,
) -> BatchReport:
    """Segment the videos of a manifest on the Ray that runs (`tinct.batch.cluster.ray_cluster`).

    A video that fails leaves the others: the table says why.

    Args:
        manifest: The videos.
        options: What is done with each; `options.out` must be reached from all machines.
        actors: What each takes of the cluster.
        resume: Go on with the batch in `options.out`, if it is this one; videos whose files and options are
            unchanged are not computed again.
        progress: Called after every video.

    Raises:
        OptionError: An option does not exist, or a store cannot be reached.
        OutputError: The folder holds another batch, or this one while `resume` is off, or cannot be written.
        WorkerError: Actors cannot start.
        BatchInterrupted: Ctrl-C or another signal.
    """
    for name in options.formats:
        extra = format_of(name).extra
        if extra is not None:
            import_optional({"coco": "pycocotools", "vfx": "OpenEXR"}[extra], extra, f"The format {name}")
    options = replace(options, out=absolute(options.out))
    settings = _settings(options)
    state = Progress(len(manifest))
    with _locked(options.out), ResultLog() as log:
        _prepare(options.out, settings, resume)
        try:
            _run(manifest, options, actors, state, log, progress)
        except KeyboardInterrupt as error:
            _write(options.out, log)
            complete = state.done - state.failed
            raise BatchInterrupted(
                f"Interrupted. {complete} of {state.total} videos are complete in {redacted(options.out)}; "
                "the same command with --resume goes on from there.",
                signal_number_of(error),
            ) from error
        table, index = _write(options.out, log)
        out = local_path(options.out)
        if out is not None:
            with suppress(OSError):  # what failed stays, to go on from there
                (out / ".unfinished").rmdir()
    return BatchReport(state, table, index)


def _run(
    rows: Iterable[VideoRow],
    options: VideoOptions,
    actors: ActorOptions | None,
    state: Progress,
    log: ResultLog,
    report: OnVideo | None,
) -> None:
    """Segment all rows, and log what became of each."""
    began_s = time.monotonic()
    given: dict[int, VideoRow] = {}

    def remembered() -> Iterator[VideoRow]:
        for index, row in enumerate(rows):
            given[index] = row
            yield row

    outcomes = outcomes_on_ray(
        VideoSegmentation(options), remembered(), actors, name=lambda row: f"the video {row.name!r}"
    )
    with closing(outcomes):
        for index, outcome in outcomes:
            row = given.pop(index)
            result = failed(row.name, row.video, outcome) if isinstance(outcome, Exception) else outcome
            log.add(result)
            state.add(result)
            state.seconds = round(time.monotonic() - began_s, 3)
            if report is not None:
                report(state, result)


def _write(out: str, log: ResultLog) -> tuple[str, str]:
    """Write the table and the page; where they are."""
    table = log.write_table(out)
    title = f"tinct batch {local_path(out) or redacted(out)}"
    return table, write_output(out, INDEX_NAME, lambda path: write_index(path, log.rows(), title))


def _settings(options: VideoOptions) -> dict[str, Any]:
    """What two calls on one folder must have in common."""
    described = VideoSegmentation(options).described(options.config)
    return {**described, "formats": sorted(options.formats), "overlay": options.overlay, "soft": options.soft}


@contextmanager
def _locked(out: str) -> Iterator[None]:
    """One driver at a time in a folder of this machine; elsewhere nothing can be locked."""
    folder = local_path(out)
    if folder is None:
        yield
        return
    with folder_lock(folder):
        yield


def _prepare(out: str, settings: dict[str, Any], resume: bool) -> None:
    """Make the folder this batch's own.

    Raises:
        OutputError: It holds another batch, or something else, or cannot be written.
    """
    url = joined(out, BATCH_NAME)
    previous = read_bytes(url)
    if previous is None:
        _check_empty(out)
    else:
        with reading(redacted(url), "a batch's record", "Choose another folder.", OutputError):
            theirs = json.loads(previous)["settings"]
        if theirs != settings:
            names = sorted(key for key in {*theirs, *settings} if theirs.get(key) != settings.get(key))
            raise OutputError(
                f"{redacted(out)} holds another batch (other {', '.join(names)}). Choose another folder."
            )
        if not resume:
            raise OutputError(
                f"{redacted(out)} holds this batch already. Add --resume to go on with it, or choose another "
                "folder."
            )
    content = json.dumps({"tinct": __version__, "settings": settings}, indent=1)
    write_output(out, BATCH_NAME, lambda path: path.write_text(content, encoding="utf-8"))


def _check_empty(out: str) -> None:
    folder = local_path(out)
    if folder is not None:
        (folder / "videos").mkdir(exist_ok=True)
        taken = any((folder / "videos").iterdir())
    else:
        fs, path = filesystem(out)
        with reaching(out, OutputError):
            taken = fs.exists(f"{path}/videos") and bool(fs.ls(f"{path}/videos"))
    if taken:
        raise OutputError(f"{redacted(out)} holds videos but no {BATCH_NAME}; choose another folder.")
