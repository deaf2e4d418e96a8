"""Evaluation of a method on a dataset: segment every sequence, then score, whatever stops it in between.

    out/<sequence>/     the run folder of each, as `tinct.runs.segment_to_folder` writes it; of a method that
                        explains itself with the account of its decisions, why.json
    out/scores.json     the scores, frame by frame, with what made them and what it cost

The same call again goes on: a sequence that is complete is not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import torch

from tinct import zoo
from tinct.data.davis import Davis
from tinct.data.lists import DATASETS
from tinct.data.plain import PlainFolders, default_folders
from tinct.data.segtrack import SegTrack
from tinct.data.sequences import Sequence, SequenceDataset
from tinct.data.youtube_vos import YouTubeVos
from tinct.errors import DatasetError, OptionError, OutputError, WeightsError, near_match
from tinct.evaluation.beginnings import Beginning, check_max_frames
from tinct.evaluation.failures import one_error
from tinct.evaluation.results import Scores, write_scores
from tinct.evaluation.score import checked_rules, score_folders
from tinct.evaluation.workers import Failure, outcomes_of
from tinct.inference.callbacks import callbacks
from tinct.io.video import Video
from tinct.metrics import DEFAULT_BOUND_TH
from tinct.networks.dyenet.proposal_sources import check_proposals
from tinct.networks.flow_choice import FlowChoice
from tinct.runs.run_file import costs, read_account
from tinct.runs.segment_to_folder import Progress, RunInterrupted, Segmenter, segment_to_folder
from tinct.runs.segmenter_config import SegmenterChoice
from tinct.runs.traces import ACCOUNT, write_explanation

WITHOUT_SPLITS = ("segtrack-v2", "plain")
"""Datasets without lists: a split that is asked for is passed over."""


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
    """Segments sequences into run folders; it travels to a worker and makes the segmenter there, once.

    Attributes:
        choice: Which segmenter.
        info: What the account of every run says of it.
        threads: Of torch and OpenCV in this process; None leaves them as they are.
        out: Where the run folders go.
        overlay: Whether to make the films.
        max_frames: Of each sequence only so many from the beginning.
    """

    choice: SegmenterChoice
    info: Mapping[str, Any]
    threads: int | None
    out: Path
    overlay: bool
    max_frames: int | None = None

    @cached_property
    def segmenter(self) -> Segmenter:
        """The segmenter, if one serves all sequences; for those that need their own, a test of the choice."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
            cv2.setNumThreads(self.threads)
        return self.choice.for_any_video().build()

    def __call__(self, sequence: Sequence, progress: Progress | None = None) -> bool:
        """Segment a sequence; return whether it has a truth beyond what was given to the method."""
        segmenter, video = self.segmenter, open_frames(sequence)
        if self.max_frames is not None:
            video, sequence = Beginning(video, self.max_frames), sequence.thinned(1, self.max_frames)
        prompts = sequence.prompts()
        if self.choice.per_video:
            segmenter = self.choice.build(video, sequence.name, prompts)
        out = self.out / sequence.name
        with callbacks(explanation=lambda account: write_explanation(account, out / ACCOUNT)):
            segment_to_folder(
                segmenter,
                video,
                prompts,
                out,
                backward=self.choice.direction == "backward",
                resume=True,
                overlay=self.overlay,
                info={**self.info, "video": sequence.name},
                progress=progress,
                how_to_go_on="the same command",
            )
        return len(sequence.annotated) > len(prompts)


def evaluate(
    dataset: str,
    root: Path,
    split: str | None,
    out: Path,
    *,
    method: str = "feelvos",
    variant: str | None = None,
    preset: str = "default",
    weights: Path | None = None,
    device: str = "auto",
    fine_tune: str | None = None,
    flow: FlowChoice | None = None,
    proposals: str | None = None,
    options: Mapping[str, Any] | None = None,
    threads: int | None = None,
    workers: int = 1,
    resolution: str = "480p",
    sequences: Collection[str] | None = None,
    max_frames: int | None = None,
    metrics: Collection[str] | None = None,
    bound_th: float = DEFAULT_BOUND_TH,
    overlay: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Segment every sequence of a split and score the masks; called again, it goes on.

    A method is given what the benchmark allows: each object's mask in the frame in which it is first
    annotated. The masks do not depend on `workers`.

    Args:
        dataset: One of `DATASETS`; also the protocol.
        root: The dataset in its official layout.
        split: The list; passed over, and not recorded, where there are none (`WITHOUT_SPLITS`).
        out: For the runs and the scores.
        method: As for `zoo.build_segmenter`, like the next five.
        variant: None for the method's default.
        preset: `default`, `paper` or `fast`.
        weights: A safetensors file; None for the one in the package.
        device: All workers share it.
        fine_tune: How long each object is learnt; with seconds, masks depend on how busy the machine is.
        flow: For methods that use optical flow; a folder holds one of `.flo` files per sequence.
        proposals: For methods that look for objects in boxes; a folder holds one file per sequence.
        options: Fields of the method's `Options` in the place of the preset's.
        threads: Of each worker; by default torch's own number, shared by the workers.
        workers: How many processes share the sequences.
        resolution: Of DAVIS: "480p", "1080p" or "Full-Resolution".
        sequences: Only these.
        max_frames: Of each only so many from the beginning, for a trial; the scores say so.
        metrics: Of "J", "F", "T"; by default those of the protocol.
        bound_th: The tolerance of F.
        overlay: Whether to make a film of every sequence.
        progress: Told ("segment", frames done, in all), then ("score", sequences done, in all).

    Raises:
        OptionError: An unknown dataset, method, option, sequence or metric.
        WeightsError: The weights are missing or not what they should be.
        DatasetError: The dataset lacks something.
        TinctError: Sequences failed, or `out` holds other runs of their names. All others are complete,
            the message names these, and its class is that of their errors if they have one.
        RunInterrupted: Ctrl-C; the masks so far are there.
    """
    variant = zoo.check_variant(method, variant)
    split = None if dataset in WITHOUT_SPLITS else split
    chosen = read_dataset(dataset, root, split, resolution=resolution, only=sequences)
    # Now, and not after the hours that the masks take.
    checked_rules(dataset, None if metrics is None else tuple(metrics), bound_th)
    check_max_frames(max_frames)
    extras = dict(options or {})
    choice = SegmenterChoice(
        method, variant, preset, weights, device, fine_tune, flow, options=extras, proposals=proposals
    )
    info = choice.described()
    workers = max(1, min(workers, len(chosen)))
    task = SequenceSegmentation(choice, info, threads or _share(workers), out, overlay, max_frames)
    names = tuple(sequence.name for sequence in chosen)
    if proposals is not None:
        check_proposals(proposals, names)
    frames, truth = _folders(dataset, root, split, resolution)
    scores = None
    try:
        has_truth = _segment_all(task, chosen, workers, progress)
        data = {"dataset": dataset, "split": split}
        if dataset.startswith("davis"):
            data["resolution"] = resolution
        run = {**info, **data, "workers": workers, **costs(out, names)}
        if has_truth:
            scores = score_folders(
                out,
                truth,
                dataset,
                metrics=None if metrics is None else tuple(metrics),
                split=split if dataset == "youtube-vos" else None,
                sequences=names,
                bound_th=bound_th,
                allow_missing=max_frames is not None,
                workers=workers,
                progress=None if progress is None else lambda _, done, of: progress("score", done, of),
            )
            asked = {"split": split} | ({} if max_frames is None else {"max_frames": max_frames})
            scores = replace(scores, run=run, settings={**scores.settings, **asked})
            write_scores(out / "scores.json", scores, per_frame=True)
    except KeyboardInterrupt as error:
        raise RunInterrupted(_interrupted(out, chosen)) from error
    return Evaluation(out, frames, truth, names, scores, run)


def read_dataset(
    dataset: str,
    root: Path,
    split: str | None,
    *,
    resolution: str = "480p",
    only: Collection[str] | None = None,
) -> SequenceDataset:
    """The sequences of a split, each with what its annotations tell; DAVIS-2016's objects are one.

    Raises:
        OptionError: There is no such dataset or sequence, or it needs a split and none came.
        DatasetError: It lacks something.
    """
    if dataset == "segtrack-v2":
        return SegTrack(root, only=only)
    if dataset == "plain":
        return PlainFolders(*default_folders(root), only=only)
    if dataset not in DATASETS:
        raise OptionError(f"There is no dataset {dataset!r}. {near_match(dataset, DATASETS)}")
    if split is None:
        raise OptionError(f"{dataset} has several splits and none came; name one, such as 'val'.")
    if dataset == "youtube-vos":
        return YouTubeVos(root, split, only=only)
    year = dataset.removeprefix("davis-")
    return Davis(
        root,
        split,
        year=year,
        resolution=resolution,
        only=only,
        annotated="first" if split.startswith("test") else "all",
        merge_objects=year == "2016",
    )


def open_frames(sequence: Sequence) -> Video:
    """The frames of a sequence as a video, whose masks are then called as the frames are.

    Raises:
        DatasetError: Their folder holds other images too, or in another order.
        VideoError: They are of different sizes, or one has no readable header.
    """
    folder = sequence.frames[0].parent
    video = Video.open(folder)
    names = tuple(file.stem for file in sequence.frames)
    if tuple(video.names) != names:
        strangers = sorted(set(video.names) ^ set(names))
        found = (
            f"{len(strangers)} of them differ, such as {strangers[0]!r}" if strangers else "in another order"
        )
        raise DatasetError(
            f"{folder} holds {len(video)} images, and {len(names)} frames of {sequence.name!r} were expected "
            f"({found}); keep its own frames alone in it."
        )
    return video


def _segment_all(
    task: SequenceSegmentation, chosen: SequenceDataset, workers: int, progress: Progress | None
) -> bool:
    """Segment all sequences; return whether each has a truth to score against."""
    frames = _FrameCount(chosen, progress, task.max_frames)
    # One process tells of every frame; the others' news come with their results.
    function: Callable[[Sequence], bool] = (
        partial(task, progress=frames.within) if workers == 1 and progress is not None else task
    )
    truths: dict[int, bool] = {}
    failures: dict[str, Exception] = {}
    with (
        _threads_kept(),
        closing(outcomes_of(function, chosen.sequences, workers, context="spawn", name=_name)) as outcomes,
    ):
        for index, outcome in outcomes:
            if not isinstance(outcome, Failure):
                truths[index] = outcome
                frames.finished(chosen[index])
            elif isinstance(outcome.error, OptionError | WeightsError) and not truths:
                raise outcome.error  # the segmenter itself cannot be made
            else:
                failures[chosen[index].name] = outcome.error
    if failures:
        whole = len(chosen) - len(failures)
        raise one_error(
            failures,
            f"{len(failures)} of {len(chosen)} sequences failed; {whole} are complete in {task.out}.",
            "Mend these and give the same command again; it goes on from there.",
        )
    return all(truths.values())


def _share(workers: int) -> int | None:
    """The threads of one of several workers, so that all together have no more than torch would take."""
    return None if workers == 1 else max(1, torch.get_num_threads() // workers)


class _FrameCount:
    """Frames done over all sequences, for a progress bar."""

    def __init__(self, chosen: SequenceDataset, progress: Progress | None, most: int | None) -> None:
        self._progress, self._most = progress, most
        self._done, self._frames = 0, sum(len(sequence.thinned(1, most)) for sequence in chosen)

    def within(self, stage: str, done: int, frames: int) -> None:
        """Frames of the sequence that is under way, or its fine-tuning."""
        if stage == "segment":
            self._tell(self._done + done)
        elif stage == "fine-tune" and self._progress is not None:
            self._progress(stage, done, frames)

    def finished(self, sequence: Sequence) -> None:
        """One more sequence is done."""
        self._done += len(sequence.thinned(1, self._most))
        self._tell(self._done)

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress("segment", done, self._frames)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Leave this process with as many threads as it had."""
    before, before_cv2 = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv2)


def _name(sequence: Sequence) -> str:
    return f"sequence {sequence.name!r}"


def _folders(dataset: str, root: Path, split: str | None, resolution: str) -> tuple[Path, Path]:
    """Where a dataset has its frames, and where `find_truth` finds its annotations."""
    if dataset.startswith("davis"):
        return root / "JPEGImages" / resolution, root / "Annotations" / resolution
    if dataset == "youtube-vos":
        return root / str(split) / "JPEGImages", root
    return default_folders(root) if dataset == "plain" else (root / "JPEGImages", root)


def _interrupted(out: Path, chosen: SequenceDataset) -> str:
    whole = sum(_is_complete(out / sequence.name / "run.json") for sequence in chosen)
    return (
        f"Interrupted. {whole} of {len(chosen)} sequences are complete in {out}; the same command goes on "
        "from there."
    )


def _is_complete(path: Path) -> bool:
    try:
        return path.is_file() and read_account(path).get("status") == "complete"
    except OutputError:
        return False
