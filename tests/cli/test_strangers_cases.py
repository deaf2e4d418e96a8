"""Situations from other projects' bug reports, on the real command line: each as its expect.md says.

The inputs are made by the scripts of the cases, which lie beside the checkout.
"""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from command_kit import tinct_command

from tinct.io.mask_files import read_label_png
from tinct.io.video import Video

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("always::tinct.io.masks.MaskWarning"),  # they are lines for people
]

SQUARE, DISC = 900, 697
"""Pixels of the two objects in the first frame of all cases."""


class Ended(NamedTuple):
    """How a command ended: its exit code, what it printed, and its run folder."""

    code: int
    printed: str
    out: Path

    def counts(self, frame: str = "00000") -> dict[int, int]:
        """Pixels of each object in a mask."""
        ids, counts = np.unique(read_label_png(self.out / "masks" / f"{frame}.png"), return_counts=True)
        return {int(i): int(count) for i, count in zip(ids, counts, strict=True) if i}


class Case:
    """The input of one case, and the commands over it.

    Args:
        name: The folder of the case.
        folder: For the input.
        command: Runs `tinct WORDS...`; gives the exit code and what was printed.
    """

    def __init__(self, name: str, folder: Path, command: Callable[..., tuple[int, str]]) -> None:
        self.input, self.command, self._runs = folder / name / "input", command, 0
        self.input.parent.mkdir()
        shutil.copyfile(CASES / name / "make.py", folder / name / "make.py")
        runpy.run_path(str(folder / name / "make.py"))

    def segment(self, video: str, mask: str, *words: str, frames: str = ":2", index: str = "") -> Ended:
        """Segment the first frames with FEELVOS."""
        self._runs += 1
        out = self.input.parent / f"run-{self._runs}"
        given = ["--mask", f"{index}{self.input / mask}", "--out", str(out), "--frames", frames]
        settings = ["--preset", "fast", "--no-overlay", "--device", "cpu", *words]
        return Ended(*self.command("segment", str(self.input / video), *given, *settings), out)

    def score(self, protocol: str) -> Ended:
        """Score `pred` by `gt`."""
        folders = str(self.input / "pred"), str(self.input / "gt")
        return Ended(*self.command("score", *folders, "--protocol", protocol), self.input)


@pytest.fixture
def case(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Case:
    """The case that the test is named after: its number is in the test's name."""
    if not CASES.is_dir():
        pytest.skip("needs the cases of bug reports next to the checkout")

    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = tinct_command(monkeypatch, *words)
        return code, "".join(capsys.readouterr())

    number = request.node.originalname.removeprefix("test_")[:2]
    [name] = [path.name for path in CASES.iterdir() if path.name.startswith(number)]
    return Case(name, tmp_path, command)


def test_01_tracks_of_cvat_keep_their_objects(case: Case) -> None:
    ended = case.segment("frames", "video.xml", frames=":6")
    assert ended.code == 0, ended.printed
    assert "video.xml → frame 0 (00000)" in ended.printed
    assert "video.xml → frame 4 (00004)" in ended.printed
    assert ended.counts() == {1: SQUARE, 2: SQUARE}
    assert ended.counts("00004")[2] > SQUARE // 2


def test_02_a_number_from_1_is_said(case: Case) -> None:
    ended = case.segment("clip.mp4", "first.json")
    assert ended.code == 0, ended.printed
    assert "first.json → frame 1 (00001)" in ended.printed
    assert "counts from 1, as ffmpeg does, give 0:first.json" in ended.printed
    assert case.segment("clip.mp4", "first.json", index="0:").counts() == {1: SQUARE}


@pytest.mark.parametrize("k", range(5))
def test_03_digits_that_are_no_frame_number(case: Case, k: int) -> None:
    ended = case.segment("clip.mp4", f"name{k}.json")
    assert ended.code == 1
    assert f"INDEX:name{k}.json" in ended.printed
    assert not ended.out.exists()


def test_04_a_mask_called_like_a_frame_is_of_that_frame(case: Case) -> None:
    ended = case.segment("frames", "00005.png", frames="4:7")
    assert "00005.png → frame 5 (00005)" in ended.printed
    assert (ended.counts("00004"), ended.counts("00005").keys()) == ({}, {1, 2})


def test_05_background_and_ignore_of_labelme(case: Case) -> None:
    ended = case.segment("frames", "a.json")
    assert ended.counts() == {1: SQUARE - 100}
    assert "200 pixels undecided (255)" in ended.printed
    assert "of object 1\n" in ended.printed


@pytest.mark.parametrize("name", ["rgba", "la", "palette_trns"])
def test_06_a_mask_in_the_alpha(case: Case, name: str) -> None:
    ended = case.segment("frames", f"{name}.png")
    assert ended.counts() == {1: SQUARE}, ended.printed


@pytest.mark.parametrize("repair", [(), ("--repair-mask",)])
def test_07_a_cutout_as_mask(case: Case, repair: tuple[str, ...]) -> None:
    ended = case.segment("frames", "cutout.png", *repair)
    assert ended.counts() == {1: SQUARE + DISC}
    assert "its transparency (alpha) is taken for the mask" in ended.printed


def test_08_no_pixel_is_background(case: Case) -> None:
    ended = case.segment("frames", "m.png")
    assert (ended.code, ended.out.exists()) == (1, False)
    assert "no pixel of background (0), and 255 on 13763 pixels" in ended.printed
    # What the message advises works.
    assert case.segment("frames", "m.png", "--repair-mask").counts() == {1: SQUARE, 2: DISC}


@pytest.mark.parametrize("grey", [128, 127, 85, 100])
def test_09_white_beside_grey_is_an_object(case: Case, grey: int) -> None:
    ended = case.segment("frames", f"grey_{grey}_255.png")
    assert ended.counts() == {1: DISC, grey: SQUARE}
    assert f"white (255) on {DISC} pixels is taken for an object" in ended.printed


@pytest.mark.parametrize(("folder", "bits"), [("bits12", 12), ("int32", 8), ("bits8in16", 8)])
def test_10_few_bits_in_large_files(case: Case, folder: str, bits: int) -> None:
    ended = case.segment(folder, "m.png")
    assert f"taken to be of {bits} bits" in ended.printed
    plain = case.segment("bits8", "m.png")
    assert "taken to be" not in plain.printed
    expected, found = (Video.open(case.input / name) for name in ("bits8", folder))
    assert max(int(abs(a.astype(int) - b).max()) for a, b in zip(expected, found, strict=True)) <= 1
    assert ended.counts("00001").keys() == plain.counts("00001").keys() == {1}


@pytest.mark.parametrize("name", ["stack.tif", "film.webp"])
def test_11_pages_are_frames(case: Case, name: str) -> None:
    ended = case.segment(name, "m.png", frames="0:12")
    assert ended.counts() == {1: SQUARE, 2: DISC}
    assert len(list((ended.out / "masks").glob("*.png"))) == 12


def test_11_pages_in_a_folder_or_as_a_mask(case: Case) -> None:
    for video, mask, says in [("folder", "m.png", "12 pictures"), ("frames", "masks.tif", "3 pictures")]:
        ended = case.segment(video, mask)
        assert ended.code == 1
        assert says in ended.printed


@pytest.mark.parametrize("folder", ["o9", "o65535", "ostr"])
def test_12_an_invalid_orientation_is_upright(case: Case, folder: str) -> None:
    assert Video.open(case.input / folder).size == (96, 160)
    assert case.segment(folder, "m.png").counts() == {1: SQUARE, 2: DISC}
    assert "Width and height are swapped" in case.segment(folder, "mT.png").printed


def test_13_a_broken_tag_beside_the_orientation(case: Case) -> None:
    ended = case.segment("frames", "m.png")
    assert ended.counts() == {1: SQUARE, 2: DISC}
    assert read_label_png(ended.out / "masks" / "00000.png").shape == (160, 96)


@pytest.mark.parametrize(
    ("folder", "names"),
    [("frames", ["0", "0.04", "0.08", "0.12"]), ("negative", ["-5", "-4", "-3", "-2"])],
)
def test_14_numbers_in_names_give_the_order(case: Case, folder: str, names: list[str]) -> None:
    frames = list(Video.open(case.input / folder).names)
    assert frames[:4] == names
    assert frames == sorted(frames, key=float)
    ended = case.segment(folder, "m.png")
    assert ended.counts(names[0]) == {1: SQUARE, 2: DISC}
    assert (ended.out / "masks" / f"{names[1]}.png").exists()


def test_15_a_mask_among_the_frames_is_named(case: Case) -> None:
    ended = case.segment("frames", "m.png")
    assert ended.code == 1
    assert "12 frames and 00000_mask.png" in ended.printed


def test_16_the_pixel_aspect_stays(case: Case) -> None:
    ended = case.segment("sar.mp4", "m.png", "--overlay", frames="0:12")
    film = ended.out.with_suffix(".mov")
    code, printed = case.command("export", str(ended.out), "--to", "cutout-prores", "--out", str(film))
    assert code == 0, printed
    for path in (ended.out / "overlay.mp4", film):
        with av.open(path) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(32, 27), path.name


def test_17_predictions_numbered_from_one(case: Case) -> None:
    ended = case.score("davis-2017")
    assert ended.code == 1
    assert "are they numbered differently?" in ended.printed
    assert "swapped" not in ended.printed


def test_18_binary_masks_on_both_sides(case: Case) -> None:
    ended = case.score("plain")
    assert ended.code == 0
    assert "mean of 1 object  1.000" in ended.printed


@pytest.mark.parametrize("name", ["rotation", "quadrilateral", "oriented_rectangle"])
def test_19_shapes_of_four_corners(case: Case, name: str) -> None:
    assert case.segment("frames", f"{name}.json").counts() == {1: SQUARE}


def test_19_shapes_without_an_area(case: Case) -> None:
    mixed = case.segment("frames", "mixed.json")
    assert mixed.counts() == {1: SQUARE}
    assert "(tip) is a point, which has no area" in mixed.printed
    cuboid = case.segment("frames", "cuboid.json")
    assert cuboid.code == 1
    assert "a cuboid, which is a body in space" in cuboid.printed


def test_20_parts_of_outlines(case: Case) -> None:
    part = case.segment("frames", "part.json")
    assert part.counts() == {1: SQUARE}
    assert "a part of 2 points, which has no area; it is left out" in part.printed
    assert case.segment("frames", "flat.json").counts() == {1: SQUARE}
    assert SQUARE // 2 <= case.segment("frames", "pairs.json").counts()[1] < SQUARE // 2 + 30
    negative = case.segment("frames", "negative.json")
    assert negative.code == 1
    assert "one of them is negative (-1)" in negative.printed


@pytest.mark.parametrize(
    ("video", "mask", "index", "first"),
    [
        ("frames", "rle.json", "", "00000"),
        ("frames", "cvat.xml", "", "00000"),
        ("clip.mp4", "rle.json", "", "00000"),
        ("upper", "rle.json", "0:", "IMG_0000"),
    ],
)
def test_21_controls(case: Case, video: str, mask: str, index: str, first: str) -> None:
    assert case.segment(video, mask, index=index).counts(first) == {1: SQUARE}
