"""A config of segmenter: what it says of itself, what it passes on, what it refuses."""

from __future__ import annotations

import pickle
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinct import zoo
from tinct.errors import OptionError
from tinct.fine_tuning.fine_tune import Budget, FineTuning
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter, segment_video
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.methods import maskrnn, masktrack
from tinct.networks.dyenet.network import DyeNetConfig
from tinct.networks.flow import DisFlow, FlowEstimator, FlowFolder
from tinct.networks.flow_choice import FlowChoice
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.zoo.build import LocatedWeights


class Still(StreamingSegmenter[int]):
    def start(self, frame: Any, labels: Any) -> int:
        return 0

    def step(self, state: int, frame: Any, labels: Any = None) -> tuple[int, ObjectMasks]:
        raise AssertionError("nobody segments here")


class Whole(VideoSegmenter):
    def segment(self, video: Any, prompts: Any) -> Any:
        raise AssertionError("nobody segments here")


class Listed(FlowEstimator):
    """No flow, and a list of the frames between which it was asked for; frame t has the grey 40 t."""

    name = "listed"

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def _estimate(self, frame: Any, other: Any) -> Any:
        self.asked.append((int(frame[0, 0, 0]) // 40, int(other[0, 0, 0]) // 40))
        return np.zeros((*frame.shape[:2], 2), np.float32)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def build(*arguments: Any, **extras: Any) -> Still:
        made.append((arguments, extras))
        return Still()

    monkeypatch.setattr(zoo, "build_segmenter", build)
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: LocatedWeights(Path("w"), "ab" * 32))
    return made


def test_a_plain_choice_passes_on_nothing_more(calls: list[Any]) -> None:
    config = SegmenterConfig()
    assert isinstance(config.build(), Still)
    assert calls == [(("feelvos", None, "default", None, "auto"), {})]
    said = config.described()
    said.pop("backend", None)  # of this processor's choice
    assert said == {
        "method": "feelvos",
        "variant": "mobilenetv2",
        "preset": "default",
        "weights_sha256": "ab" * 32,
    }


@pytest.mark.parametrize(
    ("fine_tune", "said"), [("60s", "60 s"), ("25", "25 steps"), ("none", "none"), (None, None)]
)
def test_a_budget_is_passed_on_and_said(calls: list[Any], fine_tune: str | None, said: str | None) -> None:
    config = SegmenterConfig("osvos", device="cpu", fine_tune=fine_tune)
    config.build()
    assert calls[0][1] == ({} if fine_tune is None else {"fine_tune": fine_tune})
    preset = zoo.preset_options("osvos", None, "default").fine_tuning.budget
    assert config.described()["fine_tuning"] == (said or str(preset))


def test_auto_is_judged_by_the_device(calls: list[Any]) -> None:
    config = SegmenterConfig("osvos", device="cpu", fine_tune="auto")
    assert config.budget == Budget.parse("auto", torch.device("cpu"))
    assert config.described()["fine_tuning"] == str(config.budget)


def test_flow_options_and_both_ways_are_passed_on_and_said(calls: list[Any], tmp_path: Path) -> None:
    config = SegmenterConfig(
        "masktrack", flow=FlowChoice(), direction="both", options={"dilation_px": 3}, device="cpu"
    )
    assert isinstance(config.build(), Bidirectional)
    assert isinstance(calls[0][1]["flow"], DisFlow)
    assert calls[0][1]["dilation_px"] == 3
    said = config.described()
    assert said["flow"] == DisFlow().name
    assert said["direction"] == "both"
    assert said["options"] == {"dilation_px": 3}
    assert not config.per_video
    assert SegmenterConfig("masktrack", flow=FlowChoice(str(tmp_path))).per_video
    assert pickle.loads(pickle.dumps(config)) == config


def flow_asked_for(
    monkeypatch: pytest.MonkeyPatch, method: str, prompts: dict[int, Any] | None, **more: Any
) -> set[tuple[int, int]]:
    """The pairs of frames whose flow a config wants to be there, for a video of six frames."""
    asked: list[tuple[int, int]] = []

    def of_video(folder: Path, video: Video, height: int | None, pairs: Any) -> DisFlow:
        asked.extend(pairs)
        return DisFlow()

    monkeypatch.setattr(FlowFolder, "of_video", of_video)
    video = Video.from_arrays([np.zeros((2, 2, 3), np.uint8)] * 6)
    SegmenterConfig(method, flow=FlowChoice("a/b"), **more).build(video, prompts=prompts)
    assert len(set(asked)) == len(asked)
    return set(asked)


def test_the_config_of_a_network_is_written_under_its_older_name() -> None:
    config = DyeNetConfig("mobilenetv2", hidden=8)
    said = SegmenterConfig("dyenet", options={"rho": 0.6, "config": config}).described()
    assert said["options"] == {"make": asdict(config), "rho": 0.6}


def test_only_flow_that_will_be_asked_for_must_be_in_a_folder(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = partial(flow_asked_for, monkeypatch)
    one, both = np.array([[1, 0]], np.uint8), np.array([[1, 2]], np.uint8)
    backward = {(t, t - 1) for t in range(1, 6)}
    assert ask("masktrack", None) == ask("masktrack", {0: one}) == backward
    assert ask("masktrack", {3: one, 9: one}) == {(4, 3), (5, 4)}
    assert ask("masktrack", {9: one}) == set()
    assert ask("masktrack", {0: one}, preset="paper") == set()
    assert ask("masktrack", {0: one}, preset="paper", options={"flow_stream": True, "no": 1}) == backward
    # Backward, the frame before is the one that follows.
    assert ask("masktrack", {4: one, 2: one}, direction="backward") == {(t, t + 1) for t in range(4)}
    assert ask("masktrack", {9: one}, direction="backward") == set()
    forward = {(t, t + 1) for t in range(1, 5)}
    assert ask("maskrnn", {0: one}) == backward
    assert ask("maskrnn", {0: one}, options={"look_ahead": True}) == backward | forward
    # Between frames 1 and 4 both runs see every frame; only frame 1 shows object 2.
    runs = {(0, 1), (2, 1), (3, 2), (3, 4), (2, 3), (5, 4)}
    assert ask("masktrack", {1: one, 4: one}, direction="both") == runs
    assert ask("masktrack", {1: both, 4: one}, direction="both") == runs | {(4, 3)}


@pytest.mark.parametrize("method", ["masktrack", "maskrnn"])
def test_no_other_flow_is_asked_for(method: str) -> None:
    """What `Options.flow_steps` says is what the segmenter does."""
    options: dict[str, Any] = {"working_height": None, "fine_tuning": FineTuning(Budget(steps=0))}
    preset = replace(zoo.preset_options(method, "mobilenetv2", "default"), **options)
    frames = [np.full((32, 32, 3), 40 * t, np.uint8) for t in range(4)]
    labels = np.zeros((32, 32), np.uint8)
    labels[8:20, 8:20] = 1
    changes: list[dict[str, Any]] = [{}, {"look_ahead": True}]
    if method == "masktrack":
        unmoved = {"warp_previous": "no"}
        changes = [{}, unmoved, {"flow_stream": True}, {**unmoved, "flow_stream": True}]
    for change in changes:
        flow, changed = Listed(), replace(preset, **change)
        segmenter: Any
        if method == "masktrack":
            segmenter = masktrack.MaskTrack(masktrack.MaskTrackNetwork(changed), flow=flow)
        else:
            segmenter = maskrnn.MaskRnn(maskrnn.MaskRnnNetwork(changed), flow=flow)
            segmenter = maskrnn.MaskRnnLookingAhead(segmenter) if changed.look_ahead else segmenter
        list(segment_video(segmenter, Video.from_arrays(frames), {0: labels}))
        wanted = {(t, t + s) for t in range(1, 4) for s in changed.flow_steps if t + s < 4}
        assert set(flow.asked) == wanted
        assert len(flow.asked) == len(wanted)


def test_what_is_refused(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"feelvos does not fine-tune.*osvos, masktrack, maskrnn"):
        SegmenterConfig(fine_tune="60s").described()
    assert "fine_tuning" not in SegmenterConfig(fine_tune="none").described()
    with pytest.raises(OptionError, match="osvos uses no optical flow"):
        SegmenterConfig("osvos", flow=FlowChoice()).described()
    with pytest.raises(OptionError, match="osvos uses no optical flow"):
        SegmenterConfig("osvos", flow=FlowChoice()).build()
    monkeypatch.setattr(zoo, "build_segmenter", lambda *_, **__: Whole())
    for direction in ("backward", "both"):
        with pytest.raises(OptionError, match=f"has no direction; leave {direction} out, or take the preset"):
            SegmenterConfig("maskrnn", direction=direction).build()
        with pytest.raises(OptionError, match=rf"has no direction; leave {direction} out\."):
            SegmenterConfig("dyenet", direction=direction).build()
