"""A choice of segmenter: what it says of itself, what it passes on, what it refuses."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tinct import zoo
from tinct.both_ways import BothWays
from tinct.errors import OptionError
from tinct.evaluation.choice import SegmenterChoice
from tinct.masks import ObjectMasks
from tinct.networks.flow import DisFlow
from tinct.networks.flow_choice import FlowChoice
from tinct.online import Budget
from tinct.segmenter import StreamingSegmenter, VideoSegmenter


class Still(StreamingSegmenter[int]):
    def start(self, frame: Any, labels: Any) -> int:
        return 0

    def step(self, state: int, frame: Any, labels: Any = None) -> tuple[int, ObjectMasks]:
        raise AssertionError("nobody segments here")


class Whole(VideoSegmenter):
    def segment(self, video: Any, prompts: Any) -> Any:
        raise AssertionError("nobody segments here")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def build(*arguments: Any, **extras: Any) -> Still:
        made.append((arguments, extras))
        return Still()

    monkeypatch.setattr(zoo, "build_segmenter", build)
    monkeypatch.setattr(zoo, "resolve_weights", lambda *_: (Path("w"), "ab" * 32))
    return made


def test_a_plain_choice_passes_on_nothing_more(calls: list[Any]) -> None:
    choice = SegmenterChoice()
    assert isinstance(choice.build(), Still)
    assert calls == [(("feelvos", None, "default", None, "auto"), {})]
    assert choice.described() == {
        "method": "feelvos",
        "variant": "mobilenetv2",
        "preset": "default",
        "weights_sha256": "ab" * 32,
    }


@pytest.mark.parametrize(
    ("fine_tune", "said"), [("60s", "60 s"), ("25", "25 steps"), ("none", "none"), (None, None)]
)
def test_a_budget_is_passed_on_and_said(calls: list[Any], fine_tune: str | None, said: str | None) -> None:
    choice = SegmenterChoice("osvos", device="cpu", fine_tune=fine_tune)
    choice.build()
    assert calls[0][1] == ({} if fine_tune is None else {"fine_tune": fine_tune})
    preset = zoo.preset_options("osvos", None, "default").fine_tuning.budget
    assert choice.described()["fine_tuning"] == (said or str(preset))


def test_auto_is_judged_by_the_device(calls: list[Any]) -> None:
    choice = SegmenterChoice("osvos", device="cpu", fine_tune="auto")
    assert choice.budget == Budget.parse("auto", torch.device("cpu"))
    assert choice.described()["fine_tuning"] == str(choice.budget)


def test_flow_options_and_both_ways_are_passed_on_and_said(calls: list[Any], tmp_path: Path) -> None:
    choice = SegmenterChoice(
        "masktrack", flow=FlowChoice(), both_ways=True, options={"dilation_px": 3}, device="cpu"
    )
    assert isinstance(choice.build(), BothWays)
    assert isinstance(calls[0][1]["flow"], DisFlow)
    assert calls[0][1]["dilation_px"] == 3
    said = choice.described()
    assert said["flow"] == DisFlow().name
    assert said["both_ways"] is True
    assert said["options"] == {"dilation_px": 3}
    assert not choice.per_video
    assert SegmenterChoice("masktrack", flow=FlowChoice(str(tmp_path))).per_video
    assert pickle.loads(pickle.dumps(choice)) == choice


def test_what_is_refused(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"feelvos does not fine-tune.*osvos, masktrack, maskrnn"):
        SegmenterChoice(fine_tune="60s").described()
    assert "fine_tuning" not in SegmenterChoice(fine_tune="none").described()
    with pytest.raises(OptionError, match="osvos uses no optical flow"):
        SegmenterChoice("osvos", flow=FlowChoice()).described()
    with pytest.raises(OptionError, match="osvos uses no optical flow"):
        SegmenterChoice("osvos", flow=FlowChoice()).build()
    monkeypatch.setattr(zoo, "build_segmenter", lambda *_, **__: Whole())
    with pytest.raises(OptionError, match="cannot be run both ways"):
        SegmenterChoice("maskrnn", both_ways=True).build()
