from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_kit import make_clip, still
from s3_kit import s3_server, settings

from tinct.batch import video_job
from tinct.batch.manifest import VideoRow
from tinct.batch.prompts import promptable_segmenter
from tinct.batch.video_job import VideoOptions
from tinct.batch.videos import VideoSegmentation
from tinct.errors import MissingVideoError, OptionError, OutputError, TinctError
from tinct.inference.promptable import Box, FramePrompt, Point, PromptableSegmenter
from tinct.io.mask_files import read_mask, write_mask
from tinct.io.masks import ObjectMasks
from tinct.shapes import Image
from tinct.zoo import promptable as zoo_promptable

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    make_clip(tmp_path / "clips", "a")
    return tmp_path / "clips"


def row_of(clips: Path, **values: Any) -> VideoRow:
    return VideoRow.read({"video": "a", "masks": "a.png", **values}, str(clips))


def segmentation(out: Path | str, **options: Any) -> VideoSegmentation:
    return VideoSegmentation(VideoOptions(str(out), segmenter=still, **options))


def test_a_row_becomes_a_run_folder_with_exports_and_a_row_of_the_table(tmp_path: Path, clips: Path) -> None:
    result = segmentation(tmp_path / "out", formats=("object-png", "overlay"))(row_of(clips))
    folder = tmp_path / "out/videos/a"
    expected = {"status": "complete", "frames": 3, "objects": 1, "skipped": False}
    assert {key: result[key] for key in expected} == expected
    assert result["where"] == str(folder)
    assert result["confidence"] == 1
    names = {path.name for path in folder.iterdir()}
    assert names == {"masks", "exports", "run.json", "result.json", "thumbnail.jpg"}
    assert (folder / "exports/overlay.mp4").stat().st_size
    assert len(list((folder / "exports/object-png").rglob("*.png"))) == 3
    assert json.loads((folder / "run.json").read_text())["video_path"] == "../../../clips/a"
    assert not any((tmp_path / "out/.unfinished").iterdir())


def test_what_is_complete_is_computed_again_only_if_its_content_changed(tmp_path: Path, clips: Path) -> None:
    work = segmentation(tmp_path / "out")
    work(row_of(clips))
    before = (tmp_path / "out/videos/a/masks/00002.png").stat().st_mtime_ns
    assert work(row_of(clips))["skipped"]
    assert (tmp_path / "out/videos/a/masks/00002.png").stat().st_mtime_ns == before
    # The same name and size of another picture is another video; so is another mask, another prompt.
    labels = np.zeros((24, 32), np.uint8)
    labels[2:9, 3:9] = 4
    write_mask(clips / "a.png", labels)
    assert not work(row_of(clips))["skipped"]
    assert (read_mask(tmp_path / "out/videos/a/masks/00002.png") == labels).all()
    assert not work(row_of(clips, frames=":2"))["skipped"]
    assert work(row_of(clips, frames=":2"))["skipped"]
    assert not segmentation(tmp_path / "out", overlay=True)(row_of(clips, frames=":2"))["skipped"]


def test_a_row_says_how_it_is_segmented(tmp_path: Path, clips: Path) -> None:
    seen: list[str] = []

    def noted(config: Any, video: Any, prompts: Any) -> Any:
        seen.append(f"{config.method} {config.direction} {len(video)} {sorted(prompts)}")
        return still(config, video, prompts)

    work = VideoSegmentation(VideoOptions(str(tmp_path / "out"), segmenter=noted))
    row = row_of(clips, masks="1:a.png", frames="1:3", method="osvos", direction="backward")
    assert work(row)["frames"] == 2
    assert seen == ["osvos backward 2 [0]"]
    assert [path.stem for path in sorted((tmp_path / "out/videos/a/masks").iterdir())] == ["00001", "00002"]


class Squares(PromptableSegmenter):
    """A box is its object; a point is a square around it."""

    def propose(self, frame: Image, prompt: FramePrompt) -> ObjectMasks:
        labels = np.zeros(frame.shape[:2], np.uint8)
        for i, each in prompt.objects.items():
            each.check(*frame.shape[:2])
            boxes = [Box(p.x - 2, p.y - 2, p.x + 2, p.y + 2) for p in each.points]
            for box in boxes + ([] if each.box is None else [each.box]):
                x0, y0, x1, y1 = map(int, box)
                labels[y0:y1, x0:x1] = i
        return ObjectMasks.from_label_map(labels)


def test_points_and_boxes_become_masks_and_correct_those_of_files(tmp_path: Path, clips: Path) -> None:
    work = segmentation(tmp_path / "out", promptable=lambda device: Squares())
    work(row_of(clips, points="0:2:28,20", boxes="0:3:20,2,26,8"))
    labels = read_mask(tmp_path / "out/videos/a/masks/00002.png")
    areas = {int(i): int((labels == i).sum()) for i in np.unique(labels)}
    assert areas == {0: 768 - 168 - 16 - 36, 1: 168, 2: 16, 3: 36}
    segmentation(tmp_path / "all", promptable=lambda device: Squares())(row_of(clips, boxes="0:3:0,0,32,24"))
    labels = read_mask(tmp_path / "all/videos/a/masks/00002.png")
    assert ((labels == 1).sum(), (labels == 3).sum()) == (168, 768 - 168)  # what is painted stays
    with pytest.raises(OptionError, match=r"The point \(99, 20\) lies outside"):
        work(row_of(clips, points="0:2:99,20"))


def test_the_zoos_segmenter_by_prompts_answers(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo_promptable, "build_promptable", lambda device: Squares())
    promptable_segmenter.cache_clear()
    segmentation(tmp_path / "out")(replace(row_of(clips), masks=(), points=((0, 1, Point(3, 3)),)))
    promptable_segmenter.cache_clear()
    assert int(read_mask(tmp_path / "out/videos/a/masks/00002.png").sum()) == 16


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"video": "none.mp4"}, MissingVideoError, "none.mp4"),
        ({"masks": ""}, OptionError, "a has no prompt"),
        ({"masks": "9:a.png"}, OptionError, "frames 0 to 2"),
        ({"masks": "a.png;0:a.png"}, OptionError, "another mask of frame 0"),
        ({"frames": "2:9"}, OptionError, "has 3 frames"),
        ({"video": "http://127.0.0.1:9/x.mp4?sig=hunter22"}, OptionError, "cannot be reached"),
    ],
)
def test_what_is_wrong_with_a_row_is_one_line(
    tmp_path: Path, clips: Path, values: dict[str, Any], kind: type[TinctError], message: str
) -> None:
    with pytest.raises(kind, match=message) as error:
        segmentation(tmp_path / "out")(row_of(clips, **values))
    assert "hunter22" not in str(error.value)
    assert not (tmp_path / "out/videos").exists()


def test_a_full_disk_leaves_nothing_that_looks_complete(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from tinct.runs import segment_to_folder

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "masks/00001.png")

    with monkeypatch.context() as patched:
        patched.setattr(segment_to_folder, "write_mask", full)
        with pytest.raises(OutputError, match="No space left"):
            segmentation(tmp_path / "out")(row_of(clips))
    assert not (tmp_path / "out/videos").exists()
    assert not segmentation(tmp_path / "out")(row_of(clips))["skipped"]


def test_a_process_that_dies_at_any_step_of_the_end_leaves_a_video_that_is_made_anew(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [(video_job, "export"), (video_job, "draw_masks"), (video_job, "path_below"), (os, "rename")]
    for owner, name in steps:
        function, calls = getattr(owner, name), [0]

        def dies(*args: Any, calls: list[int] = calls, function: Any = function, **options: Any) -> Any:
            function(*args, **options)
            calls[0] += 1
            raise KeyboardInterrupt

        out = tmp_path / name
        work = segmentation(out, formats=("object-png", "palette-png"))
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, dies)
            with pytest.raises(KeyboardInterrupt):
                work(row_of(clips))
        assert (out / "videos/a").exists() == (name == "rename")
        assert work(row_of(clips))["skipped"] == (name == "rename")
        assert len(list((out / "videos/a/exports").rglob("*.png"))) == 6


def test_inputs_and_outputs_may_lie_elsewhere(tmp_path: Path, clips: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(clips), "/store/clips", recursive=True)
    row = VideoRow.read({"video": "memory://store/clips/a", "masks": "memory://store/clips/a.png"})
    result = segmentation("memory://store/out", staging=tmp_path / "cache", formats=("coco",))(row)
    assert result["where"] == "memory://store/out/videos/a"
    names = {name.removeprefix("/store/out/videos/a/") for name in memory.find("/store/out")}
    masks = {f"masks/{index:05}.png" for index in range(3)}
    assert names == masks | {"run.json", "result.json", "thumbnail.jpg", "exports/coco.json"}
    assert not any((tmp_path / "cache").iterdir())
    assert segmentation("memory://store/out", staging=tmp_path / "cache", formats=("coco",))(row)["skipped"]


def test_a_bucket_gives_the_clips_and_takes_the_masks(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    work = segmentation("s3://bucket/out", staging=tmp_path / "cache")
    row = VideoRow.read({"video": "s3://bucket/clips/a", "masks": "s3://bucket/clips/a.png"})
    with s3_server() as server:
        for name, value in settings(server).items():
            monkeypatch.setenv(name, value)
        for path in clips.rglob("*.png"):
            server.objects[f"bucket/clips/{path.relative_to(clips)}"] = path.read_bytes()
        server.full = True
        with pytest.raises(OutputError, match="InsufficientStorage"):
            work(row)
        server.full = False
        assert not work(row)["skipped"]
        assert work(row)["skipped"]
        files = [name for name in server.objects if "/out/" in name and not name.endswith("/")]
        names = {name.removeprefix("bucket/out/videos/a/") for name in files}
        masks = {f"masks/{index:05}.png" for index in range(3)}
        assert names == masks | {"run.json", "result.json", "thumbnail.jpg"}
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAXXXXXXXXXXXXXXXX")
        with pytest.raises(OptionError, match="access was refused; check the credentials") as error:
            work(row)
    assert "AKIA" not in str(error.value)
    with pytest.raises(OptionError, match="cannot be reached") as error:
        work(row)
    assert "hunter22" not in str(error.value)
