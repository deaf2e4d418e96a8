"""The run folder: a video's masks on disk, safe against every kind of interruption.

    out/masks/<frame name>.png    palette PNGs of the video's size
    out/soft/<id>/<frame>.png     16-bit PNGs of every object's probabilities, if they are wanted
    out/overlay.mp4               the video with its masks, there when the last mask is
    out/run.json                  what ran, on what, how fast, and how far it came
    out/run.jsonl                 what every frame adds to that, while the run goes on
    out/state.safetensors         where a run that was cut short goes on; gone when it is complete

Every file is written whole or not at all. A resumed run gives the same bytes as one that was
never interrupted.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tinct.errors import OptionError, OutputError, TinctError
from tinct.inference.callbacks import FineTuningProgress, ProgressCallback, callbacks
from tinct.inference.segmenter import (
    FrameResult,
    Prompts,
    StreamingSegmenter,
    VideoSegmenter,
    check_prompts,
    frame_results,
    state_class_of,
)
from tinct.inference.state_files import load_state, read_extra, save_state
from tinct.io.mask_files import write_mask
from tinct.io.overlay import draw_masks, mask_paths, overlay_writer, write_overlay
from tinct.io.soft_masks import write_soft
from tinct.io.video import Video
from tinct.runs.failures import explained, one_line
from tinct.runs.folder_lock import folder_lock
from tinct.runs.run_file import RunFile, environment, progress_entries
from tinct.runs.run_folder import check_apart, prepare_folder, run_identity, whole_masks
from tinct.runs.termination import signal_number_of
from tinct.shapes import LabelMap

FRAMES_BETWEEN_STATES = 25
SECONDS_BETWEEN_STATES = 2.0
"""A killed run repeats at most this many frames or seconds, whichever are fewer; saving costs about as much
as one frame."""

SAVING_SHARE = 0.1
"""Where saving takes long, seconds count only if no more than this share of the time goes into it."""

clock = time.monotonic
"""What the seconds between states are measured by."""

WORTH_SAVING_S = 2.0
"""What an annotated frame taught in this time (fine-tuning) is saved at once, and not learnt again."""

Segmenter = StreamingSegmenter[Any] | VideoSegmenter


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a run, or another signal; its text says how many frames are there and how to go on.

    Args:
        message: For people.
        signal_number: Which signal it was; a shell expects the exit code 128 + that.
    """

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@dataclass(frozen=True)
class RunReport:
    """What a finished run left behind.

    Args:
        masks_folder: One palette PNG per frame.
        overlay: The overlay video, if one was wanted.
        frames: How many the video has.
        resumed_at: The first frame that this call computed; 0 for a whole run.
        object_ids: Every object that was tracked.
        seconds_per_frame: Median over the frames that this call computed, decoding included; None
            if there was nothing left to compute.
    """

    masks_folder: Path
    overlay: Path | None
    frames: int
    resumed_at: int
    object_ids: tuple[int, ...]
    seconds_per_frame: float | None


@dataclass(frozen=True)
class FolderOptions:
    """How a run fills its folder.

    Args:
        backward: Go from the last annotated frame to the video's first (`tinct.inference.directions`);
            later frames stay empty. Only a streaming segmenter has a direction.
        resume: Go on with the run that the folder holds, if it is this one; without one, begin it.
        overlay: Whether to write a video with the masks over the frames.
        soft: Whether to write the objects' probabilities too; a run with them is another run.
        resume_hint: What the message of a run that was cut short asks the person to do.
    """

    backward: bool = False
    resume: bool = False
    overlay: bool = True
    soft: bool = False
    resume_hint: str = "the same command with --resume"


@dataclass
class _Run:
    """The run in the middle of its work: where it stands, and what it cost so far."""

    segmenter: Segmenter
    video: Video
    prompts: Prompts
    out: Path
    file: RunFile
    options: FolderOptions
    seconds: list[float] = field(default_factory=list)
    frames_done: int = 0
    """How many frames this call has behind it, computed or taken up."""
    state: Any = None
    """The state after them."""
    whole: set[int] | None = None
    """The places in the order of the run whose masks are whole on disk; None until they were looked at."""
    state_at: int = 0
    """The frames that the state on disk has behind it; 0 without one."""
    saved_at_s: float = field(default_factory=lambda: clock())
    saving_s: float = 0.0
    """When a state was saved last, and how long that took."""
    filmed: bool = False
    """Whether the overlay video was made of the frames as they were segmented."""

    @property
    def order(self) -> range:
        """The frames in the order of the run: from the last to the first, if it goes backward."""
        return range(len(self.video))[:: -1 if self.options.backward else 1]

    @property
    def state_path(self) -> Path:
        return self.out / "state.safetensors"

    @property
    def soft(self) -> Path | None:
        return self.out / "soft" if self.options.soft else None

    @property
    def overlay(self) -> Path | None:
        return self.out / "overlay.mp4" if self.options.overlay else None

    @property
    def masks_whole(self) -> int:
        """How many masks are whole on disk."""
        return self.file.frames_done if self.whole is None else len(self.whole)

    @property
    def state_is_due(self) -> bool:
        """Whether the state should be saved before the next frame."""
        if self.order[self.frames_done - 1] in self.prompts and self.seconds[-1:] >= [WORTH_SAVING_S]:
            return True
        pause_s = max(SECONDS_BETWEEN_STATES, self.saving_s / SAVING_SHARE)
        return self.frames_done % FRAMES_BETWEEN_STATES == 0 or clock() - self.saved_at_s >= pause_s


def segment_to_folder(
    segmenter: Segmenter,
    video: Video,
    prompts: Mapping[int, LabelMap],
    out: Path,
    options: FolderOptions | None = None,
    *,
    info: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
) -> RunReport:
    """Segment a video into a folder.

    Args:
        segmenter: Of either kind; only a streaming one can go on in the middle, the other starts again.
        video: The frames.
        prompts: As for `segment_video`.
        out: The run folder; it is made if need be.
        options: How it is filled; the defaults if None.
        info: What ran, for `run.json`: method, variant, preset, weights_sha256, video and the like.
            A run is the same run if its info, video and prompts are the same.
        notes: What else `run.json` shall say; it does not make the run another one.
        progress: Called with (`segment` or `overlay`, frames done, frames in all) after every frame, and with
            the stages of `tinct.inference.callbacks`.

    Raises:
        OptionError: No prompt, or one outside the video, or `backward` with a segmenter of whole videos.
        MaskError: A prompt is empty or not of the frame's size.
        VideoError: A frame cannot be read; the masks before it are there.
        OutputError: The folder cannot be written, or holds another run.
        NumericalError: The network gave NaN or infinity; the masks before it are there.
        TinctError: Memory ran out, or torch failed; the masks before that are there.
        RunInterrupted: Ctrl-C, or another signal (`tinct.runs.termination`); the masks so far are there.
    """
    options = options or FolderOptions()
    checked = check_prompts(video, prompts)
    if options.backward and not isinstance(segmenter, StreamingSegmenter):
        raise OptionError(
            "A backward run came for a segmenter that sees whole videos; leave the direction out."
        )
    check_apart(out, video)
    info = {**(info or {}), **({"soft": True} if options.soft else {})}
    file = RunFile(out / "run.json", run_identity(video, checked, info, backward=options.backward))
    with folder_lock(out):
        prepare_folder(out, file, options.resume, notes or {})
        run = _Run(segmenter, video, checked, out, file, options)
        with _recorded(run), callbacks(progress, fine_tuning=partial(_record_fine_tuning, run)):
            return _fill(run, progress)


def _fill(run: _Run, progress: ProgressCallback | None) -> RunReport:
    """Write what is not there yet: masks, overlay, and the record's end."""
    masks, frames = run.out / "masks", len(run.video)
    resumed_at = _segment(run, progress)
    if run.overlay is not None and not (run.filmed or (run.overlay.exists() and resumed_at == frames)):
        write_overlay(run.video, masks, run.overlay, _stage(progress, "overlay", frames))
    _finish(run)
    median = float(np.median(run.seconds)) if run.seconds else None
    return RunReport(masks, run.overlay, frames, resumed_at, run.file.object_ids, median)


@contextmanager
def _recorded(run: _Run) -> Iterator[None]:
    """Whatever ends this block too soon is written down, with the state, and explained in one line."""
    try:
        yield
    except KeyboardInterrupt as error:
        message = _stop(run, "interrupted", "Interrupted")
        raise RunInterrupted(message, signal_number_of(error)) from error
    except TinctError as error:
        raise type(error)(_stop(run, "failed", str(error))) from error
    except OSError as error:
        text = f"{error.filename or run.out} cannot be written: {error.strerror or error}"
        raise OutputError(_stop(run, "failed", text)) from error
    except (MemoryError, RuntimeError, cv2.error) as error:
        message = _stop(run, "failed", explained(error))
        if isinstance(error, RecursionError):
            raise
        raise TinctError(message) from error
    except BaseException as error:
        _stop(run, "failed", f"An error that tinct did not foresee: {one_line(error)}")
        raise


def _segment(run: _Run, progress: ProgressCallback | None) -> int:
    """Write every mask that is not there yet; return the first frame computed."""
    paths = mask_paths(run.video, run.out / "masks")[:: run.order.step]
    run.whole = whole_masks(paths, run.video.size, run.soft)
    first, run.state, run.file.object_ids = _place_to_resume(run)
    run.frames_done = first
    run.file.fine_tuned = [entry for entry in run.file.fine_tuned if entry.get("frame") in run.order[:first]]
    # A run that is complete keeps the record of the machine that made it.
    machine = environment(_device(run.segmenter)) if first < len(run.video) else {}
    run.file.begin(status="running", message="", resumed_at=first, **machine)
    report = _stage(progress, "segment", len(run.video))
    report(first)
    with _film(run) as film:
        for done, result in enumerate(_timed(run), start=first + 1):
            _write_result(run, paths[done - 1], result, done)
            film(result)
            report(done)
    return first


@contextmanager
def _film(run: _Run) -> Iterator[Callable[[FrameResult], None]]:
    """What draws results into the overlay video while their frames are at hand.

    A film is written in one piece from the first frame on: of a run that was resumed or goes backward, and
    of a whole video's masks, it is made afterwards.
    """
    streams = isinstance(run.segmenter, StreamingSegmenter) and not run.options.backward
    if run.overlay is None or not streams or run.frames_done:
        yield lambda result: None
        return
    with overlay_writer(run.video, run.overlay) as writer:

        def add(result: FrameResult) -> None:
            assert result.frame is not None
            writer.write(draw_masks(result.frame, result.masks.label_map))

        yield add
    run.filmed = True


def _write_result(run: _Run, path: Path, result: FrameResult, done: int) -> None:
    """Write a frame's masks, and down that it is done; the state too, if that is due."""
    assert run.whole is not None
    masks = result.masks
    object_ids = tuple(sorted({*run.file.object_ids, *masks.object_ids}))
    if run.soft is not None:
        # Before the mask: where that is, all that belongs to the frame is.
        write_soft(run.soft, path.stem, masks, object_ids)
    write_mask(path, masks.label_map)
    run.whole.add(done - 1)
    run.frames_done, run.state = done, result.state
    run.file.object_ids = object_ids
    run.file.add(run.file.confidences.add(result.index, masks, result.agreement))
    if run.state_is_due:
        _save_state(run)


def _timed(run: _Run) -> Iterator[FrameResult]:
    """The results of the frames that are still to do, timed; decoding is part of the time."""
    to_do = run.order[run.frames_done :]
    if not to_do:
        return
    results = frame_results(run.segmenter, run.video, run.prompts, to_do, run.state)
    while True:
        before = time.perf_counter()
        result = next(results, None)
        if result is None:
            if isinstance(run.segmenter, VideoSegmenter) and not run.segmenter.streams:
                # All the work was done before the first result came.
                run.seconds[:] = [sum(run.seconds) / len(run.seconds)] * len(run.seconds)
            return
        if result.masks.object_ids:
            run.seconds.append(time.perf_counter() - before)
        yield result


def _place_to_resume(run: _Run) -> tuple[int, Any, tuple[int, ...]]:
    """(first frame to compute, state before it, object ids so far)."""
    frames, whole = len(run.video), run.whole or set()
    # A killed run may have left masks of which nothing is recorded.
    recorded = run.file.frames_done == frames and run.file.confidences.covers(run.order)
    if recorded and len(whole) == frames:
        return frames, None, run.file.object_ids
    state_class = state_class_of(run.segmenter)
    if state_class is None or not run.state_path.exists():
        return 0, None, ()
    try:
        extra = read_extra(run.state_path)
        done = int(extra["frames"])
        if extra["run"] != run.file.fingerprint or done > frames:
            return 0, None, ()
        run.state_at = done
        if not (whole.issuperset(range(done)) and run.file.confidences.covers(run.order[:done])):
            return 0, None, ()
        state: Any = load_state(run.state_path, state_class, _device(run.segmenter))
    except (TinctError, KeyError, ValueError):
        # A broken state costs time only: the run begins again and gives the same masks.
        run.state_at = 0
        return 0, None, ()
    return done, state, tuple(int(i) for i in str(extra["object_ids"]).split())


def _device(segmenter: Segmenter) -> str:
    return str(getattr(segmenter, "device", "cpu"))


def _save_state(run: _Run) -> None:
    began_s = clock()
    # Before the state: whoever goes on from it finds the confidence of all frames before it.
    run.file.save(run.masks_whole)
    # Never one that is behind the one on disk, which masks that are being mended may lead back to.
    if run.state is not None and run.frames_done >= run.state_at:
        ids = " ".join(str(i) for i in run.file.object_ids)
        save_state(
            run.state_path,
            run.state,
            {"frames": run.frames_done, "object_ids": ids, "run": run.file.fingerprint},
        )
        run.state_at = run.frames_done
    run.saved_at_s = clock()
    run.saving_s = run.saved_at_s - began_s


def _stop(run: _Run, status: str, reason: str) -> str:
    """Leave the folder so that the run can go on; return the message for the person."""
    message = (
        f"{reason.rstrip('.')}. "
        f"{run.masks_whole} of {len(run.video)} masks are whole in {run.out / 'masks'}; "
        f"{run.options.resume_hint} goes on from there."
    )
    done = progress_entries(run.masks_whole, run.seconds)
    # The disk is full, perhaps, or the state is on a graphics card that failed: what is written already still
    # stands, and resuming works from it. The record shall be true all the same.
    with suppress(Exception):
        _save_state(run)
    with suppress(Exception):
        run.file.end(run.prompts, status=status, message=message, **done)
    return message


def _finish(run: _Run) -> None:
    message = f"{len(run.video)} masks written."
    done = progress_entries(run.masks_whole, run.seconds)
    run.file.end(run.prompts, status="complete", message=message, **done)
    with suppress(OSError):  # it does no harm
        run.state_path.unlink(missing_ok=True)


def _record_fine_tuning(run: _Run, tuned: FineTuningProgress) -> None:
    """Write down what fine-tuning an object took."""
    if tuned.finished:
        frame = run.order[run.frames_done]
        entry: dict[str, Any] = {"frame": frame, "object_id": tuned.object_id, "steps": tuned.steps}
        entry |= {"seconds": round(tuned.seconds, 2), "diverged": tuned.diverged}
        entry |= {"loss": round(tuned.loss, 5)} if math.isfinite(tuned.loss) else {}
        run.file.fine_tuned.append(entry)
        run.file.add({"fine_tuned": entry})
        run.file.save(run.masks_whole)


def _stage(progress: ProgressCallback | None, stage: str, frames: int) -> Callable[[int], None]:
    def report(done: int) -> None:
        if progress is not None:
            progress(stage, done, frames)

    return report
