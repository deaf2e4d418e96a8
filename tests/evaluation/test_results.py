from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tinct.errors import OptionError
from tinct.evaluation.results import (
    FrameScores,
    ObjectScores,
    Scores,
    SequenceScores,
    Statistics,
    read_scores,
    write_scores,
)

NAN = math.nan

EMPTY = {
    "protocol": "plain",
    "rule": "",
    "merged": False,
    "average_over": "objects",
    "sequences": {},
    "run": {},
}
SETTINGS_NULL, SETTINGS_LIST = (json.dumps({**EMPTY, "settings": value}) for value in (None, [1, 2]))


def object_scores(object_id: int, j: float, group: str | None = None) -> ObjectScores:
    frames = FrameScores(("00001", "00002"), {"J": (j, j), "F": (0.5, NAN)})
    return ObjectScores(
        object_id, {"J": Statistics(j, 1.0, 0.1), "F": Statistics(0.5, NAN, 0.0)}, frames, group
    )


def scores(average_over: str, *, merged: bool = False, groups: bool = False) -> Scores:
    def group(name: str) -> str | None:
        return name if groups else None

    first = SequenceScores("a", (object_scores(1, 0.2, group("seen")),), 2)
    others = (
        (object_scores(1, 0.9),)
        if merged
        else (object_scores(1, 0.6, group("seen")), object_scores(5, 0.7, group("unseen")))
    )
    second = SequenceScores("b", others, 3, ("00007",))
    return Scores(
        "davis-2016", "a rule", merged, average_over, (first, second), {"split": "val"}, {"device": "cpu"}
    )


@pytest.mark.parametrize("frames", [{}, [1], None, "x", 4])
def test_a_changed_count_of_frames_is_seen(frames: Any, tmp_path: Path) -> None:
    content = scores("objects").to_json(per_frame=True)
    content["sequences"]["b"]["frames_scored"] = frames
    (tmp_path / "scores.json").write_text(json.dumps(content))
    with pytest.raises(OptionError, match="scores of tinct"):
        read_scores(tmp_path / "scores.json")


@pytest.mark.parametrize("place", ["set", "sequence", "object"])
def test_a_changed_mean_is_seen(place: str, tmp_path: Path) -> None:
    content = scores("objects").to_json(per_frame=True)
    sequence = content["sequences"]["b"]
    {"set": content, "sequence": sequence, "object": sequence["objects"]["5"]}[place]["J"]["mean"] = 0.123
    (tmp_path / "scores.json").write_text(json.dumps(content))
    with pytest.raises(OptionError, match=r"the mean J of (the set|b) is .* there, and .* by its objects"):
        read_scores(tmp_path / "scores.json")


@pytest.mark.parametrize(
    ("average_over", "groups", "expected"),
    [("sequences", False, (0.2 + 0.65) / 2), ("objects", False, 0.5), ("groups", True, (0.4 + 0.7) / 2)],
)
def test_the_mean_is_taken_over_what_the_protocol_says(
    average_over: str, groups: bool, expected: float
) -> None:
    found = scores(average_over, groups=groups)
    assert found.statistics["J"].mean == pytest.approx(expected)
    assert found.j_and_f == pytest.approx((expected + 0.5) / 2)
    assert found.frames_scored == 5


def test_without_known_groups_the_objects_are_averaged() -> None:
    assert scores("groups").statistics["J"].mean == pytest.approx(0.5)


def test_an_undefined_statistic_is_left_out_of_the_mean() -> None:
    found = Statistics.mean_of([Statistics(0.5, NAN, 1.0), Statistics(NAN, NAN, 0.0)])
    assert (found.mean, found.decay) == (0.5, 0.5)
    assert math.isnan(found.recall)


def test_no_frames_have_no_statistics() -> None:
    assert math.isnan(Statistics.of_frames([]).mean)


def test_a_measure_that_only_some_sequences_have_is_averaged_over_those() -> None:
    stable = ObjectScores(1, {"J": Statistics(1.0), "T": Statistics(0.4)})
    loose = ObjectScores(1, {"J": Statistics(0.5)})
    found = Scores(
        "p", "r", True, "sequences", (SequenceScores("a", (stable,), 1), SequenceScores("b", (loose,), 1))
    )
    assert found.statistics["T"].mean == 0.4
    assert found.statistics["J"].mean == 0.75
    assert math.isnan(found.j_and_f)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("per_frame", [False, True])
def test_json_comes_back_as_it_went(tmp_path: Path, merged: bool, per_frame: bool) -> None:
    path = tmp_path / "scores.json"
    before = scores("sequences", merged=merged)
    write_scores(path, before, per_frame=per_frame)
    after = read_scores(path)
    assert after.to_json(per_frame=per_frame) == before.to_json(per_frame=per_frame)
    assert (after.sequences[1].objects[0].frames is not None) == per_frame
    assert after.sequences[1].missing_frames == ("00007",)


def test_the_json_has_the_promised_names() -> None:
    content = json.loads(
        json.dumps(scores("sequences", merged=True).to_json(per_frame=True), allow_nan=False)
    )
    assert content["J"].keys() == {"mean", "recall", "decay"}
    assert content["JF_mean"] == pytest.approx(0.525)
    entry = content["sequences"]["b"]
    assert entry["J"] == {"mean": 0.9, "recall": 1.0, "decay": 0.1}
    assert entry["F"]["recall"] is None
    assert entry["per_frame"] == {"frames": ["00001", "00002"], "J": [0.9, 0.9], "F": [0.5, None]}
    by_object = scores("objects", groups=True).to_json()["sequences"]["b"]["objects"]
    assert by_object["5"]["group"] == "unseen"
    assert "per_frame" not in by_object["5"]


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"protocol": "plain"}', "not json", "[" * 100_000, SETTINGS_NULL, SETTINGS_LIST]
)
def test_other_files_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"other\.json.*tinct score"):
        read_scores(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"gone\.json"):
        read_scores(tmp_path / "gone.json")


def test_records_are_one_flat_row_per_object_and_measure() -> None:
    rows = scores("groups", groups=True).to_records()
    assert [(row["sequence"], row["object_id"], row["group"], row["measure"]) for row in rows] == [
        (name, object_id, group, measure)
        for name, object_id, group in [("a", 1, "seen"), ("b", 1, "seen"), ("b", 5, "unseen")]
        for measure in ("J", "F")
    ]
    assert rows[0] == {
        "protocol": "davis-2016",
        "sequence": "a",
        "object_id": 1,
        "group": "seen",
        "measure": "J",
        "mean": 0.2,
        "recall": 1.0,
        "decay": 0.1,
    }
    assert math.isnan(rows[1]["recall"])
    assert Scores.from_json({**EMPTY, "settings": {}}).to_records() == []
