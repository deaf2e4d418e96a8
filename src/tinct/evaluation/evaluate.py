"""Evaluation of a method on a dataset: segment every sequence, then score, whatever stops it in between.

    out/<sequence>/     the run folder of each, as `tinct.runs.segment_to_folder` writes it; of a method that
                        explains itself with the trace of its decisions, why.json
    out/scores.json     the scores, frame by frame, with what made them and what it cost

The same call again goes on: a sequence that is complete is not computed again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2

from tinct import zoo
from tinct.batch.actors import ActorOptions, outcomes_on_ray
from tinct.batch.cluster import ray_cluster
from tinct.data.sequences import Sequence
from tinct.errors import OptionError, OutputError, WeightsError
from tinct.evaluation.dataset_split import DatasetSplit, open_frames
from tinct.evaluation.failures import one_error
from tinct.evaluation.results import Scores, write_scores
from tinct.evaluation.score import score_folders, scoring_rules
from tinct.evaluation.tracks import Rules
from tinct.evaluation.workers import Failure, outcomes_of
from tinct.inference.callbacks import ProgressCallback, callbacks
from tinct.inference.fingerprints import video_sha256
from tinct.inference.threads import set_threads, thread_count
from tinct.io.atomic import path_below, sweep
from tinct.io.video import Video
from tinct.metrics import DEFAULT_BOUND_TH
from tinct.runs.run_file import costs, read_record
from tinct.runs.segment_to_folder import FolderOptions, RunInterrupted, Segmenter, segment_to_folder
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.runs.termination import signal_number_of
from tinct.runs.traces import TRACE_FILE, write_explanation


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation left behind.

    Attributes:
        out: Its folder.
        frames: Where the dataset keeps its frames.
        truth: Where it keeps its truth, as `find_truth` takes it.
        sequences: Those that were segmented, in order.
        scores: None where the truth is not public: the benchmark's server has it.
        run: What made the masks and what it cost, as it stands in the scores: method, variant, preset,
            weights_sha256, dataset, split, device, workers, seconds_per_frame (median over the frames of all
            sequences), peak_memory_mb (of the worker that took the most), frames, versions, platform.
    """

    out: Path
    frames: Path
    truth: Path
    sequences: tuple[str, ...]
    scores: Scores | None
    run: Mapping[str, Any]

    @property
    def note(self) -> str:
        """Why there are no scores; empty if there are some."""
        if self.scores is not None:
            return ""
        return (
            f"The masks of {len(self.sequences)} sequences are in {self.out}. Their truth is not public, so "
            "that the benchmark's server alone can score them; `tinct pack` makes the zip that it takes."
        )


@dataclass
class SequenceSegmentation:
    """Segments sequences into run folders; it travels to a worker and builds the segmenter there, once.

    Attributes:
        config: Which segmenter.
        info: What every run's `run.json` says of the data.
        threads: Of torch and OpenCV in this process; None leaves them as they are.
        out: Where the run folders go.
        overlay: Whether to write each overlay video.
        max_frames: Only this number of frames from the beginning of each sequence.
    """

    config: SegmenterConfig
    info: Mapping[str, Any]
    threads: int | None
    out: Path
    overlay: bool
    max_frames: int | None = None

    @cached_property
    def segmenter(self) -> Segmenter:
        """The segmenter, if one serves all sequences; for those that need their own, a test of the config."""
        set_threads(self.threads)
        return self.config.for_any_video().build()

    def __call__(self, sequence: Sequence, progress: ProgressCallback | None = None) -> bool:
        """Segment a sequence; return whether it has a truth beyond what was given to the method."""
        segmenter, video = self.segmenter, open_frames(sequence)
        if self.max_frames is not None:
            video = video[: self.max_frames]
            sequence = sequence.thinned(1, self.max_frames)
        prompts = sequence.prompts()
        if self.config.per_video:
            segmenter = self.config.build(video, sequence.name, prompts)
        out = path_below(self.out, sequence.name)
        if _was_mended(out, video):
            shutil.rmtree(out)
        with callbacks(explanation=lambda trace: write_explanation(trace, out / TRACE_FILE)):
            segment_to_folder(
                segmenter,
                video,
                prompts,
                out,
                FolderOptions(
                    backward=self.config.direction == "backward",
                    resume=True,
                    overlay=self.overlay,
                    resume_hint="the same command",
                ),
                info={**self.info, "video": sequence.name},
                progress=progress,
            )
        return len(sequence.annotated) > len(prompts)


def _was_mended(out: Path, video: Video) -> bool:
    """Whether a run failed here over other frames, which somebody has mended since: it begins again."""
    path = out / "run.json"
    if not path.is_file():
        return False
    record = read_record(path)
    ran_over = dict(record.get("run", {})).get("video_sha256")
    return record.get("status") == "failed" and ran_over != video_sha256(video)


def evaluate(
    data: DatasetSplit,
    config: SegmenterConfig,
    out: Path,
    *,
    metrics: Collection[str] | None = None,
    bound_th: float = DEFAULT_BOUND_TH,
    threads: int | None = None,
    workers: int = 1,
    overlay: bool = False,
    progress: ProgressCallback | None = None,
    ray: str | None = None,
) -> Evaluation:
    """Segment every sequence of a split and score the masks; called again, it goes on.

    A method is given what the benchmark allows: each object's mask in the frame in which it is first
    annotated. The masks do not depend on `workers`.

    Args:
        data: The sequences; their dataset is also the protocol.
        config: The segmenter. With seconds as its `fine_tune`, masks depend on how busy the machine is; a
            folder of flow holds one of `.flo` files per sequence, one of proposals a file per sequence.
        out: For the runs and the scores.
        metrics: Of "J", "F", "T"; by default those of the protocol.
        bound_th: The tolerance of F.
        threads: Of each worker; by default `thread_count()`, shared by the workers.
        workers: How many processes share the sequences.
        overlay: Whether to write an overlay video of every sequence.
        progress: Called with ("segment", frames done, in all), then ("score", sequences done, in all).
        ray: Segment in actors of this Ray cluster (`tinct.batch.cluster.ray_cluster`), which reach the
            dataset and `out` at the same absolute paths; `workers` is then the maximum number of actors if it
            is above 1, and the number of processes that score.

    Raises:
        OptionError: An unknown dataset, method, option, sequence or metric.
        WeightsError: The weights are missing or not what they should be.
        DatasetError: The dataset lacks something.
        TinctError: Sequences failed, or `out` holds other runs of their names. All others are complete,
            the message names these, and its class is that of their errors if they have one.
        RunInterrupted: Ctrl-C or another signal; the masks so far are there.
    """
    zoo.check_variant(config.method, config.variant)
    names = tuple(sequence.name for sequence in data.videos)
    # Now, and not after the hours that the masks take.
    rules = scoring_rules(data.dataset, None if metrics is None else tuple(metrics), bound_th)
    info = config.described()
    if config.proposals is not None:
        from tinct.networks.dyenet.proposal_sources import check_proposals

        check_proposals(config.proposals, names)
    workers = max(1, min(workers, len(names)))
    # Actors have working directories, and threads, of their own.
    share, runs = (_share(workers), out) if ray is None else (1, out.absolute())
    task = SequenceSegmentation(config, info, threads or share, runs, overlay, data.max_frames)
    scores = None
    sweep(out)
    try:
        has_truth = _segment_all(task, data, workers, progress, ray)
        run = {**info, **data.described, "workers": workers, **costs(out, names)}
        if has_truth:
            scores = _score(out, data, rules, workers, progress)
            scores = replace(scores, run=run)
            write_scores(out / "scores.json", scores, per_frame=True)
    except KeyboardInterrupt as error:
        raise RunInterrupted(_interrupted(out, names), signal_number_of(error)) from error
    return Evaluation(out, *data.folders, names, scores, run)


def _score(
    out: Path, data: DatasetSplit, rules: Rules, workers: int, progress: ProgressCallback | None
) -> Scores:
    """The scores of the masks, with what was asked for as their settings."""
    scores = score_folders(
        out,
        data.folders[1],
        rules,
        split=data.split if data.dataset == "youtube-vos" else None,
        sequences=tuple(sequence.name for sequence in data.videos),
        allow_missing=data.max_frames is not None,
        workers=workers,
        progress=None if progress is None else lambda _, done, of: progress("score", done, of),
    )
    asked = {"split": data.split} | ({} if data.max_frames is None else {"max_frames": data.max_frames})
    return replace(scores, settings={**scores.settings, **asked})


def _segment_all(
    task: SequenceSegmentation,
    data: DatasetSplit,
    workers: int,
    progress: ProgressCallback | None,
    ray: str | None,
) -> bool:
    """Segment all sequences; return whether each has a truth to score against."""
    sequences = data.videos
    frames = _FrameCount(data, progress)
    # One process reports every frame; others report a sequence when it is done.
    function: Callable[[Sequence], bool] = (
        partial(task, progress=frames.within)
        if workers == 1 and progress is not None and ray is None
        else task
    )
    truths: dict[int, bool] = {}
    failures: dict[str, Exception] = {}
    with (
        _restored_threads(),
        _outcomes(function, sequences.entries, workers, task, ray) as outcomes,
    ):
        for index, outcome in outcomes:
            if not isinstance(outcome, Failure):
                truths[index] = outcome
                frames.finished(sequences[index])
            elif isinstance(outcome.error, OptionError | WeightsError) and not truths:
                raise outcome.error  # the segmenter itself cannot be built
            else:
                failures[sequences[index].name] = outcome.error
    if failures:
        whole = len(sequences) - len(failures)
        raise one_error(
            failures,
            f"{len(failures)} of {len(sequences)} sequences failed; {whole} are complete in {task.out}.",
            "Mend these and give the same command again; it goes on from there.",
        )
    return all(truths.values())


@contextmanager
def _outcomes(
    function: Callable[[Sequence], bool],
    sequences: Collection[Sequence],
    workers: int,
    task: SequenceSegmentation,
    ray: str | None,
) -> Iterator[Iterator[tuple[int, bool | Failure]]]:
    """The outcomes of all sequences, in processes of this machine or in actors of a cluster."""
    if ray is None:
        with closing(outcomes_of(function, tuple(sequences), workers, name=_name)) as outcomes:
            yield outcomes
        return
    gpus = 1.0 if task.config.device.startswith("cuda") else 0.0
    actors = ActorOptions(
        float(task.threads or 1), gpus, min(workers, len(sequences)) if workers > 1 else None
    )
    with ray_cluster(ray), closing(outcomes_on_ray(function, sequences, actors, name=_name)) as found:
        yield ((i, Failure(each) if isinstance(each, Exception) else each) for i, each in found)


def _share(workers: int) -> int | None:
    """The threads of one of several workers, so that all together have no more than one would take."""
    return None if workers == 1 else max(1, thread_count() // workers)


class _FrameCount:
    """Frames done over all sequences, for a progress bar."""

    def __init__(self, data: DatasetSplit, progress: ProgressCallback | None) -> None:
        self._progress, self._most = progress, data.max_frames
        self._done, self._frames = 0, sum(len(sequence.thinned(1, self._most)) for sequence in data.videos)

    def within(self, stage: str, done: int, frames: int) -> None:
        """Frames of the sequence that is under way, or its fine-tuning."""
        if stage == "segment":
            self._report(self._done + done)
        elif stage == "fine-tune" and self._progress is not None:
            self._progress(stage, done, frames)

    def finished(self, sequence: Sequence) -> None:
        """One more sequence is done."""
        self._done += len(sequence.thinned(1, self._most))
        self._report(self._done)

    def _report(self, done: int) -> None:
        if self._progress is not None:
            self._progress("segment", done, self._frames)


@contextmanager
def _restored_threads() -> Iterator[None]:
    """Leave this process with as many threads as it had."""
    before, before_cv2 = thread_count(), cv2.getNumThreads()
    try:
        yield
    finally:
        set_threads(before)
        cv2.setNumThreads(before_cv2)


def _name(sequence: Sequence) -> str:
    return f"sequence {sequence.name!r}"


def _interrupted(out: Path, names: Collection[str]) -> str:
    whole = sum(_is_complete(out / name / "run.json") for name in names)
    return (
        f"Interrupted. {whole} of {len(names)} sequences are complete in {out}; the same command goes on "
        "from there."
    )


def _is_complete(path: Path) -> bool:
    try:
        return path.is_file() and read_record(path).get("status") == "complete"
    except OutputError:
        return False
