from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dying_score import dying_at_b
from PIL import Image as Pictures

from tinct.errors import DatasetError, MaskError, OptionError, TinctError, WorkerError
from tinct.evaluation import score
from tinct.evaluation.results import Scores, Statistics
from tinct.evaluation.score import score_folders, scoring_rules
from tinct.evaluation.tables import rule_lines
from tinct.io.mask_files import write_mask
from tinct.metrics import contour_accuracy, describe_contour, instability, region_similarity

SIZE = (120, 160)
Labels = np.ndarray


def rectangle(top: int, bottom: int, left: int, right: int, object_id: int = 1) -> Labels:
    labels = np.zeros(SIZE, np.uint8)
    labels[top:bottom, left:right] = object_id
    return labels


def over(*layers: Labels) -> Labels:
    labels = np.zeros(SIZE, np.uint8)
    for layer in layers:
        labels[layer != 0] = layer[layer != 0]
    return labels


EMPTY = rectangle(0, 0, 0, 0)
R = rectangle(30, 80, 40, 110)
HALF = rectangle(30, 55, 40, 110)
SHIFTED = rectangle(33, 83, 45, 115)


def write(folder: Path, sequences: Mapping[str, Sequence[Labels | None]]) -> Path:
    """A folder of palette PNGs; None leaves a frame out."""
    for name, frames in sequences.items():
        (folder / name).mkdir(parents=True)
        for index, labels in enumerate(frames):
            if labels is not None:
                write_mask(folder / name / f"{index:05d}.png", labels)
    return folder


Scorer = Callable[..., Scores]


@pytest.fixture
def scored(tmp_path: Path) -> Scorer:
    """Write predictions and truth, and score them."""

    def run(
        predicted: Mapping[str, Sequence[Labels | None]],
        true: Mapping[str, Sequence[Labels | None]],
        protocol: str,
        metrics: Sequence[str] | None = None,
        compat: str | None = None,
        **options: object,
    ) -> Scores:
        folders = write(tmp_path / "pred", predicted), write(tmp_path / "gt", true)
        return score_folders(*folders, scoring_rules(protocol, metrics, compat=compat), **options)

    return run


def frame_values(scores: Scores, measure: str, sequence: int = 0, position: int = 0) -> tuple[float, ...]:
    frames = scores.sequences[sequence].objects[position].frames
    assert frames is not None
    return frames.values[measure]


def test_the_toolkits_values_per_frame(scored: Scorer) -> None:
    truth = [EMPTY, R, R, R, R, EMPTY, EMPTY, EMPTY, EMPTY]
    predicted = [EMPTY, R, SHIFTED, HALF, EMPTY, EMPTY, R, EMPTY, EMPTY]
    scores = scored({"a": predicted}, {"a": truth}, "davis-2016", metrics=["J", "F"])
    expected_j = (1, 0.774398, 0.5, 0, 1, 0, 1)
    expected_f = (1, 0.041667, 0.581395, 0, 1, 0, 1)
    assert frame_values(scores, "J") == pytest.approx(expected_j, abs=1e-6)
    assert frame_values(scores, "F") == pytest.approx(expected_f, abs=1e-6)
    assert scores.sequences[0].objects[0].frames is not None
    assert scores.sequences[0].objects[0].frames.names == tuple(f"{i:05d}" for i in range(1, 8))
    assert scores.frames_scored == 7
    assert scores.statistics["J"].mean == pytest.approx(np.mean(expected_j), abs=1e-6)


HALVED = 5 * 0.239114
"""T of the step from R to HALF, or back."""


def test_stability_is_that_of_each_step_and_its_mean(scored: Scorer) -> None:
    scores = scored({"a": [R, R, R, HALF, EMPTY, R]}, {"a": [R] * 6}, "davis-2017", metrics=["T"])
    steps = frame_values(scores, "T")
    assert math.isnan(steps[0])
    assert steps[1:3] == pytest.approx((0, HALVED), abs=1e-5)
    assert math.isnan(steps[3])
    assert scores.statistics["T"].mean == pytest.approx(HALVED / 2, abs=1e-5)
    assert scores.measures == ("T",)


def test_stability_of_davis_2016_is_of_all_steps(scored: Scorer) -> None:
    """From the given frame, whatever the method made of it, to the last one, which J and F skip."""
    predicted = [EMPTY, HALF, HALF, SHIFTED, R]
    scores = scored({"a": predicted}, {"a": [R] * 5}, "davis-2016")
    back = frame_values(scores, "T")[2]
    assert back > 0
    assert frame_values(scores, "T") == pytest.approx((HALVED, 0, back, 0), abs=1e-5)
    assert scores.statistics["T"].mean == pytest.approx((HALVED + back) / 4, abs=1e-5)
    assert scores.settings["t_steps"] == "all"
    assert scores.rule.endswith("T is of all steps from frame to frame, the first and the last included")
    # What J and F score is as before.
    assert scores.frames_scored == 3
    assert [math.isnan(value) for value in frame_values(scores, "J")] == [False, False, False, True]
    assert scores.statistics["J"].mean == pytest.approx((0.5 + 0.5 + 0.774398) / 3, abs=1e-6)


def test_stability_of_steps_that_are_not_there_is_left_out(scored: Scorer) -> None:
    truth = {"a": [R] * 5, "b": [R] * 5}
    frames = {"a": [R, HALF, R, HALF, None], "b": [R, None, HALF, HALF, HALF]}
    scores = scored(frames, truth, "davis-2016", metrics=["T"], allow_missing=True)
    a, b = (sequence.objects[0].statistics["T"].mean for sequence in scores.sequences)
    assert a > HALVED / 2
    assert b == 0


def test_stability_between_scored_frames_on_request(scored: Scorer, tmp_path: Path) -> None:
    scored({"a": [R, HALF, HALF, R, HALF]}, {"a": [R] * 5}, "davis-2016", metrics=["T"])
    rules = scoring_rules("davis-2016", ["J", "T"], compat="davis-2016-python")
    scores = score_folders(tmp_path / "pred", tmp_path / "gt", rules)
    steps = frame_values(scores, "T")
    assert math.isnan(steps[0])
    assert steps[1] == 0
    assert len(steps) == 3
    assert scores.statistics["T"].mean == pytest.approx(steps[2] / 2)
    assert scores.settings["t_steps"] == "between scored frames"
    assert "but the first and the last" in scores.rule


def test_stability_as_the_matlab_toolkit_has_it(scored: Scorer, tmp_path: Path) -> None:
    """From the given frame to the last scored one, angles from the rows' axis."""
    bent = over(rectangle(20, 90, 30, 60), rectangle(70, 90, 30, 120))
    frames = [bent, HALF, R, bent, HALF]
    scored({"a": frames}, {"a": [bent] * 5}, "davis-2016", metrics=["T"])
    rules = scoring_rules("davis-2016", ["T"], compat="davis-2016-matlab")
    scores = score_folders(tmp_path / "pred", tmp_path / "gt", rules)
    contours = [describe_contour(labels > 0, from_rows=True) for labels in frames[:4]]
    steps = [instability(*pair) for pair in pairwise(contours)]
    assert frame_values(scores, "T") == pytest.approx(steps)
    assert scores.statistics["T"].mean == pytest.approx(np.mean(steps))
    assert scores.settings["t_steps"] == "to scored frames"


def test_davis_2016_leaves_t_out_where_there_is_strong_occlusion(scored: Scorer) -> None:
    frames = [R, R, HALF, R]
    scores = scored(
        {"bear": frames, "bmx-bumps": [R] * 4}, {"bear": [R] * 4, "bmx-bumps": [R] * 4}, "davis-2016"
    )
    assert "T" in scores.sequences[0].statistics
    assert "T" not in scores.sequences[1].statistics
    assert scores.statistics["T"].mean == scores.sequences[0].statistics["T"].mean
    assert scores.to_json()["T"].keys() == {"mean"}


@pytest.mark.parametrize(
    ("protocol", "frames"),
    [
        ("davis-2016", (1, 2, 3)),
        ("davis-2017", (1, 2, 3)),
        ("youtube-vos", (1, 2, 3, 4)),
        ("plain", range(5)),
    ],
)
def test_each_protocol_skips_its_frames(scored: Scorer, protocol: str, frames: Sequence[int]) -> None:
    scores = scored({"a": [R] * 5}, {"a": [R] * 5}, protocol, metrics=["J"])
    assert scores.sequences[0].objects[0].frames is not None
    assert scores.sequences[0].objects[0].frames.names == tuple(f"{i:05d}" for i in frames)


def two_sequences() -> tuple[dict[str, list[Labels]], dict[str, list[Labels]]]:
    """Truth of one object beside two; the predictions find 1, and (0.5, 0) of them."""
    one, two = R, over(R, rectangle(90, 110, 10, 40, 3))
    return {"a": [one] * 4, "b": [over(HALF)] * 4}, {"a": [one] * 4, "b": [two] * 4}


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("davis-2016", (1 + 1750 / 4100) / 2), ("davis-2017", (1 + 0.5 + 0) / 3), ("plain", (1 + 0.5 + 0) / 3)],
)
def test_each_protocol_averages_in_its_way(scored: Scorer, protocol: str, expected: float) -> None:
    scores = scored(*two_sequences(), protocol)
    assert scores.statistics["J"].mean == pytest.approx(expected)


def test_objects_keep_their_ids(scored: Scorer) -> None:
    scores = scored(*two_sequences(), "davis-2017")
    assert [o.object_id for o in scores.sequences[1].objects] == [1, 3]
    assert scores.to_json()["sequences"]["b"]["objects"].keys() == {"1", "3"}


def test_a_late_object_counts_from_its_first_frame(scored: Scorer) -> None:
    late = rectangle(90, 110, 10, 40, 2)
    truth = [R, R, R, over(R, late), over(R, late), over(R, late)]
    predicted = [R, R, over(R, late), over(R, late), over(R, late), R]
    scores = scored({"a": predicted}, {"a": truth}, "davis-2017", metrics=["J"])
    assert frame_values(scores, "J", 0, 1) == (0, 1, 1)


def test_under_youtube_vos_it_counts_after_its_first_frame(scored: Scorer) -> None:
    late = rectangle(90, 110, 10, 40, 2)
    truth = [R, R, R, over(R, late), over(R, late), over(R, late)]
    predicted = [R, R, over(R, late), R, over(R, late), R]
    scores = scored({"a": predicted}, {"a": truth}, "youtube-vos", metrics=["J"])
    assert frame_values(scores, "J", 0, 1) == (1, 0)
    assert len(frame_values(scores, "J", 0, 0)) == 5


def write_meta(split: Path, categories: Mapping[str, Sequence[str | None]]) -> None:
    """A meta.json of YouTube-VOS; the categories of each video's objects 1, 2, ..."""
    videos = {
        video: {
            "objects": {
                str(number): {"frames": ["00000"], **({} if name is None else {"category": name})}
                for number, name in enumerate(of, start=1)
            }
        }
        for video, of in categories.items()
    }
    split.mkdir(parents=True, exist_ok=True)
    (split / "meta.json").write_text(json.dumps({"videos": videos}))


@pytest.mark.parametrize(("seen", "expected"), [(True, ((1 + 0.5) / 2 + 0) / 2), (False, 0.5)])
def test_youtube_vos_averages_seen_and_unseen_categories(tmp_path: Path, seen: bool, expected: float) -> None:
    root = tmp_path / "YouTubeVOS"
    both = over(R, rectangle(90, 110, 10, 40, 2))
    write(root / "valid" / "Annotations", {"a": [both] * 3, "b": [R] * 3})
    (root / "valid" / "JPEGImages").mkdir()
    write_meta(root / "valid", {"a": ["cow", "yak"], "b": ["dog"]})
    write_meta(root / "train", {"x": ["cow"], "y": ["dog" if seen else None]})
    if not seen:
        (root / "train" / "meta.json").unlink()
    pred = write(tmp_path / "pred", {"a": [R] * 3, "b": [HALF] * 3})
    for truth, split in ((root, "valid"), (root / "valid", None), (root / "valid" / "Annotations", None)):
        scores = score_folders(pred, truth, "youtube-vos", split=split)
        assert scores.statistics["J"].mean == pytest.approx(expected)
        assert scores.groups.keys() == ({"seen", "unseen"} if seen else set())
        assert ("no meta.json of train" in scores.rule) == (not seen)


def test_void_in_the_truth_is_background(scored: Scorer) -> None:
    truth = over(R, rectangle(90, 110, 10, 40, 255))
    for_both = {"a": [truth] * 4}
    (scores,) = (scored({"a": [R] * 4}, for_both, "davis-2017"),)
    assert [o.object_id for o in scores.sequences[0].objects] == [1]
    assert scores.statistics["J"].mean == 1


def test_davis_2016s_own_masks_of_0_and_255_are_one_object(tmp_path: Path) -> None:
    for folder, shape in (("pred", HALF), ("gt", R)):
        (tmp_path / folder / "bear").mkdir(parents=True)
        for index in range(4):
            Pictures.fromarray(shape * 255).save(tmp_path / folder / "bear" / f"{index:05d}.png")
    scores = score_folders(tmp_path / "pred", tmp_path / "gt", scoring_rules("davis-2016", ["J"]))
    assert scores.statistics["J"].mean == 0.5


def official(predicted: Sequence[Labels], true: Sequence[Labels]) -> list[tuple[float, ...]]:
    """Per object J and F mean, recall, decay as davis2017-evaluation has them, in plain loops."""
    rows = []
    for object_id in range(1, int(true[0].max()) + 1):
        row: list[float] = []
        for measure in (region_similarity, contour_accuracy):
            values = np.array(
                [measure(p == object_id, t == object_id) for p, t in zip(predicted, true, strict=True)][1:-1]
            )
            borders = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(np.int64).astype(np.uint8)
            bins = [values[borders[i] : borders[i + 1] + 1] for i in range(4)]
            means = [float(b.mean()) if len(b) else math.nan for b in bins]
            row += [float(values.mean()), float((values > 0.5).mean()), means[0] - means[3]]
        rows.append(tuple(row))
    return rows


def as_row(statistics: Mapping[str, Statistics]) -> tuple[float, ...]:
    return tuple(v for m in "JF" for v in (statistics[m].mean, statistics[m].recall, statistics[m].decay))


def test_the_toolkits_counting_of_objects_is_reproduced_on_request(scored: Scorer) -> None:
    late = rectangle(5, 25, 10, 40, 3)
    gap = over(R, rectangle(90, 110, 10, 40, 4))
    truth = [gap, gap, gap, over(gap, late), over(gap, late), gap]
    predicted = [over(HALF, rectangle(90, 110, 20, 50, 4))] * 6
    scores = scored({"a": predicted}, {"a": truth}, "davis-2017", compat="davis2017-evaluation")
    found = scores.sequences[0].objects
    assert [o.object_id for o in found] == [1, 2, 3, 4]
    expected = official(predicted, truth)
    for scores_of_object, row in zip(found, expected, strict=True):
        assert as_row(scores_of_object.statistics) == pytest.approx(row, abs=1e-9)
    assert found[1].statistics["J"].mean == 1


def test_the_gap_and_the_late_object_are_right_by_default(scored: Scorer) -> None:
    late = rectangle(5, 25, 10, 40, 3)
    gap = over(R, rectangle(90, 110, 10, 40, 4))
    truth = [gap, gap, gap, over(gap, late), over(gap, late), gap]
    scores = scored({"a": [gap] * 6}, {"a": truth}, "davis-2017")
    assert {o.object_id: o.statistics["J"].mean for o in scores.sequences[0].objects} == {1: 1, 3: 0, 4: 1}


def test_the_decay_of_long_sequences_wraps_on_request_only(scored: Scorer, tmp_path: Path) -> None:
    truth = [rectangle(0, 2, 0, 2)] * 303
    predicted = [rectangle(0, 2, 0, 2 if index < 200 else 1) for index in range(303)]
    scores = scored({"a": predicted}, {"a": truth}, "davis-2017", metrics=["J"])
    assert scores.statistics["J"].decay == pytest.approx(0.5)
    rules = scoring_rules("davis-2017", ["J"], compat="davis2017-evaluation")
    wrapped = score_folders(tmp_path / "pred", tmp_path / "gt", rules)
    assert wrapped.statistics["J"].decay != pytest.approx(0.5, abs=0.1)


def test_every_file_is_read_once(scored: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = Path.read_bytes

    def counting(path: Path) -> bytes:
        opened.append(str(path))
        return original(path)

    def by_pillow(path: str | Path, *args: object, **kwargs: object) -> None:
        raise AssertionError(f"{path} is a plain PNG")

    monkeypatch.setattr(Path, "read_bytes", counting)
    monkeypatch.setattr(Pictures, "open", by_pillow)
    scored({"a": [R] * 5}, {"a": [R] * 5}, "davis-2017", metrics=["J", "F", "T"])
    assert len(opened) == len(set(opened))
    assert sum("pred" in path for path in opened) == 3


def test_workers_change_nothing(scored: Scorer, tmp_path: Path) -> None:
    predicted = {name: [R, HALF, SHIFTED, R] for name in "abc"}
    one = scored(predicted, {name: [R] * 4 for name in "abc"}, "davis-2017", metrics=["J", "F"])
    seen: list[str] = []
    two = score_folders(
        tmp_path / "pred",
        tmp_path / "gt",
        scoring_rules("davis-2017", ["J", "F"]),
        workers=2,
        progress=lambda scores, done, of: seen.append(f"{scores.name} {of}"),
    )
    assert two.to_json(per_frame=True) == one.to_json(per_frame=True)
    assert sorted(seen) == ["a 3", "b 3", "c 3"]


FULL: dict[str, list[Labels | None]] = {"a": [R] * 5, "b": [R] * 5}


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ({"a": [R] * 5}, r"1 sequence\(s\) have no prediction: b"),
        ({**FULL, "c": [R] * 5}, r"1 predicted sequence\(s\) have no truth: c"),
        ({**FULL, "a": [R, R, None, None, R]}, r"2 frame\(s\) have no prediction: a/00002, a/00003"),
        ({**FULL, "a": [R] * 6}, r"1 predicted frame\(s\) have no truth: a/00005\n.*swapped"),
        ({**FULL, "a": [None, R, R, None, R, R]}, "numbered differently"),
        ({"x": [R] * 5, "y": [R] * 5}, "None of the sequences.*swapped"),
    ],
)
def test_what_does_not_go_together_is_listed(
    scored: Scorer, predicted: Mapping[str, Sequence[Labels | None]], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        scored(predicted, FULL, "davis-2017")


def test_the_given_frames_need_no_prediction(scored: Scorer) -> None:
    scores = scored({"a": [None, R, R, R, None]}, {"a": [R] * 5}, "davis-2017")
    assert scores.frames_scored == 3


def test_what_is_there_is_scored_on_request(scored: Scorer) -> None:
    predicted = {"a": [R, R, None, R, R, R], "c": [R]}
    truth = {"a": [R] * 6, "b": [R] * 6}
    scores = scored(predicted, truth, "davis-2017", metrics=["J", "T"], allow_missing=True)
    assert scores.settings["missing_sequences"] == ["b"]
    assert scores.settings["extra_sequences"] == ["c"]
    assert scores.settings["extra_frames"] == []
    assert scores.sequences[0].missing_frames == ("00002",)
    assert scores.sequences[0].frames_scored == 3
    steps = frame_values(scores, "T")
    assert [math.isnan(step) for step in steps] == [True, True, False]


def test_a_split_takes_its_sequences_from_the_datasets_list(tmp_path: Path) -> None:
    root = tmp_path / "DAVIS"
    write(root / "Annotations" / "480p", {name: [R] * 4 for name in ("a", "b", "c")})
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("a\nc\n")
    pred = write(tmp_path / "pred", {name: [HALF] * 4 for name in ("a", "b", "c")})
    for truth in (root, root / "Annotations" / "480p"):
        scores = score_folders(pred, truth, "davis-2017", split="val")
        assert [sequence.name for sequence in scores.sequences] == ["a", "c"]
    (one,) = score_folders(pred, root, "davis-2017", split="val", sequences=["c"]).sequences
    assert one.name == "c"
    with pytest.raises(OptionError, match="'b' is not in split 'val'"):
        score_folders(pred, root, "davis-2017", split="val", sequences=["c", "b"])
    with pytest.raises(OptionError, match="SegTrack v2 has no splits"):
        score_folders(pred, root, "segtrack-v2", split="val")
    with pytest.raises(DatasetError, match=r"train\.txt"):
        score_folders(pred, root, "davis-2017", split="train")
    with pytest.raises(OptionError, match="ImageSets"):
        score_folders(write(tmp_path / "other", {"a": [R] * 4}), pred, "davis-2017", split="val")


def test_two_folders_of_masks_are_one_sequence_whatever_they_are_called(tmp_path: Path) -> None:
    write(tmp_path, {"mine": [R] * 3, "theirs": [HALF] * 3})
    scores = score_folders(tmp_path / "mine", tmp_path / "theirs", "plain")
    assert scores.statistics["J"].mean == 0.5
    assert [sequence.name for sequence in scores.sequences] == ["theirs"]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (over(R, rectangle(0, 5, 0, 5, 2)), MaskError, r"truth lacks: 2 \(first in frame 00001\).*ids are 1"),
        (over(R, rectangle(0, 5, 0, 5, 255)), MaskError, "255"),
        (R[:-1], MaskError, "119×160.*120×160"),
    ],
)
def test_a_prediction_that_cannot_be_scored_is_refused(
    scored: Scorer, labels: Labels, error: type[TinctError], message: str
) -> None:
    with pytest.raises(error, match=message):
        scored({"a": [labels] * 4}, {"a": [R] * 4}, "davis-2017")


def test_a_broken_truth_is_named(scored: Scorer, tmp_path: Path) -> None:
    scored({"a": [R] * 4}, {"a": [R] * 4}, "plain")
    path = tmp_path / "gt" / "a" / "00002.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"00002\.png"):
        score_folders(tmp_path / "pred", tmp_path / "gt", "plain")


def test_folders_that_are_one_or_swapped_are_refused(tmp_path: Path) -> None:
    truth = write(tmp_path / "DAVIS" / "Annotations" / "480p", {"a": [R] * 4})
    (tmp_path / "DAVIS" / "JPEGImages").mkdir()
    pred = write(tmp_path / "pred", {"a": [R] * 4})
    run = write(tmp_path / "run", {"a": [R] * 4})
    (run / "a" / "run.json").write_text("{}")
    with pytest.raises(OptionError, match="agree with itself"):
        score_folders(pred, tmp_path / "pred" / ".", "plain")
    with pytest.raises(OptionError, match="dataset's annotations; are the two folders swapped"):
        score_folders(truth, pred, "plain")
    with pytest.raises(OptionError, match="run of tinct; are the two folders swapped"):
        score_folders(truth, run, "plain")


def test_a_submission_as_the_server_takes_it_can_be_scored(tmp_path: Path) -> None:
    pred = write(tmp_path / "submission" / "Annotations", {"a": [R] * 4})
    truth = write(tmp_path / "gt", {"a": [R] * 4})
    assert score_folders(pred, truth, "plain").j_and_f == 1


def test_empty_and_absent_folders_are_refused(tmp_path: Path) -> None:
    truth = write(tmp_path / "gt", {"a": [R] * 4})
    (tmp_path / "empty").mkdir()
    for pred, gt in ((tmp_path / "empty", truth), (truth, tmp_path / "empty"), (tmp_path / "gone", truth)):
        with pytest.raises(DatasetError, match=r"empty|gone"):
            score_folders(pred, gt, "plain")


@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_set_without_truth_is_sent_to_its_server(scored: Scorer, allow_missing: bool) -> None:
    with pytest.raises(DatasetError, match="tinct pack"):
        scored({"a": [R] * 4}, {"a": [R]}, "davis-2017", allow_missing=allow_missing)


def test_a_sequence_without_an_object_is_left_out_and_named(scored: Scorer) -> None:
    scores = scored({"a": [R] * 4, "b": [EMPTY] * 4}, {"a": [R] * 4, "b": [EMPTY] * 4}, "davis-2017")
    assert [sequence.name for sequence in scores.sequences] == ["a"]
    assert scores.settings["empty_sequences"] == ["b"]
    assert "Without an object to score, and in no mean: 1 sequence (b)." in rule_lines(scores)


def test_a_sequence_whose_scored_frames_are_missing_leaves_the_others(scored: Scorer) -> None:
    predicted = {"a": [R] * 4, "b": [R, None, None, R]}
    scores = scored(predicted, {"a": [R] * 4, "b": [R] * 4}, "davis-2017", allow_missing=True)
    assert [sequence.name for sequence in scores.sequences] == ["a"]
    assert scores.settings["empty_sequences"] == ["b"]


def test_a_truth_without_any_object_is_refused(scored: Scorer) -> None:
    with pytest.raises(DatasetError, match="None of the 1 sequences has an object"):
        scored({"a": [EMPTY] * 4}, {"a": [EMPTY] * 4}, "davis-2017")


@pytest.mark.parametrize("workers", [1, 2])
def test_all_broken_files_are_named(scored: Scorer, tmp_path: Path, workers: int) -> None:
    frames = {name: [R] * 4 for name in "abc"}
    scored(frames, frames, "plain")
    for name in "ac":
        path = tmp_path / "pred" / name / "00002.png"
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MaskError, match=r"2 of 3 sequences failed(.|\n)*a/00002(.|\n)*c/00002"):
        score_folders(tmp_path / "pred", tmp_path / "gt", "plain", workers=workers)


def test_a_worker_that_dies_twice_leaves_the_others_work(
    scored: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = {name: [R] * 4 for name in "abc"}
    scored(frames, frames, "plain")
    monkeypatch.setattr(score, "score_sequence", dying_at_b)
    with pytest.raises(WorkerError, match=r"sequence 'b'.*SIGKILL") as died:
        score_folders(tmp_path / "pred", tmp_path / "gt", "plain", workers=2)
    finished = died.value.finished
    assert [sequence.name for sequence in finished.sequences] == ["a", "c"]
    assert finished.settings["failed_sequences"] == ["b"]


def test_a_resolution_may_be_chosen(tmp_path: Path) -> None:
    root = tmp_path / "DAVIS"
    (root / "ImageSets").mkdir(parents=True)
    write(root / "Annotations" / "480p", {"a": [HALF] * 4})
    write(root / "Annotations" / "Full-Resolution", {"a": [R] * 4})
    pred = write(tmp_path / "pred", {"a": [R] * 4})
    assert score_folders(pred, root, "davis-2017").statistics["J"].mean == 0.5
    assert score_folders(pred, root, "davis-2017", resolution="Full-Resolution").j_and_f == 1
    with pytest.raises(DatasetError, match=r"no folder.*1080p"):
        score_folders(pred, root, "davis-2017", resolution="1080p")


def test_one_undefined_decay_makes_the_toolkits_mean_undefined(scored: Scorer, tmp_path: Path) -> None:
    frames = {"long": [R] * 303, "short": [R] * 5}
    assert scored(frames, frames, "davis-2017", metrics=["J"]).statistics["J"].decay == 0
    rules = scoring_rules("davis-2017", ["J"], compat="davis2017-evaluation")
    wrapped = score_folders(tmp_path / "pred", tmp_path / "gt", rules)
    assert math.isnan(wrapped.statistics["J"].decay)
    assert "counted in the first frame" in wrapped.rule


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "davis"}, "no protocol 'davis'"),
        ({"protocol": "plain", "metrics": ["J", "G"]}, "no metric 'G'.*J .region"),
        ({"protocol": "plain", "compat": "x"}, "no toolkit 'x'"),
        ({"protocol": "plain", "compat": "davis2017-evaluation"}, "goes with davis-2017"),
        ({"protocol": "davis-2017", "compat": "davis-2016-python"}, "goes with davis-2016"),
        ({"protocol": "plain", "bound_th": -1.0}, "bound_th"),
    ],
)
def test_unknown_options_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        scoring_rules(**options)


def test_scoring_needs_numpy_and_pillow_alone() -> None:
    heavy = {"torch", "cv2", "av", "jaxtyping", "matplotlib"}
    code = f"import sys, {score.__name__}; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr


@pytest.mark.parametrize(("predicted_from", "true_from"), [(1, 0), (0, 1), (5, 0)])
@pytest.mark.parametrize("protocol", ["davis-2017", "plain"])
@pytest.mark.parametrize("name", ["{:05d}", "{}", "frame_{:04d}"])
def test_frames_that_are_numbered_from_another_number_are_told(
    predicted_from: int, true_from: int, protocol: str, name: str, tmp_path: Path
) -> None:
    for folder, first in (("pred", predicted_from), ("gt", true_from)):
        (tmp_path / folder / "a").mkdir(parents=True)
        for index in range(first, first + 9):
            write_mask(tmp_path / folder / "a" / f"{name.format(index)}.png", R)
    says = f"truth is numbered from {true_from}; are the predictions numbered from {predicted_from}"
    with pytest.raises(DatasetError, match=says) as got:
        score_folders(tmp_path / "pred", tmp_path / "gt", protocol)
    assert "swapped" not in str(got.value)
    assert "score what is there" not in str(got.value)
    scores = score_folders(tmp_path / "pred", tmp_path / "gt", protocol, allow_missing=True)
    assert any(says in line for line in rule_lines(scores))


def write_grey(folder: Path, *frames: Labels) -> None:
    (folder / "a").mkdir(parents=True)
    for index, pixels in enumerate(frames):
        Pictures.fromarray(pixels).save(folder / "a" / f"{index:05d}.png")


WHITE = rectangle(30, 80, 40, 110, 255)


@pytest.mark.parametrize("predicted", [WHITE, R])
def test_predictions_of_0_and_255_are_object_1_where_the_truth_is_such(
    predicted: Labels, tmp_path: Path
) -> None:
    # In the frame in which the truth is empty, what is predicted is object 1 all the same.
    write_grey(tmp_path / "gt", WHITE, WHITE, EMPTY)
    write_grey(tmp_path / "pred", predicted, EMPTY, predicted)
    scores = score_folders(tmp_path / "pred", tmp_path / "gt", scoring_rules("plain", ["J"]))
    (of,) = scores.sequences[0].objects
    assert of.object_id == 1
    assert frame_values(scores, "J") == (1, 0, 0)


@pytest.mark.parametrize(
    ("truth", "protocol"),
    [
        ([R, R, R], "plain"),
        ([WHITE, over(WHITE, rectangle(0, 9, 0, 9, 2)), WHITE], "plain"),
        ([WHITE, R, WHITE], "plain"),
        ([WHITE, WHITE, WHITE], "davis-2017"),
    ],
)
def test_elsewhere_nobody_knows_which_object_255_is(
    truth: Sequence[Labels], protocol: str, tmp_path: Path
) -> None:
    write_grey(tmp_path / "gt", *truth)
    write_grey(tmp_path / "pred", WHITE, WHITE, WHITE)
    with pytest.raises(MaskError, match="which object is which"):
        score_folders(tmp_path / "pred", tmp_path / "gt", protocol)
