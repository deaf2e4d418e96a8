"""The report as one HTML file, its parts, and the plots."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from tinct.errors import DatasetError, OptionError, OutputError
from tinct.evaluation.protocols import protocol_of
from tinct.evaluation.report import write_plots, write_report
from tinct.evaluation.report.by_attribute import attribute_scores
from tinct.evaluation.report.curves import BOTTOM, LEFT, RIGHT, TOP, curve, line_path
from tinct.evaluation.report.pictures import ERROR_COLOURS, WIDTH, error_picture, mask_picture
from tinct.evaluation.report.result_table import result_table
from tinct.evaluation.report.timeline import timelines
from tinct.evaluation.report.worst_frames import find_frame, worst_frames
from tinct.evaluation.results import FrameScores, ObjectScores, Scores, SequenceScores, Statistics
from tinct.evaluation.tables import percent
from tinct.io.mask_files import write_mask

NAN = float("nan")
HOSTILE = "<script>alert('$x$')</script>&\"é"


def _object(object_id: int, values: Mapping[str, Sequence[float]], first: int = 1) -> ObjectScores:
    count = len(next(iter(values.values())))
    names = tuple(f"{first + index:05d}" for index in range(count))
    frames = FrameScores(names, {name: tuple(map(float, column)) for name, column in values.items()})
    statistics = {name: Statistics.of_frames(column) for name, column in values.items()}
    return ObjectScores(object_id, statistics, frames)


def _scores(protocol: str, sequences: Mapping[str, Sequence[ObjectScores]]) -> Scores:
    rule = protocol_of(protocol)
    rows = tuple(
        SequenceScores(name, tuple(objects), max(len(of.frames.names) for of in objects if of.frames))
        for name, objects in sequences.items()
    )
    return Scores(rule.name, rule.rule, rule.merged, rule.average_over, rows)


def _merged(sequences: Mapping[str, Sequence[float]]) -> Scores:
    """J as given, and F a little above."""
    return _scores(
        "davis-2016",
        {
            name: [_object(1, {"J": values, "F": [min(1.0, value + 0.01) for value in values]})]
            for name, values in sequences.items()
        },
    )


class _Page(HTMLParser):
    """What a browser would find: the tags with their attributes, and the text; tags must be closed."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and a truth of two sequences of six frames: a square, and the same 2 pixels off."""
    for sequence in ("bear", "boat"):
        for index in range(6):
            for kind, left in (("pred", 12), ("root/Annotations/480p", 10)):
                labels = np.zeros((40, 60), np.uint8)
                labels[10:30, left : left + 20] = 1
                folder = tmp_path / kind / sequence
                folder.mkdir(parents=True, exist_ok=True)
                write_mask(folder / f"{index:05d}.png", labels)
    return tmp_path / "pred", tmp_path / "root"


def _add_frames_and_attributes(root: Path) -> None:
    for sequence in ("bear", "boat"):
        folder = root / "JPEGImages/480p" / sequence
        folder.mkdir(parents=True)
        for index in range(6):
            cv2.imwrite(str(folder / f"{index:05d}.jpg"), np.full((40, 60, 3), 200, np.uint8))
    text = "sequences:\n- {name: bear, attributes: [OCC, XY]}\n- {name: boat, attributes: [FM]}\n"
    (root / "Annotations/db_info.yml").write_text(text)


TWO = {"bear": (0.9, 0.5, 0.1, 0.4), "boat": (0.8, 0.7, 0.9, 0.6)}


def test_a_full_report_shows_everything_and_fetches_nothing(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    _add_frames_and_attributes(folders[1])
    scores = replace(
        _merged(TWO), run={"method": "feelvos", "seconds_per_frame": 0.25, "peak_memory_mb": 512.3}
    )
    path = tmp_path / "report.html"
    write_report(scores, path, predictions=folders[0], truth=folders[1], split="val", worst=3)
    page = _Page(path)
    for words in (
        "feelvos on davis-2016 val",
        "the first and the last frame are not scored",
        "0.25",
        "512 MB",
        "OSVOS",
        "The papers’, on val",
        "lowest 10.0 at 00003",
        "occlusion",
        "fast motion",
        "frame 00003",
    ):
        assert words in page.text, words
    pictures = page.all("img")
    assert len(pictures) == 9
    assert all(str(picture["src"]).startswith("data:image/jpeg;base64,") for picture in pictures)
    assert all(picture["alt"] for picture in pictures)
    assert len(page.all("svg")) == 2
    assert "grey" not in page.text
    assert all(head.get("scope") for head in page.all("th"))
    links = [value for _, tag in page.tags for key, value in tag.items() if key in ("href", "src")]
    assert all(str(link).startswith(("data:", "#")) for link in links)
    assert page.all("link") == []
    assert any("default-src 'none'" in str(meta.get("content")) for meta in page.all("meta"))


def test_ours_stand_apart_from_the_papers(tmp_path: Path) -> None:
    write_report(_merged(TWO), tmp_path / "r.html", split="val")
    source = (tmp_path / "r.html").read_text()
    ours, papers = source.index('class="ours"'), source.index('class="papers"')
    assert ours < source.index("this result</th>") < papers < source.index("OSVOS</th>")


def test_what_is_missing_is_said_and_never_an_error(tmp_path: Path) -> None:
    scores = _merged(TWO)
    bare = replace(
        scores,
        sequences=tuple(replace(s, objects=(replace(s.objects[0], frames=None),)) for s in scores.sequences),
    )
    write_report(bare, tmp_path / "r.html")
    text = _Page(tmp_path / "r.html").text
    assert text.count("Score again with --per-frame") == 2
    assert "There is no db_info.yml" in text
    assert "No split was named" in text
    write_report(scores, tmp_path / "r.html", predictions=tmp_path / "no", truth=tmp_path)
    text = _Page(tmp_path / "r.html").text
    assert f"There are no pictures: There is no folder {tmp_path / 'no'}" in text
    assert "bear frame 00003" in text
    (tmp_path / "info.yml").write_text("nothing")
    write_report(scores, tmp_path / "r.html", attributes=tmp_path / "info.yml")
    assert "There are no attributes:" in _Page(tmp_path / "r.html").text


def test_a_broken_or_missing_mask_costs_its_own_pictures_alone(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    predictions, truth = folders
    (predictions / "bear/00003.png").write_bytes(b"\x89PNG broken")
    (predictions / "boat/00004.png").unlink()
    write_report(_merged(TWO), tmp_path / "r.html", predictions=predictions, truth=truth)
    page = _Page(tmp_path / "r.html")
    assert "bear/00003.png cannot be read" in page.text
    assert "holds no mask of this frame" in page.text
    assert len(page.all("img")) == 3 * (len(page.all("article")) - 2) > 0
    assert "the ground is grey" in page.text


def test_one_sequence_by_itself_and_frames_from_elsewhere(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    (tmp_path / "frames").mkdir()
    for name in ("00001", "00003"):
        cv2.imwrite(str(tmp_path / f"frames/{name}.jpg"), np.full((80, 120, 3), 200, np.uint8))
    scores = _merged({"bear": (0.9, 0.5, 0.1, 0.4, 0.9, 0.1)})
    truth = folders[1] / "Annotations/480p/bear"
    predictions = folders[0] / "boat"
    path = tmp_path / "r.html"
    write_report(scores, path, predictions=predictions, truth=truth, frames=tmp_path / "frames", worst=2)
    page = _Page(path)
    assert len(page.all("img")) == 3
    assert "grey" not in page.text
    assert "The truth holds no annotation of this frame." in page.text  # of 00006


def test_hostile_names_are_text(tmp_path: Path) -> None:
    scores = _scores(
        "davis-2017", {HOSTILE: [_object(i, {"J": [0.5, 0.6], "F": [0.5, 0.6]}) for i in (1, 2)]}
    )
    scores = replace(
        scores,
        settings={HOSTILE: HOSTILE, "missing_sequences": [HOSTILE], "compat": HOSTILE},
        run={"method": HOSTILE, "versions": {HOSTILE: [HOSTILE]}},
        sequences=(replace(scores.sequences[0], missing_frames=(HOSTILE,)),),
    )
    write_report(scores, tmp_path / "r.html", title=HOSTILE + "\udcff", split=HOSTILE)
    page = _Page(tmp_path / "r.html")
    assert len(page.all("script")) == 1
    assert "alert" not in page.source.replace("&lt;script&gt;alert", "")
    assert page.text.count(HOSTILE) >= 8


def test_the_same_scores_give_the_same_bytes_and_json_may_lie_between(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    scores = _merged(TWO)
    again = Scores.from_json(scores.to_json(per_frame=True))
    for name, of in (("a.html", scores), ("b.html", again)):
        write_report(of, tmp_path / name, predictions=folders[0], truth=folders[1])
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_groups_single_measures_and_empty_scores_have_a_report(tmp_path: Path) -> None:
    objects = [_object(1, {"J": [0.5], "F": [0.7]}), _object(2, {"J": [NAN], "F": [NAN]})]
    groups = [replace(of, group=name) for of, name in zip(objects, ("seen", "unseen"), strict=True)]
    write_report(_scores("youtube-vos", {"abc": groups}), tmp_path / "r.html", split="valid")
    assert "this result, seen" in _Page(tmp_path / "r.html").text
    write_report(_scores("segtrack-v2", {"frog": [_object(1, {"J": [0.5, 0.6]})]}), tmp_path / "r.html")
    assert "Show F as well" not in _Page(tmp_path / "r.html").text
    write_report(_scores("plain", {"frog": [_object(1, {"F": [0.5, 0.6]})]}), tmp_path / "r.html")
    assert "F over time" in _Page(tmp_path / "r.html").text
    write_report(_scores("plain", {}), tmp_path / "r.html")
    assert "0 sequences" in _Page(tmp_path / "r.html").text


def test_what_cannot_be_written_or_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_report(_merged(TWO), tmp_path / "no" / "r.html")
    with pytest.raises(OptionError, match="There is no protocol"):
        write_report(replace(_merged(TWO), protocol="davis"), tmp_path / "r.html")


def test_the_page_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, tinct.evaluation.report; print({'torch', 'matplotlib', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_figures_of_the_table() -> None:
    assert (percent(0.7981), percent(NAN)) == ("79.8", "–")
    table = result_table(_merged(TWO), "ours", "val")
    row = next(row for row in table.papers if row.name == "FEELVOS (without YouTube-VOS)")
    assert [cell.text for cell in row.cells] == ["80.3?", "–", "–", "83.1?", "–", "–", "–", "81.7?"]
    assert table.remark == ""
    assert not any("boundary snapping" in row.name for row in table.papers)
    assert "Our result is on dev" in result_table(_merged(TWO), "ours", "dev").remark
    assert result_table(_scores("plain", {"a": [_object(1, {"J": [1.0]})]}), "ours", None).papers == ()


def test_objects_of_other_frames_share_one_time_axis() -> None:
    scores = _scores(
        "youtube-vos", {"a": [_object(1, {"J": [0.1, 0.3]}), _object(5, {"J": [0.5, NAN]}, first=2)]}
    )
    (timeline,) = timelines(scores)
    assert timeline.frame_names == ("00001", "00002", "00003")
    np.testing.assert_allclose(timeline.objects[5]["J"], [NAN, 0.5, NAN])
    np.testing.assert_allclose(timeline.frame_means("J"), [0.1, 0.4, NAN])
    assert np.isnan(timeline.frame_means("F")).all()
    drawn = curve(timeline, "J")
    assert drawn is not None
    assert drawn.objects == ((1, 1), (5, 5))
    assert (drawn.lowest, drawn.lowest_frame) == (0.1, "00001")


def test_frames_without_leading_zeros_keep_their_order() -> None:
    names = tuple(str(index) for index in range(8, 12))
    frames = FrameScores(names, {"J": (0.1, 0.2, 0.3, 0.4)})
    of = ObjectScores(1, {"J": Statistics(0.25)}, frames)
    (timeline,) = timelines(_scores("plain", {"a": [of]}))
    assert timeline.frame_names == names
    assert timeline.objects[1]["J"].tolist() == [0.1, 0.2, 0.3, 0.4]


@given(st.lists(st.one_of(st.just(NAN), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_line_shows_every_value_and_breaks_where_there_is_none(values: list[float]) -> None:
    path = line_path(np.asarray(values, np.float64))
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]
    assert len(points) == sum(not np.isnan(value) for value in values)
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in points)
    starts = sum(
        not np.isnan(value) and (index == 0 or np.isnan(values[index - 1]))
        for index, value in enumerate(values)
    )
    assert path.count("M") == starts


def test_the_worst_frames_are_varied() -> None:
    bad, good = [0.5, *[0.1] * 20, 0.5, 0.2], [0.9] * 5
    chosen = worst_frames(timelines(_merged({"bad": bad, "good": good})), "J", 4)
    assert [(of.sequence, of.frame) for of in chosen] == [
        ("bad", "00002"), ("bad", "00004"), ("good", "00001"), ("good", "00003")
    ]  # fmt: skip
    assert chosen[0].values == {"J": 0.1, "F": pytest.approx(0.11)}
    assert worst_frames(timelines(_merged({"bad": bad})), "J", 0) == ()


def test_errors_have_their_colours() -> None:
    truth, prediction = np.zeros((2, 2, 40, 80), np.uint8)[:, 0]
    truth[:, 40:] = 1
    truth[30:, 40:] = 2
    truth[:, :10] = 255
    prediction[:, 20:60] = 1
    picture = error_picture(None, prediction, truth)
    assert picture.shape == (WIDTH // 2, WIDTH, 3)
    for name, (row, column) in {
        "agree": (10, 50), "only predicted": (10, 30), "only truth": (10, 70), "other object": (35, 50)
    }.items():  # fmt: skip
        pixel = picture[row * WIDTH // 80 + 2, column * WIDTH // 80 + 2].astype(int)
        distances = {of: np.abs(pixel - colour).sum() for of, colour in ERROR_COLOURS.items()}
        assert min(distances, key=lambda of: distances[of]) == name
    for column in (5, 15):  # void, and background
        assert len(set(picture[100, column * WIDTH // 80].tolist())) == 1


def test_a_mask_is_drawn_over_its_frame() -> None:
    labels = np.zeros((40, 80), np.uint8)
    labels[10:30, 20:60] = 1
    picture = mask_picture(np.full((80, 160, 3), 50, np.uint8), labels, ids=False)
    assert picture[2, 2].tolist() == [50, 50, 50]
    assert picture[WIDTH // 4, WIDTH // 2].tolist() != [50, 50, 50]


def test_frames_are_found_in_the_layouts_of_the_datasets(tmp_path: Path) -> None:
    for name in ("a/JPEGImages/480p/bear", "b/JPEGImages/bear", "c/bear", "d"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "00001.jpg").touch()
    (tmp_path / "a/Annotations/480p").mkdir(parents=True)
    for given_folder in ("a", "a/Annotations", "a/Annotations/480p", "b", "c", "d"):
        assert find_frame(tmp_path / given_folder, "bear", "00001") is not None, given_folder
        assert find_frame(tmp_path / given_folder, "bear", "00002") is None


def test_scores_by_attribute() -> None:
    scores = _merged({"a": [0.2], "b": [0.6], "c": [1.0], "unknown": [0.0]})
    attributes = {"a": ("OCC",), "b": ("OCC", "XY"), "c": ("XY",)}
    rows = attribute_scores(scores, attributes)
    assert [(row.letters, row.name, row.sequences) for row in rows] == [
        ("OCC", "occlusion", 2), ("XY", "XY", 2)
    ]  # fmt: skip
    assert [row.mean for row in rows] == pytest.approx([0.4, 0.8])
    assert [row.gain_without for row in rows] == pytest.approx([0.6, -0.6])
    (everywhere,) = attribute_scores(scores, {"a": ("FM",), "b": ("FM",)})
    assert everywhere.mean == pytest.approx(0.4)
    assert np.isnan(everywhere.gain_without)


def test_plots_are_pictures_with_safe_names(tmp_path: Path) -> None:
    names = {"../Up": [0.5, 0.6], "..?up": [0.1, NAN], HOSTILE + "\udcff日": [0.2], "long" * 60: [0.3]}
    scores = _merged(names)
    (tmp_path / "info.yml").write_text("sequences:\n- {name: ../Up, attributes: [OCC]}\n")
    paths = write_plots(scores, tmp_path / "new" / "plots", attributes=tmp_path / "info.yml")
    assert [path.name for path in paths][:4] == [
        "overview.png", "attributes.png", "over_time_.._Up.png", "over_time_.._up_2.png"
    ]  # fmt: skip
    assert len(paths) == 6
    for path in paths:
        assert path.parent == tmp_path / "new" / "plots"
        with PillowImage.open(path) as picture:
            assert picture.width >= 400
    assert "matplotlib.pyplot" not in sys.modules


def test_plots_say_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        write_plots(_merged(TWO), tmp_path / "file")
    with pytest.raises(DatasetError):
        write_plots(_merged(TWO), tmp_path / "plots", attributes=tmp_path / "none.yml")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OptionError, match=r"pip install 'tinct\[plots\]'"):
        write_plots(_merged(TWO), tmp_path / "plots")
