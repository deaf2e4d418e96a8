from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinct.errors import MaskError, OptionError, OutputError, VideoError
from tinct.inference.segmenter import VideoSegmenter
from tinct.interchange.exports import FORMATS, LabelledVideo, export
from tinct.io.mask_files import read_label_png
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.io.video_writer import VideoWriter
from tinct.runs.segment_to_folder import FolderOptions, segment_to_folder

H, W = 12, 16


def need_packages(to: str) -> None:
    """Skip where a format's package is not installed."""
    if (extra := FORMATS[to].extra) is not None:
        pytest.importorskip({"coco": "pycocotools", "vfx": "OpenEXR"}[extra], reason=f"needs tinct[{extra}]")


class Fading(VideoSegmenter):
    """Every object loses certainty with time; object 5 comes with frame 2."""

    def segment(self, video: Video, prompts: Mapping[int, np.ndarray]) -> Iterator[tuple[int, ObjectMasks]]:
        for index in range(len(video)):
            masks = ObjectMasks.from_label_map(prompts[0])
            keep = [p for p, i in enumerate(masks.object_ids) if i != 5 or index >= 2]
            probs = masks.probs[keep] * np.float32(1 - index / 20)
            yield index, ObjectMasks(tuple(masks.object_ids[p] for p in keep), probs)


def prompt() -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[2:7, 2:8] = 1
    labels[8:12, 9:15] = 5
    return labels


@pytest.fixture
def video_file(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "walk.mp4", Fraction(24000, 1001)) as writer:
        for t in range(4):
            writer.write(np.full((H, W, 3), 40 * t, np.uint8))
    return tmp_path / "walk.mp4"


def run_of(path: Path, out: Path, *, soft: bool = False, **notes: object) -> Path:
    segment_to_folder(
        Fading(),
        Video.open(path),
        {0: prompt()},
        out,
        FolderOptions(overlay=False, soft=soft),
        info={"video": path.name},
        notes=notes,
    )
    return out


@pytest.mark.parametrize("to", sorted(FORMATS))
def test_every_format_goes_through_the_video_once_and_reports(
    soft: LabelledVideo, tmp_path: Path, to: str
) -> None:
    need_packages(to)
    asked: list[int] = []
    calls: list[tuple[int, int]] = []

    def labels(index: int) -> np.ndarray:
        asked.append(index)
        return soft.labels(index)

    out = export(
        replace(soft, labels=labels),
        to,
        tmp_path / "a" / "b" / "out",
        1,
        4,
        progress=lambda *a: calls.append(a),
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert asked == ([] if to == "soft-png" else [1, 2, 3, 4])
    assert list((tmp_path / "a" / "b").iterdir()) == [out]
    assert out.is_file() == FORMATS[to].one_file
    assert out.suffix == (FORMATS[to].suffix or "")


@pytest.mark.parametrize("to", sorted(FORMATS))
def test_an_export_that_is_stopped_leaves_nothing(soft: LabelledVideo, tmp_path: Path, to: str) -> None:
    need_packages(to)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(soft, to, tmp_path / "out", progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", sorted(FORMATS))
def test_memory_does_not_grow_with_the_video(tmp_path: Path, to: str) -> None:
    """Traced by Python's allocations, which numpy's are among: four times the frames, no more memory."""
    import tracemalloc

    need_packages(to)

    def labels(index: int) -> np.ndarray:
        rows, columns = np.mgrid[:90, :120]
        return ((rows // 10 + columns // 10 + index) % 2).astype(np.uint8)

    def peak(count: int) -> int:
        video = Video.from_arrays([np.full((90, 120, 3), 50, np.uint8)] * count)
        source = LabelledVideo(
            video.names,
            video.size,
            (1,),
            labels,
            video,
            soft=lambda i: ObjectMasks((1,), labels(i)[None] / np.float32(2)),
        )
        tracemalloc.start()
        try:
            export(source, to, tmp_path / f"{to}{count}")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)
    # Sixteen more label maps would be 173 kB, as many pictures 518 kB.
    assert peak(20) - peak(4) < 60_000


def test_an_unknown_format_is_refused(labelled: LabelledVideo, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'cocco'.*Did you mean 'coco'"):
        export(labelled, "cocco", tmp_path / "out")


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (3, 2), (0, 6), (6, None)])
def test_a_range_outside_the_video_is_refused(
    labelled: LabelledVideo, tmp_path: Path, first: int, last: int | None
) -> None:
    with pytest.raises(OptionError, match="frames 0 to 5"):
        export(labelled, "coco", tmp_path / "out.json", first, last)


def test_a_name_for_nobody_is_refused(labelled: LabelledVideo, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="object 2; the video has the objects 1, 5, 7"):
        export(labelled, "palette-png", tmp_path / "out", names={2: "dog"})


def test_a_video_without_objects_is_refused(labelled: LabelledVideo, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no objects"):
        export(replace(labelled, object_ids=()), "palette-png", tmp_path / "out")


@pytest.mark.parametrize("to", ["palette-png", "coco", "overlay"])
def test_soft_edges_are_for_formats_that_have_them(soft: LabelledVideo, tmp_path: Path, to: str) -> None:
    with pytest.raises(OptionError, match="cutout-prores, cutout-png, exr"):
        export(soft, to, tmp_path / "out", soft=True)


def test_a_folder_with_something_in_it_is_left_alone(labelled: LabelledVideo, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(labelled, "palette-png", tmp_path / "out", last=1)
    with pytest.raises(OutputError, match="there already"):
        export(labelled, "palette-png", tmp_path / "out", first=3)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_package_that_is_missing_is_named(
    labelled: LabelledVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    for to, extra in (("coco", "coco"), ("youtube-vis", "coco"), ("exr", "vfx")):
        with pytest.raises(OptionError, match=rf"pip install 'tinct\[{extra}\]'"):
            export(labelled, to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_run_finds_its_video_and_rate(video_file: Path, tmp_path: Path) -> None:
    run = run_of(
        video_file, tmp_path / "deep" / "run", video_path="../../walk.mp4", object_names={"5": "cat"}
    )
    source = LabelledVideo.of_run(run)
    assert (len(source), source.size, source.object_ids) == (4, (H, W), (1, 5))
    assert source.rate == Fraction(24000, 1001)
    assert source.require_video().path is not None
    assert [source.name_of(i) for i in (1, 5)] == ["object 1", "cat"]
    assert source.title == "walk"
    out = export(source, "palette-png", tmp_path / "out", first=1, last=2)
    assert sorted(path.name for path in out.iterdir()) == ["00001.png", "00002.png"]
    expected = np.where(prompt() == 5, 0, prompt())
    np.testing.assert_array_equal(read_label_png(out / "00001.png"), expected)
    np.testing.assert_array_equal(read_label_png(out / "00002.png"), prompt())


def test_a_run_without_its_video_exports_all_that_shows_no_picture(video_file: Path, tmp_path: Path) -> None:
    run = run_of(video_file, tmp_path / "deep" / "run", video_path="../../walk.mp4", frame_rate="24000/1001")
    video_file.rename(tmp_path / "moved.mp4")
    source = LabelledVideo.of_run(run)
    assert (source.video, source.rate) == (None, Fraction(24000, 1001))
    out = export(source, "object-png", tmp_path / "out")
    assert len(list((out / "1").iterdir())) == 4
    for to in ("overlay", "cutout-png", "cutout-prores"):
        with pytest.raises(OptionError, match=r"pictures of walk.*--video PATH"):
            export(source, to, tmp_path / "video")
    again = LabelledVideo.of_run(run, Video.open(tmp_path / "moved.mp4"))
    export(again, "overlay", tmp_path / "video.mp4")
    assert len(Video.open(tmp_path / "video.mp4")) == 4


def test_masks_alone_tell_the_order_of_the_frames(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for t in (8, 9, 10, 11):
        Image.fromarray(np.full((H, W, 3), t, np.uint8)).save(tmp_path / "clip" / f"f{t}.png")
    run = run_of(tmp_path / "clip", tmp_path / "runs" / "run")
    (tmp_path / "clip").rename(tmp_path / "elsewhere")
    assert list(LabelledVideo.of_run(run).frame_names) == ["f8", "f9", "f10", "f11"]


def test_another_video_is_refused(video_file: Path, tmp_path: Path) -> None:
    run = run_of(video_file, tmp_path / "run")
    other = Video.from_arrays([np.zeros((H, W, 3), np.uint8)] * 5)
    with pytest.raises(OptionError, match=r"5 frames of 16×12 pixels, but .* was made of 4 of 16×12"):
        LabelledVideo.of_run(run, other)


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"run": {}}', '{"run": {"frames": "x", "size": [1, 2]}}']
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(OutputError, match=r"run\.json"):
        LabelledVideo.of_run(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"object_ids": 3},
        {"object_ids": ["x"]},
        {"object_names": ["dog"]},
        {"object_names": {"x": "dog"}},
        {"frame_rate": "1/0"},
        {"frame_rate": "-25"},
        {"frame_rate": []},
        {"video_path": 3},
        {"run": {"frames": 4, "size": [H, W], "levels": 3}},
        {"run": {"frames": 4, "size": [H, W], "frame_range": "x"}},
    ],
)
def test_a_record_with_malformed_entries_is_refused(
    video_file: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = run_of(video_file, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **changes}))
    with pytest.raises(OutputError, match=r"run\.json cannot be read as a run's record"):
        LabelledVideo.of_run(run)


def test_an_unfinished_run_exports_the_frames_that_it_has(video_file: Path, tmp_path: Path) -> None:
    run = run_of(video_file, tmp_path / "run")
    (run / "masks" / "00003.png").unlink()
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "interrupted", "frames_done": 3}))
    source = LabelledVideo.of_run(run)
    export(source, "palette-png", tmp_path / "three", last=2)
    with pytest.raises(MaskError, match=r"interrupted, with 3 of 4 masks.*--last"):
        export(source, "palette-png", tmp_path / "four")
    video_file.unlink()
    with pytest.raises(OptionError, match="3 of 4 masks, and its video is not where it was"):
        LabelledVideo.of_run(run)


def test_a_video_that_is_broken_by_now_is_explained(video_file: Path, tmp_path: Path) -> None:
    run = run_of(video_file, tmp_path / "run")
    video_file.write_bytes(b"")
    with pytest.raises(VideoError, match=r"walk\.mp4"):
        LabelledVideo.of_run(run)


def test_a_soft_run_exports_what_the_segmenter_said(video_file: Path, tmp_path: Path) -> None:
    run = run_of(video_file, tmp_path / "run", soft=True)
    source = LabelledVideo.of_run(run)
    out = export(source, "soft-png", tmp_path / "out")
    for index in range(4):
        for object_id in (1, 5):
            with Image.open(out / str(object_id) / f"{index:05d}.png") as picture:
                grey = np.asarray(picture)
            there = (prompt() == object_id) & (object_id == 1 or index >= 2)
            np.testing.assert_array_equal(grey, np.rint(there * np.float32(1 - index / 20) * 65535))


def test_a_soft_mask_that_was_lost_is_missed(video_file: Path, tmp_path: Path) -> None:
    run = run_of(video_file, tmp_path / "run", soft=True)
    (run / "soft" / "5" / "00003.png").unlink()
    with pytest.raises(MaskError, match=r"no soft mask .*5.00003\.png"):
        export(LabelledVideo.of_run(run), "soft-png", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_snippets_of_the_page_run(
    video_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    from tinct.io.mask_files import write_mask

    run_of(video_file, tmp_path / "run", video_path="../walk.mp4")
    video_file.with_name("clip.mp4").write_bytes(video_file.read_bytes())
    write_mask(tmp_path / "first.png", prompt())
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "exports.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for snippet in snippets:
        exec(compile(snippet, "snippet", "exec"), {"__name__": "snippet"})
    assert len(snippets) == 2
    assert sorted(path.name for path in Path("mattes/1_dog").iterdir()) == [f"0000{t}.png" for t in (1, 2, 3)]
    for name in FORMATS:
        assert f"| `{name}` |" in page
