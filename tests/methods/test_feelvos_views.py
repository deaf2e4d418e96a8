"""FEELVOS on several views: one is a plain run, a mirrored one a mirrored run, several are their mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tinct.backends.feelvos_torch import TorchBackend
from tinct.inference.bidirectional import Bidirectional, StartsAtEach
from tinct.inference.segmenter import segment_video
from tinct.inference.state_files import load_state, save_state
from tinct.methods.feelvos import PRESETS, Feelvos
from tinct.methods.feelvos_views import FeelvosViews, FeelvosViewsState
from tinct.networks.feelvos import FeelvosNetwork

H, W = 48, 64
OPTIONS = replace(PRESETS["mobilenetv2"]["default"], working_height=H, memory_every=2)


@pytest.fixture(scope="module")
def backend() -> TorchBackend:
    torch.manual_seed(0)
    network = FeelvosNetwork(OPTIONS.config)
    torch.nn.init.normal_(network.head.score.weight, std=0.5)
    return TorchBackend(network, precision="float32")


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    draws = np.random.default_rng(0)
    return [draws.integers(0, 256, (H, W, 3), np.uint8) for _ in range(5)]


def labels(left: int = 8) -> np.ndarray:
    shown = np.zeros((H, W), np.uint8)
    shown[8:32, left : left + 20] = 2
    shown[30:44, 40:60] = 9
    return shown


def run(segmenter: Feelvos | FeelvosViews, frames: list[np.ndarray], first: np.ndarray) -> list[np.ndarray]:
    return [masks.probs for _, masks in segment_video(segmenter, frames, {0: first})]


def of_views(backend: TorchBackend, *views: tuple[int, bool]) -> FeelvosViews:
    return FeelvosViews(backend, replace(OPTIONS, views=views))


def test_one_view_is_a_plain_run(backend: TorchBackend, frames: list[np.ndarray]) -> None:
    plain = run(Feelvos(backend, OPTIONS), frames, labels())
    for one, other in zip(plain, run(of_views(backend, (H, False)), frames, labels()), strict=True):
        assert np.array_equal(one, other)


def test_a_mirrored_view_is_a_run_of_the_mirrored_video(
    backend: TorchBackend, frames: list[np.ndarray]
) -> None:
    turned = [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]
    plain = run(Feelvos(backend, OPTIONS), turned, labels()[:, ::-1].copy())
    for one, other in zip(plain, run(of_views(backend, (H, True)), frames, labels()), strict=True):
        assert np.array_equal(one[..., ::-1], other)


def test_several_views_are_averaged_and_do_not_draw_each_other_along(
    backend: TorchBackend, frames: list[np.ndarray]
) -> None:
    views = ((H, False), (H, True), (32, False))
    alone = [run(of_views(backend, view), frames, labels()) for view in views]
    together = run(of_views(backend, *views), frames, labels())
    for of_frame, mean in zip(zip(*alone, strict=True), together, strict=True):
        np.testing.assert_allclose(np.mean(of_frame, 0), mean, atol=1e-6)
    assert not np.allclose(together[-1], alone[0][-1])


def test_a_corrected_frame_comes_out_as_it_was_annotated_and_brings_new_objects(
    backend: TorchBackend, frames: list[np.ndarray]
) -> None:
    segmenter = of_views(backend, (H, False), (32, True))
    correction = np.where(labels(20) == 2, np.uint8(5), np.uint8(0))
    state, masks = segmenter.step(segmenter.start(frames[0], labels()), frames[1], correction)
    assert masks.object_ids == (2, 5, 9)
    assert masks[5][correction == 5].min() == 1
    _, after = segmenter.step(state, frames[2])
    assert after.object_ids == (2, 5, 9)


def test_every_view_learns_from_all_annotated_frames(backend: TorchBackend, frames: list[np.ndarray]) -> None:
    segmenter = of_views(backend, (H, False), (H, True))
    assert isinstance(segmenter, StartsAtEach)
    states = segmenter.start_at_each([frames[0], frames[3]], [labels(), labels(12)])
    assert [len(state.views) for state in states] == [2, 2]
    plain = Feelvos(backend, OPTIONS).start_at_each([frames[0], frames[3]], [labels(), labels(12)])
    for one, other in zip(states, plain, strict=True):
        assert torch.equal(one.views[0].prompts.embedding, other.prompts.embedding)
    both = dict(segment_video(Bidirectional(segmenter), frames, {0: labels(), 3: labels(12)}))
    assert np.array_equal(both[3].label_map, labels(12))


def test_states_go_to_disk_and_come_back(
    backend: TorchBackend, frames: list[np.ndarray], tmp_path: Path
) -> None:
    segmenter = of_views(backend, (H, False), (32, True))
    state = segmenter.start(frames[0], labels())
    save_state(tmp_path / "state.safetensors", state)
    again = load_state(tmp_path / "state.safetensors", FeelvosViewsState)
    expected, found = (segmenter.step(s, frames[1])[1].probs for s in (state, again))
    assert np.array_equal(expected, found)
