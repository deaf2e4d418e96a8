from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from command_kit import tinct_command
from PIL import Image

from tinct.io.mask_files import write_mask

SIZE = (48, 64)
FRAMES = 6

Tinct = Callable[..., int]


def labels_at(index: int, offset: int = 0) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[8:24, 6 + index : 26 + index + offset] = 1
    labels[30:44, 36 - index : 52 - index + offset] = 2
    return labels


def write_masks(folder: Path, names: Sequence[str], offset: int = 0) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        for index in range(FRAMES):
            write_mask(folder / name / f"{index:05d}.png", labels_at(index, offset))


def write_davis(root: Path, names: Sequence[str]) -> None:
    """A small tree in the layout of DAVIS, with the lists of both years."""
    write_masks(root / "Annotations" / "480p", names)
    colours = np.array([(70, 90, 60), (220, 60, 30), (40, 60, 220)], np.uint8)
    for name in names:
        (root / "JPEGImages" / "480p" / name).mkdir(parents=True)
        for index in range(FRAMES):
            path = root / "JPEGImages" / "480p" / name / f"{index:05d}.jpg"
            Image.fromarray(colours[labels_at(index)]).save(path)
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "val.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.fixture
def tinct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tinct:
    """`tinct words...` in a folder with a dataset `DAVIS` and two sets of masks, `good` and `worse`."""
    write_davis(tmp_path / "DAVIS", ["cow", "dog"])
    write_masks(tmp_path / "good", ["cow", "dog"])
    write_masks(tmp_path / "worse", ["cow", "dog"], offset=6)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> int:
        return tinct_command(monkeypatch, *words)

    return run


def test_score_prints_the_table_and_its_rule(tinct: Tinct, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinct("score", "worse", "DAVIS", "--protocol", "davis-2017", "--split", "val") == 0
    shown = capsys.readouterr().out
    assert "mean" in shown
    assert "cow" in shown
    assert "the first and the last frame are not scored" in shown


def test_score_keeps_what_was_asked_for(tinct: Tinct) -> None:
    options = [
        "--metrics",
        "J,F,T",
        "--json",
        "s.json",
        "--per-frame",
        "--csv",
        "tables",
        "--report",
        "page.html",
        "--workers",
        "2",
    ]
    assert tinct("score", "good", "DAVIS/Annotations/480p", "--protocol", "davis-2017", *options) == 0
    content = json.loads(Path("s.json").read_text())
    assert (content["JF_mean"], content["T"]["mean"]) == (1.0, 0.0)
    assert content["sequences"]["dog"]["objects"]["2"]["per_frame"]["J"] == [1.0] * (FRAMES - 2)
    assert Path("tables/global_results-all.csv").read_text().splitlines()[1].startswith("1.000,1.000")
    assert "<html" in Path("page.html").read_text()


def test_score_prints_markdown(tinct: Tinct, capsys: pytest.CaptureFixture[str]) -> None:
    assert tinct("score", "good", "DAVIS", "--protocol", "davis-2016", "--metrics", "J", "--markdown") == 0
    assert "| 100.0 |" in capsys.readouterr().out


@pytest.mark.parametrize("compatible", [(), ("--compat", "davis2017-evaluation")])
def test_old_tables_are_never_shown_again(tinct: Tinct, compatible: tuple[str, ...]) -> None:
    words = ("score", "good", "DAVIS", "--protocol", "davis-2017", "--csv", "tables", *compatible)
    assert tinct(*words) == 0
    path = Path("tables/global_results-all.csv")
    path.write_text(path.read_text().replace("1.000", "0.123"))
    assert tinct(*words) == 0
    assert "0.123" not in path.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("score good DAVIS --protocol davis", "no protocol 'davis'. Did you mean 'davis-20"),
        ("score good DAVIS --protocol plain --metrics ,", "names nothing"),
        ("score DAVIS/Annotations/480p good --protocol plain", "are the two folders swapped"),
        ("score gone DAVIS --protocol plain", "no folder gone"),
        ("score good DAVIS --protocol plain --per-frame", "--per-frame came without --json"),
        ("score good DAVIS --protocol plain --json no/s.json", "no folder no for --json"),
        ("score good DAVIS --protocol plain --report good", "--report good is a folder"),
        ("score good DAVIS --protocol plain --csv DAVIS/ImageSets/2017/val.txt", "give a folder"),
        ("score good DAVIS --protocol segtrack-v2 --csv tables", "Add --metrics J,F"),
        ("evaluate --dataset davis-2017 --root DAVIS --out o --metrics X", "no metric 'X'"),
        ("evaluate --dataset davis-2017 --root nope --out o", "no folder nope"),
        ("compare s.json s.json", "s.json cannot be read"),
        ("report s.json --out page.html", "s.json cannot be read"),
        ("pack good --out a.zip --dataset davis", "davis"),
        ("datasets check davis DAVIS", "davis-2016"),
        ("evaluate --dataset davis --root DAVIS --out o", "davis-2016"),
    ],
)
def test_errors_are_one_message_and_exit_code_1(
    tinct: Tinct, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert tinct(*words.split()) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("tinct: error: ")
    assert message in shown


def test_compare_says_what_moved(tinct: Tinct, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("good", "worse"):
        assert tinct("score", name, "DAVIS", "--protocol", "davis-2017", "--json", f"{name}.json") == 0
    capsys.readouterr()
    assert tinct("compare", "good.json", "worse.json", "--json", "difference.json") == 0
    assert "cow" in capsys.readouterr().out
    assert json.loads(Path("difference.json").read_text())["difference"] < 0
    assert tinct("compare", "good.json", "worse.json", "--measure", "J", "--markdown") == 0
    assert "|" in capsys.readouterr().out


def test_a_table_is_shown_even_if_a_file_cannot_be_written(
    tinct: Tinct, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("score", "good", "DAVIS", "--protocol", "davis-2017")
    assert tinct(*words, "--json", "s" * 300) == 1
    shown = capsys.readouterr()
    assert "mean of 4 objects" in shown.out
    assert "cannot be written" in shown.err


def test_report_makes_a_page_and_plots(tinct: Tinct) -> None:
    text = "sequences:\n- {name: cow, attributes: [OCC]}\n- {name: dog, attributes: [FM]}\n"
    Path("DAVIS/Annotations/db_info.yml").write_text(text)
    assert (
        tinct("score", "worse", "DAVIS", "--protocol", "davis-2017", "--json", "s.json", "--per-frame") == 0
    )
    options = [
        "--out",
        "page.html",
        "--pred",
        "worse",
        "--gt",
        "DAVIS",
        "--plots",
        "plots",
        "--title",
        "Mine",
    ]
    assert tinct("report", "s.json", *options) == 0
    assert "Mine" in Path("page.html").read_text()
    names = sorted(path.name for path in Path("plots").iterdir())
    assert names == ["attributes.png", "over_time_cow.png", "over_time_dog.png", "overview.png"]


def test_pack_writes_the_zip(tinct: Tinct, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("JPEGImages", "Annotations"):
        Path("YT/valid").mkdir(parents=True, exist_ok=True)
        Path(f"YT/valid/{kind}").symlink_to(Path(f"DAVIS/{kind}/480p").resolve())
    words = ["pack", "good", "--out", "a.zip", "--dataset", "youtube-vos", "--root", "YT"]
    assert tinct(*words) == 0
    with zipfile.ZipFile("a.zip") as packed:
        assert packed.namelist()[0] == "Annotations/cow/00000.png"
        assert len(packed.namelist()) == 2 * FRAMES
    assert "a.zip" in capsys.readouterr().out
    assert tinct("pack", "good", "--out", "b.zip", "--dataset", "davis-2017", "--root", "DAVIS") == 1
    assert not Path("b.zip").exists()


def test_datasets_check_fails_where_something_is_wrong(
    tinct: Tinct, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("datasets", "check", "plain", "DAVIS/JPEGImages/480p", "--masks", "DAVIS/Annotations/480p")
    assert tinct(*words, "--deep") == 0
    assert "Nothing is wrong" in capsys.readouterr().out
    path = Path("DAVIS/JPEGImages/480p/cow/00002.jpg")
    path.write_bytes(path.read_bytes()[:-20])
    assert tinct("datasets", "check", "davis-2017", "DAVIS") == 1
    assert "00002.jpg" in capsys.readouterr().out
    assert tinct("datasets", "check", "davis-2017", "DAVIS", "--all") == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert lines[-1] == f"{len(lines) - 1} findings."


def test_evaluate_segments_scores_and_goes_on(tinct: Tinct, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "evaluate",
        "--dataset",
        "davis-2017",
        "--root",
        "DAVIS",
        "--out",
        "run",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    assert tinct(*words, "--csv", "tables") == 0
    content = json.loads(Path("run/scores.json").read_text())
    assert content["run"]["method"] == "feelvos"
    assert content["run"]["seconds_per_frame"] > 0
    assert content["run"]["peak_memory_mb"] > 0
    page = Path("run/report.html").read_text()
    assert "data:image/jpeg" in page
    assert "ground is grey" not in page
    mask = Path("run/cow/masks/00003.png")
    before = mask.stat().st_mtime_ns
    assert tinct(*words, "--no-report", "--markdown") == 0
    assert mask.stat().st_mtime_ns == before
    assert "|" in capsys.readouterr().out
