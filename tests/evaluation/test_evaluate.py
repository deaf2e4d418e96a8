from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from tinct import zoo
from tinct.errors import DatasetError, OptionError, OutputError, TinctError, VideoError
from tinct.evaluation import evaluate as evaluate_module
from tinct.evaluation.dataset_split import DatasetSplit, open_frames
from tinct.evaluation.evaluate import Evaluation, SequenceSegmentation, evaluate
from tinct.evaluation.report import write_report
from tinct.evaluation.results import read_scores
from tinct.evaluation.score import score_folders
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.mask_files import read_label_png, write_mask
from tinct.io.masks import ObjectMasks
from tinct.runs.segment_to_folder import RunInterrupted
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.runs.termination import Terminated
from tinct.zoo.build import LocatedWeights

H, W, FRAMES = 20, 28, 7
NAMES = ("ant", "bee", "cat")


@dataclass(frozen=True)
class DriftState:
    object_ids: tuple[int, ...]
    probs: torch.Tensor


class Drift(StreamingSegmenter[DriftState]):
    """Lets the masks drift with the frames' brightness; takes new objects as they are painted."""

    device = "cpu"

    def start(self, frame: np.ndarray, labels: np.ndarray) -> DriftState:
        masks = ObjectMasks.from_label_map(labels)
        return DriftState(masks.object_ids, torch.from_numpy(masks.probs))

    def step(
        self, state: DriftState, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[DriftState, ObjectMasks]:
        shift = 1 + int(frame.mean()) % 2
        probs, ids = state.probs.roll(shift, dims=2), state.object_ids
        if labels is not None:
            new = ObjectMasks.from_label_map(labels)
            ids, probs = (*ids, *new.object_ids), torch.cat([probs, torch.from_numpy(new.probs)])
        return DriftState(ids, probs), ObjectMasks(ids, probs.numpy())


class Idle(Drift):
    """Must not be asked for anything."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> DriftState:
        raise AssertionError("this sequence was complete")


@dataclass
class CheapSegmentation(SequenceSegmentation):
    """The real thing but for its segmenter; a class of this file reaches the workers too."""

    @cached_property
    def segmenter(self) -> Drift:
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.config.device == "nowhere":
            raise OptionError(f"no device {self.config.device!r}")
        return Drift()


@pytest.fixture
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    monkeypatch.setattr(evaluate_module, "SequenceSegmentation", CheapSegmentation)
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: LocatedWeights(Path("w"), "ab" * 32))


def truth_at(index: int, ids: tuple[int, ...] = (1, 2)) -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    for i, object_id in enumerate(ids):
        labels[2 + 9 * i : 8 + 9 * i, 2 + index : 9 + index] = object_id
    return labels


def write_sequence(
    frames: Path, masks: Path, seed: int, *, every: int = 1, annotated: tuple[int, ...] | None = None
) -> None:
    """A sequence of `FRAMES` JPEGs whose brightness differs, with two squares that wander."""
    frames.mkdir(parents=True)
    masks.mkdir(parents=True)
    draws = np.random.default_rng(seed)
    for index in range(FRAMES):
        frame = draws.integers(0, 256, (H, W, 3), np.uint8)
        Image.fromarray(frame).save(frames / f"{every * index:05d}.jpg")
        if annotated is None or index in annotated:
            write_mask(masks / f"{every * index:05d}.png", truth_at(index))


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """DAVIS-2016 and 2017 in one, with three sequences; test-dev's truth is its first frame."""
    root = tmp_path / "DAVIS"
    for seed, name in enumerate((*NAMES, "dog")):
        annotated = (0,) if name == "dog" else None
        folders = (root / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
        write_sequence(*folders, seed, annotated=annotated)
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "val.txt").write_text("\n".join(NAMES))
    (root / "ImageSets" / "2017" / "test-dev.txt").write_text("dog\n")
    return root


def val(root: Path, **options: Any) -> DatasetSplit:
    return DatasetSplit("davis-2017", root, "val", **options)


def masks_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("*/masks/*.png"))}


def run_record(out: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / name / "run.json").read_text())
    return content


@pytest.mark.usefixtures("_cheap")
def test_a_split_is_segmented_and_scored(davis: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluation = evaluate(val(davis), SegmenterConfig(), out)
    assert (evaluation.sequences, evaluation.note) == (NAMES, "")
    assert sorted(path.name for path in out.iterdir()) == [*NAMES, "scores.json"]
    assert sorted(path.stem for path in (out / "bee" / "masks").iterdir()) == [
        f"{i:05d}" for i in range(FRAMES)
    ]
    scores = evaluation.scores
    assert scores is not None
    alone = score_folders(out, davis / "Annotations" / "480p", "davis-2017", sequences=NAMES)
    assert scores.sequences == alone.sequences
    assert scores.frames_scored == 3 * (FRAMES - 2)
    assert read_scores(out / "scores.json") == scores
    assert scores.settings["split"] == "val"


@pytest.mark.usefixtures("_cheap")
def test_the_scores_say_what_made_them_and_what_it_cost(davis: Path, tmp_path: Path) -> None:
    evaluation = evaluate(val(davis), SegmenterConfig(), tmp_path / "out", threads=1)
    run = dict(evaluation.run)
    records = [run_record(tmp_path / "out", name) for name in NAMES]
    seconds = [s for a in records for s in a["seconds_per_frame"]["values"]]
    assert len(seconds) == 3 * FRAMES
    assert run.pop("seconds_per_frame") == pytest.approx(np.median(seconds), abs=1e-5)
    assert run.pop("peak_memory_mb") == max(a["peak_memory_mb"] for a in records)
    versions = records[0]["versions"]
    run.pop("backend", None)  # of this processor's choice
    assert run == {
        "method": "feelvos",
        "variant": "mobilenetv2",
        "preset": "default",
        "weights_sha256": "ab" * 32,
        "dataset": "davis-2017",
        "split": "val",
        "resolution": "480p",
        "workers": 1,
        "device": "cpu",
        "threads": 1,
        "frames": 3 * FRAMES,
        "platform": records[0]["platform"],
        **versions,
    }


@pytest.mark.usefixtures("_cheap")
def test_davis_2016_merges_all_objects(davis: Path, tmp_path: Path) -> None:
    evaluation = evaluate(
        DatasetSplit("davis-2016", davis, "val", sequences=["bee"]),
        SegmenterConfig(),
        tmp_path / "out",
        metrics=["J"],
    )
    labels = read_label_png(tmp_path / "out" / "bee" / "masks" / "00000.png")
    np.testing.assert_array_equal(labels, truth_at(0) != 0)
    scores = evaluation.scores
    assert scores is not None
    assert (scores.merged, scores.measures) == (True, ("J",))
    assert [s.name for s in scores.sequences] == ["bee"]
    shows_pictures_of_frames(evaluation)


@pytest.mark.usefixtures("_cheap")
def test_what_is_complete_is_not_computed_again(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    evaluate(val(davis), SegmenterConfig(), out)
    before = (out / "scores.json").read_bytes()
    monkeypatch.setattr(CheapSegmentation, "segmenter", Idle())
    # Another number of threads leaves the record of the first run, which was timed, as it is.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    evaluate(val(davis), SegmenterConfig(), out)
    assert (out / "scores.json").read_bytes() == before


@pytest.mark.usefixtures("_cheap")
def test_an_interrupted_evaluation_goes_on_to_the_same_masks(davis: Path, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, _frames: int) -> None:
        if (stage, done) == ("segment", FRAMES + 3):
            raise Terminated(signal.SIGTERM)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    evaluate(val(davis), SegmenterConfig(), whole)
    says = r"1 of 3 sequences are complete in .*the same command goes on"
    with pytest.raises(RunInterrupted, match=says) as got:
        evaluate(val(davis), SegmenterConfig(), cut, progress=interrupt)
    assert got.value.signal_number == signal.SIGTERM
    assert run_record(cut, "bee")["status"] == "interrupted"
    assert not (cut / "scores.json").exists()
    evaluate(val(davis), SegmenterConfig(), cut)
    assert run_record(cut, "bee")["resumed_at"] == 3
    assert masks_of(cut) == masks_of(whole)
    assert read_scores(cut / "scores.json").sequences == read_scores(whole / "scores.json").sequences


@pytest.mark.usefixtures("_cheap")
def test_progress_tells_of_frames_then_of_scores(davis: Path, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    evaluate(
        val(davis),
        SegmenterConfig(),
        tmp_path,
        progress=lambda *call: calls.append(call),
    )
    frames = [done for stage, done, of in calls if stage == "segment" and of == 3 * FRAMES]
    assert frames == sorted(frames)
    assert set(frames) == set(range(3 * FRAMES + 1))
    assert calls[-3:] == [("score", 1, 3), ("score", 2, 3), ("score", 3, 3)]


@pytest.mark.usefixtures("_cheap")
def test_two_workers_give_the_masks_of_one(davis: Path, tmp_path: Path) -> None:
    # A broken frame of one sequence leaves the others to both.
    broken = davis / "JPEGImages" / "480p" / "cat" / "00004.jpg"
    good = broken.read_bytes()
    broken.write_bytes(good[:-200])
    one, two = tmp_path / "one", tmp_path / "two"
    for out, workers in ((one, 1), (two, 2)):
        with pytest.raises(VideoError, match="1 of 3 sequences failed; 2 are complete") as caught:
            evaluate(val(davis), SegmenterConfig(), out, workers=workers, threads=1)
        assert "cat: Frame" in str(caught.value)
        assert "the same command goes on from there" in str(caught.value)
        assert "--resume" not in str(caught.value)
        assert [run_record(out, name)["status"] for name in NAMES] == ["complete", "complete", "failed"]
    assert len(masks_of(one)) == 2 * FRAMES + 4
    assert masks_of(one) == masks_of(two)
    broken.write_bytes(good)
    evaluations = [evaluate(val(davis), SegmenterConfig(), out, threads=1) for out in (one, two)]
    assert evaluations[0].scores is not None
    assert evaluations[1].scores is not None
    assert evaluations[0].scores.sequences == evaluations[1].scores.sequences
    assert evaluations[1].run["threads"] == 1


@pytest.mark.usefixtures("_cheap")
def test_another_run_is_refused_by_the_names_of_its_sequences(davis: Path, tmp_path: Path) -> None:
    evaluate(val(davis, sequences=["ant"]), SegmenterConfig(), tmp_path)
    with pytest.raises(OutputError, match=r"1 of 3 sequences failed.*\n  ant: .*another run \(preset"):
        evaluate(val(davis), SegmenterConfig(preset="fast"), tmp_path)


@pytest.mark.usefixtures("_cheap")
def test_failures_of_several_kinds_are_counted(davis: Path, tmp_path: Path) -> None:
    (davis / "JPEGImages" / "480p" / "ant" / "00001.jpg").write_bytes(b"")
    for name in ("bee", "cat"):
        write_mask(davis / "Annotations" / "480p" / name / "00000.png", np.zeros((H, W), np.uint8))
    with pytest.raises(TinctError, match="3 of 3 sequences failed; 0 are complete") as caught:
        evaluate(val(davis), SegmenterConfig(), tmp_path)
    assert type(caught.value) is TinctError
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:4]] == list(NAMES)


@pytest.mark.usefixtures("_cheap")
def test_a_segmenter_that_cannot_be_made_is_reported_at_once(davis: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^no device 'nowhere'$"):
        evaluate(val(davis), SegmenterConfig(device="nowhere"), tmp_path)
    with pytest.raises(OptionError, match=r"^feelvos mobilenetv2 has no preset 'none'\."):
        evaluate(val(davis), SegmenterConfig(preset="none"), tmp_path)


@pytest.mark.usefixtures("_cheap")
def test_a_split_without_truth_is_for_the_server(davis: Path, tmp_path: Path) -> None:
    evaluation = evaluate(DatasetSplit("davis-2017", davis, "test-dev"), SegmenterConfig(), tmp_path / "out")
    assert evaluation.scores is None
    assert "tinct pack" in evaluation.note
    assert len(masks_of(tmp_path / "out")) == FRAMES
    assert not (tmp_path / "out" / "scores.json").exists()


@pytest.mark.usefixtures("_cheap")
def test_youtube_vos_gives_every_object_where_it_starts(tmp_path: Path) -> None:
    root, meta = tmp_path / "YouTube", {}
    for seed, name in enumerate(("0a", "0b")):
        folders = [root / "train" / kind / name for kind in ("JPEGImages", "Annotations")]
        write_sequence(folders[0], folders[1], seed, every=5)
        for index in range(3):  # object 2 comes with the fourth frame
            write_mask(folders[1] / f"{5 * index:05d}.png", truth_at(index, (1,)))
        meta[name] = {"objects": {"1": {"category": "ant"}, "2": {"category": "bee"}}}
    (root / "train" / "meta.json").write_text(json.dumps({"videos": meta}))
    out = tmp_path / "out"
    evaluation = evaluate(DatasetSplit("youtube-vos", root, "train"), SegmenterConfig(), out)
    prompts = run_record(out, "0a")["run"]["prompts"]
    assert list(prompts) == ["0", "3"]
    assert (out / "0a" / "masks" / "00030.png").exists()
    assert set(np.unique(read_label_png(out / "0a" / "masks" / "00010.png"))) == {0, 1}
    assert set(np.unique(read_label_png(out / "0a" / "masks" / "00015.png"))) == {0, 1, 2}
    assert evaluation.scores is not None
    assert set(evaluation.scores.groups) == {"seen"}
    shows_pictures_of_frames(evaluation)


@pytest.mark.usefixtures("_cheap")
def test_youtube_vos_with_first_annotations_alone_has_no_truth(tmp_path: Path) -> None:
    folders = [tmp_path / "valid" / kind / "0a" for kind in ("JPEGImages", "Annotations")]
    write_sequence(folders[0], folders[1], 0, every=5, annotated=(0, 3))
    write_mask(folders[1] / "00000.png", truth_at(0, (1,)))
    assert (
        evaluate(DatasetSplit("youtube-vos", tmp_path, "valid"), SegmenterConfig(), tmp_path / "out").scores
        is None
    )


def shows_pictures_of_frames(evaluation: Evaluation) -> None:
    """Whether a report finds masks, truth and frames by what the evaluation says."""
    assert evaluation.scores is not None
    page = evaluation.out / "report.html"
    found = {"predictions": evaluation.out, "truth": evaluation.truth, "frames": evaluation.frames}
    write_report(evaluation.scores, page, **found)
    assert "data:image/jpeg" in page.read_text()
    assert "ground is grey" not in page.read_text()


@pytest.mark.usefixtures("_cheap")
def test_segtrack_and_plain_folders_need_no_split(tmp_path: Path) -> None:
    root = tmp_path / "SegTrack"
    write_sequence(root / "JPEGImages" / "frog", root / "GroundTruth" / "frog", 0)
    for index in range(FRAMES):
        cv2.imwrite(
            str(root / "GroundTruth" / "frog" / f"{index:05d}.png"),
            np.repeat((truth_at(index) == 1)[..., None] * np.uint8(255), 3, axis=2),
        )
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "all.txt").write_text("*frog\n")
    write_sequence(tmp_path / "own" / "frames" / "x", tmp_path / "own" / "masks" / "x", 0)
    for dataset, folder in (("segtrack-v2", root), ("plain", tmp_path / "own")):
        evaluation = evaluate(DatasetSplit(dataset, folder, "val"), SegmenterConfig(), tmp_path / dataset)
        assert evaluation.scores is not None
        assert len(evaluation.scores.sequences) == 1
        assert (evaluation.scores.settings["split"], evaluation.run["split"]) == (None, None)
        shows_pictures_of_frames(evaluation)


def test_unknown_names_are_refused(davis: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'davis-2017'"):
        _ = DatasetSplit("davis-2018", davis, "val").videos
    with pytest.raises(OptionError, match="name one"):
        _ = DatasetSplit("davis-2017", davis).videos
    with pytest.raises(OptionError, match="feelvos"):
        evaluate(val(davis), SegmenterConfig("feelvoz"), davis / "out")
    assert not (davis / "out").exists()


def test_frames_are_called_as_in_the_dataset(davis: Path) -> None:
    sequence = val(davis).videos[0]
    assert tuple(open_frames(sequence).names) == tuple(f"{i:05d}" for i in range(FRAMES))
    shutil.copy(sequence.frames[0], sequence.frames[0].with_name("extra.jpg"))
    with pytest.raises(DatasetError, match=r"8 images, and 7 frames of 'ant'.*'extra'"):
        open_frames(sequence)
    turned = replace(sequence, frames=sequence.frames[::-1])
    sequence.frames[0].with_name("extra.jpg").unlink()
    with pytest.raises(DatasetError, match="in another order"):
        open_frames(turned)


@pytest.fixture
def threads_kept() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_feelvos_from_the_package_end_to_end(davis: Path, tmp_path: Path, threads_kept: int) -> None:
    for folder in ("JPEGImages", "Annotations"):
        for path in (davis / folder / "480p" / "ant").glob("0000[4-9].*"):
            path.unlink()
    evaluation: Evaluation = evaluate(
        DatasetSplit("davis-2016", davis, "val", sequences=["ant"]),
        SegmenterConfig(device="cpu"),
        tmp_path / "out",
        metrics=["J", "F"],
        threads=1,
        overlay=True,
    )
    assert evaluation.scores is not None
    assert 0 <= evaluation.scores.j_and_f <= 1
    assert (tmp_path / "out" / "ant" / "overlay.mp4").exists()
    card = zoo.weights_record("feelvos", "mobilenetv2")
    assert card is not None
    assert evaluation.run["weights_sha256"] == card.sha256
    # What the evaluation took for itself is given back.
    assert torch.get_num_threads() == threads_kept
