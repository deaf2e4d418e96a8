from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from command_kit import tinct_command
from PIL import Image as Pictures

from tinct.cli.export import parse_names, parse_rate
from tinct.errors import OptionError
from tinct.io.mask_files import read_label_png, write_mask
from tinct.io.video_writer import VideoWriter

H, W = 10, 14


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of five frames at 24000/1001 with the objects 1 and 2."""
    with VideoWriter(tmp_path / "walk.mp4", Fraction(24000, 1001)) as writer:
        for t in range(5):
            writer.write(np.full((H, W, 3), 30 * t, np.uint8))
    (tmp_path / "run" / "masks").mkdir(parents=True)
    for t in range(5):
        labels = np.zeros((H, W), np.uint8)
        labels[2:5, t : t + 4] = 1
        labels[6:9, 8:12] = 2
        write_mask(tmp_path / "run" / "masks" / f"{t:05d}.png", labels)
    run_record = {"run": {"frames": 5, "size": [H, W], "video": "walk.mp4"}, "object_ids": [1, 2]}
    run_record |= {"video_path": "../walk.mp4", "status": "complete"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(run_record))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def test_a_range_is_exported_under_its_names(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", "run", "--to", "object-png", "--first", "1", "--last", "3", "--name", "1=dog")
    assert tinct_command(monkeypatch, *words) == 0
    out = run / "exports" / "object-png"
    assert str(Path("run") / "exports" / "object-png") in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["1_dog", "2"]
    assert sorted(path.name for path in (out / "1_dog").iterdir()) == [f"0000{t}.png" for t in (1, 2, 3)]
    assert read_label_png(out / "1_dog" / "00002.png")[3, 2] == 255


@pytest.mark.parametrize(
    ("words", "rate"), [((), Fraction(24000, 1001)), (("--fps", "30000/1001"), Fraction(30000, 1001))]
)
def test_the_rate_is_the_films_unless_one_is_given(
    run: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], rate: Fraction
) -> None:
    assert tinct_command(monkeypatch, "export", "run", "--to", "overlay", "--out", "o.mp4", *words) == 0
    with av.open("o.mp4") as container:
        assert container.streams.video[0].average_rate == rate


def test_a_video_that_moved_is_given(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("walk.mp4").rename("moved.mp4")
    words = ("export", "run", "--to", "cutout-png", "--out", "cut")
    assert tinct_command(monkeypatch, *words) == 1
    assert "--video PATH" in capsys.readouterr().err
    assert tinct_command(monkeypatch, *words, "--video", "moved.mp4") == 0
    assert len(list(Path("cut").iterdir())) == 5


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["export", "run"], 2, "--to"),
        (["export", "run", "--to", "exrr"], 1, "Did you mean 'exr'"),
        (["export", "nothing", "--to", "palette-png"], 1, "no run.json"),
        (["export", "run", "--to", "soft-png"], 1, "--soft"),
        (["export", "run", "--to", "palette-png", "--first", "5"], 1, "frames 0 to 4"),
        (["export", "run", "--to", "palette-png", "--name", "dog"], 1, "1=dog"),
        (["export", "run", "--to", "palette-png", "--name", "3=dog"], 1, "objects 1, 2"),
        (["export", "run", "--to", "overlay", "--fps", "fast"], 1, "30000/1001"),
        (["export", "run", "--to", "overlay", "--video", "none.mp4"], 1, "none.mp4"),
        (["export", "run", "--to", "exr", "--matte", "gided"], 1, "Did you mean 'guided'"),
        (["export", "run", "--to", "exr", "--feather", "-1"], 1, "from 0 to 200"),
        (["export", "run", "--to", "exr", "--objects", "one"], 1, "such as 1,3"),
        (["export", "run", "--to", "exr", "--objects", "3"], 1, "objects 1, 2"),
        (["export", "run", "--to", "coco", "--start", "1"], 1, "expected 0 or more"),
    ],
)
def test_what_cannot_be_done_is_explained(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    assert tinct_command(monkeypatch, *words) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (run / "exports").exists()


def test_finished_mattes_of_one_object_from_a_number(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--objects", "1", "--start", "1001", "--last", "2", "--grow", "-1", "--matte", "guided"]
    words += ["--matte-band", "2", "--feather", "1.5", "--fill-holes", "4", "--remove-specks", "1"]
    words += ["--smooth", "0.3", "--steady", "1"]
    assert tinct_command(monkeypatch, "export", "run", "--to", "soft-png", "--out", "soft", *words) == 0
    files = sorted(path.relative_to("soft").as_posix() for path in Path("soft").rglob("*.png"))
    assert files == ["1/01001.png", "1/01002.png", "1/01003.png"]
    with Pictures.open("soft/1/01002.png") as picture:
        alpha = np.array(picture) / 65535
    assert ((alpha > 0) & (alpha < 1)).any()


def test_a_band_alone_is_no_finishing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("export", "run", "--to", "palette-png", "--out", "same", "--matte-band", "3")
    assert tinct_command(monkeypatch, *words) == 0
    for path in (run / "masks").iterdir():
        assert (Path("same") / path.name).read_bytes() == path.read_bytes()


def test_names_are_parsed() -> None:
    assert parse_names(["1=dog", "12= a=b "]) == {1: "dog", 12: "a=b"}
    for wrong in (["dog"], ["=dog"], ["1="], ["-1=dog"], ["1=dog", "1=cat"], ["x=dog"]):
        with pytest.raises(OptionError):
            parse_names(wrong)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25", Fraction(25)), ("23.976", Fraction(2997, 125)), ("24000/1001", Fraction(24000, 1001))],
)
def test_rates_are_parsed_exactly(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-5", "1/0", "nan", "inf", "fast", "1e9"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--fps"):
        parse_rate(text)


def test_the_help_names_every_format() -> None:
    import inspect

    from tinct.cli import export
    from tinct.interchange.exports import FORMATS

    for name in FORMATS:
        assert name in inspect.getsource(export)
