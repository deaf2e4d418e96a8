"""The computing process: in this one with a real session, and as a process that must end by itself."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from web_kit import FAKE_WORKER, H, W, painting, write_frames

from tinct.inference.callbacks import FineTuningProgress, report_fine_tuning
from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.prompt_png import labels_of, png_of
from tinct.web.worker import CommandQueue, Worker


class Falls(StreamingSegmenter[np.ndarray]):
    """Every object moves down a pixel per frame; it tells of fine-tuning, too."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
        report_fine_tuning(FineTuningProgress(1, 0, 1, 5, 0.1, 0.2, 0.5, 10))
        return labels

    def step(
        self, state: np.ndarray, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[np.ndarray, ObjectMasks]:
        moved = np.roll(state, 1, axis=0)
        masks = ObjectMasks.from_label_map(moved)
        if labels is not None:
            masks = masks.corrected(labels)
        return masks.label_map, masks


class Lines:
    """Standard input that never ends."""

    def __init__(self) -> None:
        self.came = threading.Condition()
        self.waiting: list[str] = []

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        with self.came:
            while not self.waiting:
                self.came.wait()
            return self.waiting.pop(0)

    def send(self, **command: Any) -> None:
        with self.came:
            self.waiting.append(json.dumps(command))
            self.came.notify()


@pytest.fixture
def command(tmp_path: Path) -> dict[str, Any]:
    return {
        "do": "run",
        "ticket": 7,
        "run": 2,
        "video": str(write_frames(tmp_path / "clip", 6)),
        "prompts": {"1": base64.b64encode(png_of(painting(1, 5), grey=False)).decode()},
        "states": str(tmp_path / "states"),
        "passes": [
            {"first": 1, "last": 5, "direction": "forward"},
            {"first": 0, "last": 0, "direction": "backward"},
        ],
        "settings": {"method": "feelvos", "preset": "default", "fine_tune": None},
    }


def test_every_mask_is_sent_with_the_confidence_of_its_objects(command: dict[str, Any]) -> None:
    messages: list[dict[str, Any]] = []
    Worker(CommandQueue(Lines()), messages.append, lambda settings: Falls()).run(command)
    assert messages[-1] == {"event": "ended", "ticket": 7, "status": "done", "message": ""}
    stages = [
        (message["stage"], message["done"], message["total"])
        for message in messages
        if message["event"] == "stage"
    ]
    assert ("fine-tune", 5, 10) in stages
    frames = [message for message in messages if message["event"] == "frame"]
    assert [frame["index"] for frame in frames] == [1, 2, 3, 4, 5, 0]
    for frame in frames:
        labels = labels_of(base64.b64decode(frame["png"]), (H, W))
        np.testing.assert_array_equal(labels, np.roll(painting(1, 5), abs(frame["index"] - 1), axis=0))
        assert frame["objects"] == {1: 1.0, 5: 1.0}
        assert frame["confidence"] == 1.0


def test_cancel_stops_after_the_present_frame_and_pause_waits(command: dict[str, Any]) -> None:
    lines, messages = Lines(), []
    commands = CommandQueue(lines)
    three = threading.Event()

    def send(message: dict[str, Any]) -> None:
        messages.append(message)
        if sum(each["event"] == "frame" for each in messages) == 3 and not three.is_set():
            lines.send(do="pause")
            while not commands._paused:
                pass
            three.set()

    thread = threading.Thread(
        target=Worker(commands, send, lambda settings: Falls()).run, args=(command,), daemon=True
    )
    thread.start()
    assert three.wait(60)
    thread.join(0.2)
    assert thread.is_alive()
    assert sum(each["event"] == "frame" for each in messages) == 3
    lines.send(do="cancel", ticket=7)
    thread.join(60)
    assert messages[-1]["status"] == "cancelled"
    assert sum(each["event"] == "frame" for each in messages) == 3


def test_a_missing_video_fails_the_run_with_its_sentence(command: dict[str, Any]) -> None:
    messages: list[dict[str, Any]] = []
    command["video"] += "-gone"
    Worker(CommandQueue(Lines()), messages.append, lambda settings: Falls()).run(command)
    assert messages[-1]["status"] == "failed"
    assert "There is no" in messages[-1]["message"]


def test_masks_that_break_the_rules_fail_the_run_at_their_frame(command: dict[str, Any]) -> None:
    class Nan(Falls):
        def step(
            self, state: np.ndarray, frame: np.ndarray, labels: np.ndarray | None = None
        ) -> tuple[np.ndarray, ObjectMasks]:
            state, masks = super().step(state, frame, labels)
            return state, ObjectMasks(masks.object_ids, masks.probs * np.float32(np.nan))

    class TooFew(VideoSegmenter):
        def segment(
            self, video: Video, prompts: Mapping[int, np.ndarray]
        ) -> Iterator[tuple[int, ObjectMasks]]:
            yield 0, ObjectMasks.from_label_map(prompts[1])
            yield 1, ObjectMasks.from_label_map(prompts[1])

    for segmenter, says, frames in ((Nan(), "NaN or infinity for frame 2", 1), (TooFew(), "frame 2 of 6", 1)):
        messages: list[dict[str, Any]] = []
        Worker(CommandQueue(Lines()), messages.append, lambda settings, s=segmenter: s).run(command)
        assert messages[-1]["status"] == "failed"
        assert says in messages[-1]["message"]
        assert sum(each["event"] == "frame" for each in messages) == frames


def test_segmenters_are_cached_for_the_next_run_with_the_same_config() -> None:
    made: list[SegmenterConfig] = []
    worker = Worker(CommandQueue(Lines()), print, lambda config: made.append(config) or object())
    one, two, three = (SegmenterConfig(preset=preset) for preset in ("default", "fast", "paper"))
    for config in (one, two, one, two):
        worker.segmenter(config)
    assert made == [one, two]
    worker.segmenter(three)
    assert len(worker._segmenters) == 2


@pytest.mark.parametrize("rest", ["", '{"do": "run", "tic'])
def test_it_ends_when_its_server_is_gone_even_in_the_middle_of_an_order(rest: str) -> None:
    with subprocess.Popen(FAKE_WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        process.stdin.write(rest)
        process.stdin.close()
        assert process.wait(60) == 0


def test_what_libraries_print_does_not_reach_the_server() -> None:
    program = (
        "import os, sys\n"
        "from tinct.web.worker import _reserve_stdout\n"
        "output = _reserve_stdout()\n"
        "print('chatter', flush=True); os.system('echo native chatter')\n"
        "output.write('news\\n'); output.flush()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "news\n"
    assert "native chatter" in done.stderr
