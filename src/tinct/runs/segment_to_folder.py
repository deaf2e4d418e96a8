"""The run folder: a video's masks on disk, safe against every kind of interruption.

    out/masks/<frame name>.png    palette PNGs of the video's size
    out/soft/<id>/<frame>.png     16-bit PNGs of every object's probabilities, if they are wanted
    out/overlay.mp4               the film with its masks, made when the last mask is there
    out/run.json                  what ran, on what, how fast, and how far it came
    out/state.safetensors         where a run that was cut short goes on; gone when it is complete

Every file is written whole or not at all. A resumed run gives the same bytes as one that was
never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinct.errors import OptionError, OutputError, TinctError
from tinct.inference.callbacks import FineTuningProgress, callbacks
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
from tinct.io.overlay import mask_paths, write_overlay
from tinct.io.soft_masks import write_soft
from tinct.io.video import Video
from tinct.runs.confidences import Confidences
from tinct.runs.run_file import RunFile, environment, peak_memory
from tinct.runs.run_folder import are_whole, prepare_folder, run_identity
from tinct.shapes import LabelMap

FRAMES_BETWEEN_STATES = 25
"""A killed run repeats at most this many frames; saving costs about as much as one frame."""

WORTH_SAVING_S = 2.0
"""What an annotated frame taught in so many seconds (fine-tuning) is saved at once, and not learnt again."""

Segmenter = StreamingSegmenter[Any] | VideoSegmenter
Progress = Callable[[str, int, int], None]
"""Called with (`segment` or `overlay`, frames done, frames in all), and with the stages of
`tinct.inference.callbacks`."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a run; its text says how many frames are there and how to go on."""


@dataclass(frozen=True)
class RunReport:
    """What a finished run left behind.

    Args:
        masks_folder: One palette PNG per frame.
        overlay: The film, if one was wanted.
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
        resume_hint: What the message of a run that was cut short tells the person to do.
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
    """How many masks are on disk."""
    state: Any = None
    """The state after them."""
    fine_tuned: list[dict[str, Any]] = field(default_factory=list)
    """What fine-tuning took for every object, as it stands in the record."""
    confidences: Confidences = field(default_factory=Confidences)

    @property
    def order(self) -> range:
        """The frames in the order of the run: from the last to the first, if it goes backward."""
        return range(len(self.video))[:: -1 if self.options.backward else 1]

    @property
    def state_path(self) -> Path:
        return self.out / "state.safetensors"


def segment_to_folder(
    segmenter: Segmenter,
    video: Video,
    prompts: Mapping[int, LabelMap],
    out: Path,
    options: FolderOptions | None = None,
    *,
    info: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Segment a video into a folder.

    Args:
        segmenter: Of either kind; only a streaming one can go on in the middle, the other starts anew.
        video: The frames.
        prompts: As for `segment_video`.
        out: The run folder; it is made if need be.
        options: How it is filled; the defaults if None.
        info: What ran, for `run.json`: method, variant, preset, weights_sha256, video and the like.
            A run is the same run if its info, video and prompts are the same.
        notes: What else `run.json` shall say; it does not make the run another one.
        progress: Called after every frame.

    Raises:
        OptionError: No prompt, or one outside the video, or `backward` with a segmenter of whole videos.
        MaskError: A prompt is empty or not of the frame's size.
        VideoError: A frame cannot be read; the masks before it are there.
        OutputError: The folder cannot be written, or holds another run.
        NumericalError: The network gave NaN or infinity; the masks before it are there.
        RunInterrupted: Ctrl-C; the masks so far are there.
    """
    options = options or FolderOptions()
    checked = check_prompts(video, prompts)
    if options.backward and not isinstance(segmenter, StreamingSegmenter):
        raise OptionError(
            "A backward run came for a segmenter that sees whole videos; leave the direction out."
        )
    info = {**(info or {}), **({"soft": True} if options.soft else {})}
    file = RunFile(out / "run.json", run_identity(video, checked, info, backward=options.backward))
    run = _Run(segmenter, video, checked, out, file, options)
    prepare_folder(out, file, options.resume, notes or {})
    try:
        with callbacks(progress, fine_tuning=partial(_record_fine_tuning, run)):
            resumed_at, object_ids = _segment(run, progress)
        overlay_path = out / "overlay.mp4" if options.overlay else None
        if overlay_path is not None and not (overlay_path.exists() and resumed_at == len(video)):
            write_overlay(video, out / "masks", overlay_path, _stage(progress, "overlay", len(video)))
    except KeyboardInterrupt as error:
        raise RunInterrupted(_stop(run, "interrupted", "Interrupted")) from error
    except TinctError as error:
        raise type(error)(_stop(run, "failed", str(error))) from error
    except OSError as error:
        text = f"{out} cannot be written: {error.strerror or error}"
        raise OutputError(_stop(run, "failed", text)) from error
    _finish(run, object_ids)
    median = float(np.median(run.seconds)) if run.seconds else None
    return RunReport(out / "masks", overlay_path, len(video), resumed_at, object_ids, median)


def _segment(run: _Run, progress: Progress | None) -> tuple[int, tuple[int, ...]]:
    """Write every mask that is not there yet; return the first frame computed and all object ids."""
    paths = mask_paths(run.video, run.out / "masks")[:: run.order.step]
    first, run.state, object_ids = _place_to_resume(run, paths)
    run.frames_done = first
    run.fine_tuned = [entry for entry in run.file.fine_tuned if entry["frame"] in run.order[:first]]
    run.confidences = Confidences.from_record(run.file.confidence, run.order[:first])
    # A run that is complete keeps the record of the machine that made it.
    machine = environment(_device(run.segmenter)) if first < len(run.video) else {}
    run.file.write(status="running", message="", resumed_at=first, **machine)
    report = _stage(progress, "segment", len(run.video))
    report(first)
    for done, result in enumerate(_timed(run), start=first + 1):
        masks = result.masks
        object_ids = tuple(sorted({*object_ids, *masks.object_ids}))
        if run.options.soft:
            # Before the mask: where that is, all that belongs to the frame is.
            write_soft(run.out / "soft", paths[done - 1].stem, masks, object_ids)
        write_mask(paths[done - 1], masks.label_map)
        run.frames_done, run.state = done, result.state
        run.file.object_ids = object_ids
        run.confidences.add(result.index, masks, result.agreement)
        costly = result.index in run.prompts and bool(run.seconds) and run.seconds[-1] >= WORTH_SAVING_S
        if costly or done % FRAMES_BETWEEN_STATES == 0:
            _save_state(run)
        report(done)
    return first, object_ids


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


def _place_to_resume(run: _Run, paths: list[Path]) -> tuple[int, Any, tuple[int, ...]]:
    """(first frame to compute, state before it, object ids so far)."""
    if run.file.frames_done == len(paths) and _are_whole(run, paths):
        return len(paths), None, run.file.object_ids
    state_class = state_class_of(run.segmenter)
    if state_class is None or not run.state_path.exists():
        return 0, None, ()
    try:
        extra = read_extra(run.state_path)
        frames = int(extra["frames"])
        of_this_run = extra["run"] == run.file.fingerprint and frames <= len(paths)
        if not of_this_run or not _are_whole(run, paths[:frames]):
            return 0, None, ()
        state: Any = load_state(run.state_path, state_class, _device(run.segmenter))
    except (TinctError, KeyError, ValueError):
        # A broken state costs time only: the run begins again and gives the same masks.
        return 0, None, ()
    ids = tuple(int(i) for i in str(extra["object_ids"]).split())
    return frames, state, ids


def _are_whole(run: _Run, paths: list[Path]) -> bool:
    return are_whole(paths, run.video.size, run.out / "soft" if run.options.soft else None)


def _device(segmenter: Segmenter) -> str:
    return str(getattr(segmenter, "device", "cpu"))


def _save_state(run: _Run) -> None:
    # Before the state: whoever goes on from it finds the confidence of all frames before it.
    run.file.write(confidence=run.confidences.record(len(run.video), run.prompts))
    if run.state is not None:
        ids = " ".join(str(i) for i in run.file.object_ids)
        extra: dict[str, str | int] = {
            "frames": run.frames_done,
            "object_ids": ids,
            "run": run.file.fingerprint,
        }
        save_state(run.state_path, run.state, extra)


def _stop(run: _Run, status: str, reason: str) -> str:
    """Leave the folder so that the run can go on; return the message for the person."""
    message = (
        f"{reason.rstrip('.')}. "
        f"{run.frames_done} of {len(run.video)} masks are whole in {run.out / 'masks'}; "
        f"{run.options.resume_hint} goes on from there."
    )
    try:
        _save_state(run)
        run.file.write(status=status, message=message, **_costs(run))
    except (TinctError, OSError):
        # The disk is full, perhaps; what is written already still stands, and resuming works from it.
        pass
    return message


def _finish(run: _Run, object_ids: tuple[int, ...]) -> None:
    run.file.object_ids = object_ids
    confidence = run.confidences.record(len(run.video), run.prompts)
    message = f"{len(run.video)} masks written."
    run.file.write(status="complete", message=message, confidence=confidence, **_costs(run))
    run.state_path.unlink(missing_ok=True)


def _costs(run: _Run) -> dict[str, Any]:
    if not run.seconds:
        return {"frames_done": run.frames_done}
    return {
        "frames_done": run.frames_done,
        "seconds_per_frame": {
            "mean": round(float(np.mean(run.seconds)), 5),
            "median": round(float(np.median(run.seconds)), 5),
            "frames": len(run.seconds),
            "values": [round(seconds, 5) for seconds in run.seconds],
        },
        **peak_memory(),
    }


def _record_fine_tuning(run: _Run, tuned: FineTuningProgress) -> None:
    """Write down what fine-tuning an object took."""
    if tuned.finished:
        frame = run.order[run.frames_done]
        entry: dict[str, Any] = {"frame": frame, "object_id": tuned.object_id, "steps": tuned.steps}
        entry |= {"seconds": round(tuned.seconds, 2), "diverged": tuned.diverged}
        run.fine_tuned.append(entry | ({"loss": round(tuned.loss, 5)} if math.isfinite(tuned.loss) else {}))
        run.file.write(fine_tuned=run.fine_tuned)


def _stage(progress: Progress | None, stage: str, frames: int) -> Callable[[int], None]:
    def report(done: int) -> None:
        if progress is not None:
            progress(stage, done, frames)

    return report
