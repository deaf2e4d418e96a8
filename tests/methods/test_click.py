"""The click network as a segmenter: marks hold, the cache changes nothing, masks so far are corrected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinct.errors import MissingWeightsError, OptionError, WeightsError
from tinct.inference.promptable import Box, FramePrompt, ObjectPrompt, Point
from tinct.methods.click import Clicks, Options
from tinct.methods.grabcut import GrabCut
from tinct.networks.click import ClickConfig, ClickNetwork
from tinct.networks.weights import save_weights
from tinct.zoo import build_promptable

H, W = 90, 130
TINY = ClickConfig(widths=(8, 8, 16), blocks=1, heads=2, embedding=8)


def untrained() -> ClickNetwork:
    torch.manual_seed(0)
    network = ClickNetwork(TINY)
    torch.nn.init.normal_(network.score.weight)
    return network


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)


def disk(x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:H, :W] + 0.5
    return np.hypot(xs - x, ys - y) <= radius


PROMPTS = [
    ObjectPrompt((Point(40.5, 30.5), Point(90.5, 60.5, inside=False))),
    ObjectPrompt(box=Box(20, 10, 70, 60)),
    ObjectPrompt((Point(129.9, 89.9),), previous=disk(60, 40, 25).astype(np.float32)),
    ObjectPrompt(inside=disk(50, 40, 6), outside=disk(100, 40, 6)),
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_marks_hold_and_what_is_cached_changes_nothing(frame: np.ndarray, prompt: ObjectPrompt) -> None:
    options = Options(long_side=96, cached=2)
    warm = Clicks(untrained(), options)
    for other in PROMPTS:
        warm.propose(frame, FramePrompt({4: other}))
        warm.propose(frame[::-1].copy(), FramePrompt({4: other}))
    found = warm.propose(frame, FramePrompt({7: prompt, 3: PROMPTS[0]}))
    cold = Clicks(untrained(), options).propose(frame, FramePrompt({7: prompt}))
    assert found.object_ids == (3, 7)
    np.testing.assert_allclose(found[7], cold[7], atol=1e-5)
    assert found.probs.shape == (2, H, W)
    assert found.probs.min() >= 0
    assert found.probs.max() <= 1
    for x, y, inside in prompt.points:
        assert found[7][int(y), int(x)] == inside
    if prompt.inside is not None and prompt.outside is not None:
        assert (found[7][prompt.inside] == 1).all()
        assert (found[7][prompt.outside] == 0).all()


def test_a_zoomed_look_leaves_the_mask_so_far_outside_of_it(frame: np.ndarray) -> None:
    previous = disk(30, 30, 12).astype(np.float32)
    previous[80:, 120:] = 0.3
    prompt = ObjectPrompt((Point(30.5, 30.5),), previous=previous)
    silent = untrained()
    torch.nn.init.zeros_(silent.score.weight)
    torch.nn.init.constant_(silent.score.bias, -9.0)  # finds nothing anywhere
    found = Clicks(silent, Options(long_side=96)).propose(frame, FramePrompt({1: prompt}))[1]
    np.testing.assert_array_equal(found[80:, 120:], previous[80:, 120:])
    assert found[30, 30] == 1
    assert (found[disk(30, 30, 10)] > 0.5).sum() == 1


def test_grabcut_finds_by_colour_from_a_click_and_corrects_the_mask_so_far() -> None:
    frame = np.random.default_rng(1).integers(90, 120, (H, W, 3), np.uint8)
    truth, other = disk(45, 45, 22), disk(105, 45, 12)
    frame[truth | other] = (210, 60, 40)
    click = FramePrompt({2: ObjectPrompt((Point(45.5, 45.5),))})
    found = GrabCut().propose(frame, click)
    np.testing.assert_array_equal(found.probs, GrabCut().propose(frame, click).probs)
    mask = found.binary(2)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    assert not mask[45, 105]  # as like as it is, it touches no click
    so_far = (truth | other).astype(np.float32)
    less = ObjectPrompt((Point(105.5, 45.5, inside=False),), previous=so_far)
    corrected = GrabCut().propose(frame, FramePrompt({2: less})).binary(2)
    assert not corrected[45, 105]
    assert corrected[45, 45]


def test_without_weights_grabcut_answers_unless_the_network_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinct.zoo.build.WEIGHTS_FOLDER", tmp_path)
    assert isinstance(build_promptable(), GrabCut)
    with pytest.raises(MissingWeightsError):
        build_promptable("click")
    with pytest.raises(OptionError, match=r"no segmenter by prompts 'clik'.*'click'"):
        build_promptable("clik")
    with pytest.raises(WeightsError):
        build_promptable(weights=tmp_path / "none.safetensors")
    own = tmp_path / "own.safetensors"
    save_weights(own, ClickNetwork(), method="click", variant="mobilenetv2")
    built = build_promptable(weights=own, device="cpu", long_side=64)
    assert isinstance(built, Clicks)
    assert built.options.long_side == 64
    assert own.stat().st_size < 6_000_000
