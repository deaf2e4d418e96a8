"""`tinct segment` with masks of other programs, and what it leaves for `tinct export`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_kit import tinct_command
from PIL import Image

from tinct import zoo
from tinct.cli.segment import parse_prompt
from tinct.inference.segmenter import StreamingSegmenter
from tinct.io.mask_files import read_label_png, write_mask
from tinct.io.masks import MaskWarning, ObjectMasks
from tinct.zoo.build import LocatedWeights

H, W = 11, 16


class Held(StreamingSegmenter[ObjectMasks]):
    """Holds the newest prompt where it was, a little less certain."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> ObjectMasks:
        return ObjectMasks.from_label_map(labels)

    def step(
        self, state: ObjectMasks, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[ObjectMasks, ObjectMasks]:
        newest = ObjectMasks(state.object_ids, state.probs * np.float32(0.9))
        newest = newest if labels is None else newest.corrected(labels)
        return newest, newest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four frames, masks of three programs, and a segmenter that needs no weights."""
    (tmp_path / "clip").mkdir()
    for t in range(4):
        Image.fromarray(np.full((H, W, 3), 10 * t, np.uint8)).save(tmp_path / "clip" / f"{t}.png")
    size = {"imageHeight": H, "imageWidth": W}
    for name, shapes in (("0", [("dog", 1), ("cat", 6)]), ("2", [("cat", 9), ("bird", 3)])):
        drawn = [
            {"label": label, "points": [[x, 1], [x + 3, 4]], "shape_type": "rectangle"} for label, x in shapes
        ]
        text = json.dumps({"shapes": drawn, "imagePath": f"{name}.png", **size})
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "a.xml").write_text(
        f'<annotations><image name="1.png" width="{W}" height="{H}">'
        '<box label="dog" xtl="5" ytl="5" xbr="8" ybr="8"/></image></annotations>'
    )
    labels = np.zeros((H, W), np.uint8)
    labels[2:8, 3:9] = 4
    write_mask(tmp_path / "later.png", labels)

    def build(*_: Any, **__: Any) -> Held:
        return Held()

    monkeypatch.setattr(zoo, "build_segmenter", build)
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: LocatedWeights(Path("w"), "ab" * 32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def segment(monkeypatch: pytest.MonkeyPatch, *masks: str, more: tuple[str, ...] = ()) -> int:
    words = [word for mask in masks for word in ("--mask", mask)]
    return tinct_command(monkeypatch, "segment", "clip", *words, "--out", "out", "--no-overlay", *more)


def run_record() -> Any:
    return json.loads(Path("out/run.json").read_text())


def test_one_label_is_one_object_in_all_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert segment(monkeypatch, "0.json", "2.json", "a.xml") == 0
    assert run_record()["object_names"] == {"1": "dog", "2": "cat", "3": "bird"}
    assert list(run_record()["run"]["prompts"]) == ["0", "1", "2"]
    labels = read_label_png("out/masks/2.png")
    assert (labels[2, 10], labels[2, 4], labels[6, 6]) == (2, 3, 1)


def test_exports_use_the_names_and_the_soft_masks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert segment(monkeypatch, "0.json", more=("--soft",)) == 0
    assert (
        tinct_command(monkeypatch, "export", "out", "--to", "soft-png", "--out", "soft", "--last", "1") == 0
    )
    assert sorted(path.name for path in Path("soft").iterdir()) == ["1_dog", "2_cat"]
    with Image.open("soft/1_dog/1.png") as picture:
        assert np.unique(np.asarray(picture)).tolist() == [0, round(0.9 * 65535)]
    assert tinct_command(monkeypatch, "export", "out", "--to", "cutout-png", "--out", "cut") == 0


def test_the_run_says_where_its_video_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert segment(monkeypatch, "later.png") == 0
    assert run_record()["video_path"] == "../clip"
    assert "object_names" not in run_record()
    assert str(folder) not in Path("out/run.json").read_text()


def test_an_index_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert segment(monkeypatch, "3:0.json", "later.png") == 0
    assert list(run_record()["run"]["prompts"]) == ["0", "3"]


def test_which_file_went_to_which_frame_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.zeros((H, W), np.uint8)
    labels[2:8, 3:9], labels[0, :7] = 4, 255
    write_mask(folder / "3.png", labels)
    assert segment(monkeypatch, "later.png", "3.png", "1:2.json") == 0
    assert list(run_record()["run"]["prompts"]) == ["0", "1", "3"]
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "→" in line] == [
        "tinct: later.png → frame 0 (0)",
        "tinct: 3.png → frame 3 (3), 7 pixels undecided (255)",
        "tinct: 2.json → frame 1 (1)",
    ]


def test_a_doubtful_mask_is_a_line_on_the_console(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "2.json").read_text().replace("2.png", "frame_0002.png")
    (folder / "2.json").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("always", MaskWarning)
        assert segment(monkeypatch, "2.json") == 0
    assert "tinct: warning: 2.json was painted on frame_0002.png, which is taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    "masks", [("0.json", "0:later.png"), ("2:0.json", "2.json"), ("1:a.xml", "1:later.png")]
)
def test_two_masks_of_one_frame_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], masks: tuple[str, ...]
) -> None:
    assert segment(monkeypatch, *masks) == 1
    assert "the same frame" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "index", "path"),
    [
        ("a.json", None, "a.json"),
        ("a.XML", None, "a.XML"),
        ("a.png", None, "a.png"),
        ("12:a.json", 12, "a.json"),
        ("./3:a.json", None, "./3:a.json"),
    ],
)
def test_files_say_their_frames_where_no_index_is_given(text: str, index: int | None, path: str) -> None:
    assert parse_prompt(text) == (index, Path(path))
