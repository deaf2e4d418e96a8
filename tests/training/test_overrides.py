from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinct.data.masked_frames import FrameOptions, MaskedFrames, StillPictures
from tinct.data.samplers import ClipOptions, MixedClips, StillClips
from tinct.errors import OptionError
from tinct.networks.flow import Flow, FlowEstimator
from tinct.shapes import Image
from tinct.training.flow_clips import FlowClips
from tinct.training.overrides import Overrides
from tinct.training.sources import sources_of
from tinct.training.stages import SGD, PolynomialSchedule, Stage


class Still(FlowEstimator):
    """Nothing moves."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _estimate(self, frame: Image, other: Image) -> Flow:
        return np.zeros((*frame.shape[:2], 2), np.float32)


@pytest.fixture
def stages(sets: dict[str, Path]) -> list[Stage]:
    """One of frames; one of clips with flow, wrapped twice."""
    photos = sources_of([str(sets["stills"])]).photos()
    frames = MaskedFrames([(StillPictures(photos), 1.0)], FrameOptions(size=(32, 48)))
    moving = StillClips(photos, ClipOptions(size=(32, 48), frames=3))
    clips = FlowClips(MixedClips(moving, moving, 0.5), Still("recipe's"))
    rest: dict[str, Any] = {
        "steps": 3, "batch": 4, "learning_rate": 0.1, "schedule": PolynomialSchedule(0.9),
        "optimiser": SGD(0.9, 0.0), "clip_gradient_norm": 1.0, "ema_decay": 0.0,
    }  # fmt: skip
    return [Stage("frames", frames, **rest), Stage("clips", clips, **rest)]


def test_nothing_is_changed_by_default(stages: list[Stage]) -> None:
    assert [s.describe() for s in Overrides().applied(stages)] == [s.describe() for s in stages]


def test_values_for_all_stages_and_for_one(stages: list[Stage]) -> None:
    changed = Overrides({"": 8, "clips": 2}, {"frames": 0.5}, accumulate=2).applied(stages)
    assert [(s.batch, s.learning_rate, s.accumulate) for s in changed] == [(8, 0.5, 2), (2, 0.1, 2)]
    assert changed[0].describe()["accumulate"] == "2"
    assert "accumulate" not in stages[0].describe()


def test_samples_are_of_the_size_through_all_wrappers(stages: list[Stage]) -> None:
    frames, clips = Overrides(crop=(24, 40)).applied(stages)
    assert frames.clips[0]["frames"].shape == (24, 40, 3)
    assert clips.clips[0]["frames"].shape == (3, 24, 40, 3)
    assert "(24, 40)" in clips.describe()["clips"]
    assert stages[1].clips[0]["frames"].shape == (3, 32, 48, 3)


def test_flow_is_anothers(stages: list[Stage]) -> None:
    frames, clips = Overrides(flow=Still("mine")).applied(stages)
    assert frames.clips is stages[0].clips
    assert clips.describe()["clips"].endswith("by mine")
    assert stages[1].describe()["clips"].endswith("by recipe's")
    with pytest.raises(OptionError, match="--flow mine came, but no stage"):
        Overrides(flow=Still("mine")).applied(stages[:1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (Overrides({"clip": 2}), "no stage 'clip'. Did you mean 'clips'"),
        (Overrides(accumulate=3), "batch of 4, which cannot be cut into 3"),
        (Overrides({"": 0}), "batch = 0"),
        (Overrides(crop=(0, 4)), "sizes start at 1"),
    ],
)
def test_what_cannot_be_is_refused(overrides: Overrides, message: str, stages: list[Stage]) -> None:
    with pytest.raises(OptionError, match=message):
        overrides.applied(stages)
