from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drift_kit import Drift
from fault_kit import FAULTS, Fault, prompt
from PIL import Image
from run_kit import mask_bytes, noise_video, run_json, run_to_folder, stop_at

from tinct.errors import MaskError, NumericalError, OptionError, OutputError, VideoError
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.segmenter import VideoSegmenter, segment_video
from tinct.io import masks as masks_module
from tinct.io.mask_files import read_label_png
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.runs import run_folder
from tinct.runs import segment_to_folder as predict
from tinct.runs.segment_to_folder import RunInterrupted, RunReport

H, W, FRAMES = 13, 18, 12
INFO = {"method": "drift", "variant": "tiny", "preset": "default", "weights_sha256": "00", "video": "clip"}


class Steady(VideoSegmenter):
    def segment(self, video: Video, prompts: Mapping[int, np.ndarray]) -> Iterator[tuple[int, ObjectMasks]]:
        for index, _ in enumerate(video):
            yield index, ObjectMasks.from_label_map(prompts[min(prompts)])


@pytest.fixture(autouse=True)
def _frequent_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "FRAMES_BETWEEN_STATES", 4)


@pytest.fixture
def video() -> Video:
    return noise_video(FRAMES, (H, W))


@pytest.fixture
def prompts() -> dict[int, np.ndarray]:
    labels = np.zeros((H, W), np.uint8)
    labels[2:7, 2:8] = 1
    labels[6:12, 10:16] = 5
    return {1: labels}


def run(video: Video, prompts: Mapping[int, np.ndarray], out: Path, **options: Any) -> RunReport:
    return run_to_folder(Drift(), video, prompts, out, info=INFO, **{"overlay": False, **options})


def interrupted(
    video: Video, prompts: Mapping[int, np.ndarray], out: Path, frames: int, **options: Any
) -> None:
    with pytest.raises(RunInterrupted):
        run(video, prompts, out, progress=stop_at(frames), **options)


def test_a_run_leaves_masks_film_and_record(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    report = run(video, prompts, tmp_path / "a" / "out", overlay=True)
    out = tmp_path / "a" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["masks", "overlay.mp4", "run.json"]
    expected = dict(segment_video(Drift(), video, prompts))
    for index, name in enumerate(video.names):
        labels = read_label_png(out / "masks" / f"{name}.png")
        np.testing.assert_array_equal(labels, expected[index].label_map)
    assert report == RunReport(
        out / "masks", out / "overlay.mp4", FRAMES, 0, (1, 5), report.seconds_per_frame
    )
    assert len(Video.open(out / "overlay.mp4")) == FRAMES


def test_the_record_says_what_ran(video: Video, prompts: dict[int, np.ndarray], tmp_path: Path) -> None:
    run(video, prompts, tmp_path)
    record = run_json(tmp_path)
    assert record["status"] == "complete"
    assert record["object_ids"] == [1, 5]
    assert record["run"] | INFO == record["run"]
    assert (record["run"]["frames"], record["run"]["size"]) == (FRAMES, [H, W])
    assert [len(sha) for sha in record["run"]["prompts"].values()] == [64]
    assert record["versions"].keys() >= {"tinct", "torch", "python"}
    # The blank frame before the prompt says nothing about speed.
    assert record["seconds_per_frame"]["frames"] == FRAMES - 1
    assert record["seconds_per_frame"]["mean"] > 0
    assert record["peak_memory_mb"] > 1


@pytest.mark.parametrize("frames", [0, 1, 3, 4, 7, 12])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, frames: int
) -> None:
    run(video, prompts, tmp_path / "whole")
    with pytest.raises(RunInterrupted, match=rf"{frames} of 12 masks are whole.*--resume"):
        run(video, prompts, tmp_path / "cut", progress=stop_at(frames))
    assert run_json(tmp_path / "cut")["status"] == "interrupted"
    report = run(video, prompts, tmp_path / "cut", resume=True)
    # Before the prompt, at frame 1, there is no state yet; after it not one frame is done twice.
    assert report.resumed_at == (frames if frames > 1 else 0)
    assert report.object_ids == (1, 5)
    assert mask_bytes(tmp_path / "cut") == mask_bytes(tmp_path / "whole")
    assert run_json(tmp_path / "cut")["status"] == "complete"
    assert not (tmp_path / "cut" / "state.safetensors").exists()


def test_a_killed_run_repeats_only_the_frames_since_its_last_state(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    def copy(stage: str, done: int, of: int) -> None:
        if done == 7:
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    run(video, prompts, tmp_path / "whole", progress=copy)
    assert run_json(tmp_path / "killed")["status"] == "running"
    assert run(video, prompts, tmp_path / "killed", resume=True).resumed_at == 4
    assert mask_bytes(tmp_path / "killed") == mask_bytes(tmp_path / "whole")


@pytest.mark.parametrize("broken", ["masks/00002.png", "state.safetensors"])
@pytest.mark.parametrize("how", ["truncated", "emptied", "removed"])
def test_a_damaged_folder_costs_time_only(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, broken: str, how: str
) -> None:
    run(video, prompts, tmp_path / "whole")
    interrupted(video, prompts, tmp_path / "cut", 9)
    path = tmp_path / "cut" / broken
    content = path.read_bytes()
    path.unlink()
    if how != "removed":
        path.write_bytes(content[: len(content) // 2 if how == "truncated" else 0])
    assert run(video, prompts, tmp_path / "cut", resume=True).resumed_at == 0
    assert mask_bytes(tmp_path / "cut") == mask_bytes(tmp_path / "whole")


def test_resuming_a_complete_run_computes_nothing_but_the_film(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path)
    before = run_json(tmp_path)
    stages: list[tuple[str, int, int]] = []
    report = run(video, prompts, tmp_path, resume=True, overlay=True, progress=lambda *s: stages.append(s))
    assert (report.resumed_at, report.seconds_per_frame, report.object_ids) == (FRAMES, None, (1, 5))
    assert stages == [("segment", 12, 12), *(("overlay", t, 12) for t in range(1, 13))]
    assert (tmp_path / "overlay.mp4").exists()
    assert run_json(tmp_path)["seconds_per_frame"] == before["seconds_per_frame"]


def test_resuming_nothing_begins(video: Video, prompts: dict[int, np.ndarray], tmp_path: Path) -> None:
    assert run(video, prompts, tmp_path, resume=True).resumed_at == 0


def test_a_video_segmenter_begins_again(video: Video, prompts: dict[int, np.ndarray], tmp_path: Path) -> None:
    def steady(**options: Any) -> RunReport:
        return run_to_folder(Steady(), video, prompts, tmp_path, info=INFO, overlay=False, **options)

    with pytest.raises(RunInterrupted):
        steady(progress=stop_at(5))
    report = steady(resume=True)
    assert (report.resumed_at, report.object_ids, len(mask_bytes(tmp_path))) == (0, (1, 5), FRAMES)


def film_of(folder: Path) -> list[np.ndarray]:
    return list(Video.open(folder / "overlay.mp4"))


def test_the_film_made_while_segmenting_is_the_one_made_afterwards(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    stages: list[str] = []
    run(video, prompts, tmp_path / "at once", overlay=True, progress=lambda *s: stages.append(s[0]))
    assert set(stages) == {"segment"}
    interrupted(video, prompts, tmp_path / "later", 5, overlay=True)
    assert not (tmp_path / "later" / "overlay.mp4").exists()
    run(video, prompts, tmp_path / "later", overlay=True, resume=True)
    np.testing.assert_array_equal(film_of(tmp_path / "at once"), film_of(tmp_path / "later"))


def test_an_interruption_while_filming_keeps_all_masks(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path)

    def progress(stage: str, done: int, of: int) -> None:
        if (stage, done) == ("overlay", 3):
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted, match="12 of 12"):
        run(video, prompts, tmp_path, overlay=True, resume=True, progress=progress)
    assert not (tmp_path / "overlay.mp4").exists()
    assert run(video, prompts, tmp_path, overlay=True, resume=True).resumed_at == FRAMES
    assert len(Video.open(tmp_path / "overlay.mp4")) == FRAMES


def test_the_same_run_without_resume_is_refused(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    run(video, prompts, tmp_path)
    before = mask_bytes(tmp_path)
    with pytest.raises(OutputError, match=r"already holds this run.*--resume"):
        run(video, prompts, tmp_path)
    assert mask_bytes(tmp_path) == before


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("what", ["method", "prompts", "video_sha256"])
def test_another_run_is_refused(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, resume: bool, what: str
) -> None:
    run(video, prompts, tmp_path)
    before = mask_bytes(tmp_path)
    info = {**INFO, "method": "other"} if what == "method" else INFO
    if what == "prompts":
        prompts = {2: prompts[1]}
    if what == "video_sha256":
        video = Video.from_arrays([255 - frame for frame in video])
    with pytest.raises(OutputError, match=f"another run .*{what}"):
        run_to_folder(Drift(), video, prompts, tmp_path, resume=resume, info=info)
    assert mask_bytes(tmp_path) == before


def test_masks_of_somebody_else_are_left_alone(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "00000.png").write_text("mine")
    with pytest.raises(OutputError, match=r"no run\.json"):
        run(video, prompts, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


@pytest.mark.parametrize("text", ["", "[]", '{"run": '])
def test_a_record_that_cannot_be_read_is_refused(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, text: str
) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(OutputError, match="cannot be read"):
        run(video, prompts, tmp_path, resume=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"fine_tuned": [{}]},
        {"fine_tuned": [3]},
        {"object_ids": 3},
        {"frames_done": [1]},
        {"run": 3},
    ],
)
def test_a_malformed_record_is_refused(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, changes: dict[str, Any]
) -> None:
    run(video, prompts, tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, **changes}))
    with pytest.raises(OutputError, match=r"cannot be read as|holds another run"):
        run(video, prompts, tmp_path, resume=True)


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("clip", "is the"),
        ("clip/out", "lies in"),
        ("clip/../clip", "is the"),
        (".", "contains"),
        ("..", "contains"),
    ],
)
def test_an_output_that_would_mix_with_the_frames_is_refused(
    out: str, says: str, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    folder = tmp_path / "a" / "clip"
    folder.mkdir(parents=True)
    for t in range(2):
        Image.fromarray(np.full((H, W, 3), t, np.uint8)).save(folder / f"{t}.png")
    video = Video.open(folder)
    with pytest.raises(OutputError, match=f"{says}.*Choose a folder beside it"):
        run(video, {0: prompts[1]}, tmp_path / "a" / out)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0.png", "1.png", "a", "clip"]
    assert run(video, {0: prompts[1]}, tmp_path / "a" / "clip2").frames == len(video)


def test_an_output_below_a_file_is_explained(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run(video, prompts, tmp_path / "file" / "out")


def test_a_read_only_folder_is_explained(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder.os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="Permission denied"):
        run(video, prompts, tmp_path)


def test_a_full_disk_keeps_the_masks_so_far(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(video, prompts, tmp_path / "whole")
    write = predict.write_mask
    written: list[Path] = []

    def full(path: Path, labels: np.ndarray) -> None:
        if len(written) == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, labels)

    monkeypatch.setattr(predict, "write_mask", full)
    with pytest.raises(OutputError, match=r"No space left on device. 6 of 12 masks are whole"):
        run(video, prompts, tmp_path / "cut")
    assert run_json(tmp_path / "cut")["status"] == "failed"
    monkeypatch.undo()
    assert run(video, prompts, tmp_path / "cut", resume=True).resumed_at == 6
    assert mask_bytes(tmp_path / "cut") == mask_bytes(tmp_path / "whole")


def test_a_disk_too_full_for_the_state_still_gives_the_message(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OutputError("full")

    monkeypatch.setattr(predict, "save_state", full)
    with pytest.raises(OutputError, match=r"full\. 4 of 12 masks are whole"):
        run(video, prompts, tmp_path)


def test_a_video_that_breaks_in_the_middle_keeps_the_masks_so_far(
    prompts: dict[int, np.ndarray], tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for t in range(6):
        Image.fromarray(np.random.default_rng(t).integers(0, 256, (H, W, 3), np.uint8)).save(
            folder / f"{t}.png"
        )
    path = folder / "4.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(VideoError, match="4 of 6 masks are whole"):
        run(Video.open(folder), prompts, tmp_path / "out")
    assert list(mask_bytes(tmp_path / "out")) == ["0.png", "1.png", "2.png", "3.png"]
    assert run_json(tmp_path / "out")["message"].startswith("Frame ")


def test_a_network_that_gives_nan_is_reported(
    video: Video, prompts: dict[int, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.Tensor, "clamp", lambda self, *_: self * float("nan"))
    with pytest.raises(NumericalError, match="frame 2"):
        run(video, prompts, tmp_path)
    assert run_json(tmp_path)["status"] == "failed"


def test_wrong_prompts_leave_no_folder(video: Video, prompts: dict[int, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        run(video, {FRAMES: prompts[1]}, tmp_path / "out")
    with pytest.raises(MaskError):
        run(video, {0: prompts[1][1:]}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_that_breaks_the_rules_is_never_complete(fault: Fault, tmp_path: Path) -> None:
    segmenter, video = fault.make()
    with pytest.raises(fault.error, match=fault.says):
        run_to_folder(segmenter, video, {0: prompt()}, tmp_path)
    record = run_json(tmp_path)
    assert (record["status"], record["frames_done"]) == ("failed", len(fault.good))
    assert sorted(mask_bytes(tmp_path)) == [f"{video.names[index]}.png" for index in fault.good]
    assert not (tmp_path / "overlay.mp4").exists()


@pytest.mark.parametrize("segmenter", [Drift(), Bidirectional(Drift()), Steady()])
def test_the_prompts_of_a_run_are_checked_once(
    segmenter: Any,
    video: Video,
    prompts: dict[int, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked = []

    def check_labels(labels: np.ndarray, **options: Any) -> np.ndarray:
        checked.append(options["name"])
        return masks_module.check_labels(labels, **options)

    monkeypatch.setattr("tinct.inference.segmenter.check_labels", check_labels)
    run_to_folder(segmenter, video, prompts, tmp_path, overlay=False)
    assert checked == ["the mask of frame 1"]
