"""MaskRNN's own promises: what the flow stream, the box and the look-ahead do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinct.data.deform import MaskDeformation
from tinct.fine_tuning.fine_tune import Budget, FineTuning, TuningBatch
from tinct.fine_tuning.per_object import ObjectWeights
from tinct.inference.segmenter import segment_video
from tinct.io.flow_files import Flow
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.methods import maskrnn
from tinct.methods.maskrnn import (
    PAPER_FINE_TUNING,
    PRESETS,
    MaskRnn,
    MaskRnnLookingAhead,
    MaskRnnNetwork,
    Options,
)
from tinct.networks.flow import FlowEstimator
from tinct.shapes import Image

UNTUNED = Options(backbone="mobilenetv2", fine_tuning=FineTuning(budget=Budget(steps=0)))
H, W = 48, 64


class Constant(FlowEstimator):
    """The same flow everywhere, and a count of how often it was asked for."""

    name = "constant"

    def __init__(self, dx: float = 0.0, dy: float = 0.0) -> None:
        self.flow, self.calls = (dx, dy), 0

    def _estimate(self, frame: Image, other: Image) -> Flow:
        self.calls += 1
        return np.broadcast_to(np.array(self.flow, np.float32), (*frame.shape[:2], 2)).copy()


def segmenter(options: Options = UNTUNED, flow: FlowEstimator | None = None) -> MaskRnn:
    torch.manual_seed(2)
    network = MaskRnnNetwork(options)
    return MaskRnn(network, flow=flow or Constant())


def clip(frames: int = 4) -> tuple[Video, np.ndarray]:
    draws = np.random.default_rng(0)
    images = [draws.integers(0, 255, (H, W, 3)).astype(np.uint8) for _ in range(frames)]
    labels = np.zeros((H, W), np.uint8)
    labels[10:30, 8:28], labels[12:40, 40:60] = 2, 5
    return Video.from_arrays(images), labels


def masks_of(runner: MaskRnn | MaskRnnLookingAhead, frames: int = 4) -> list[ObjectMasks]:
    video, labels = clip(frames)
    return [masks for _, masks in segment_video(runner, video, {0: labels})]


def test_the_previous_mask_is_moved_along_the_flow() -> None:
    video, labels = clip(2)
    runner = segmenter(flow=Constant(dx=-6.0))
    seen: list[torch.Tensor] = []
    inner = runner._segment
    runner._segment = lambda f, guide, *rest: (seen.append(guide), inner(f, guide, *rest))[1]  # type: ignore[method-assign]
    runner.step(runner.start(video[0], labels), video[1])
    expected = np.zeros((H, W), np.float32)
    expected[10:30, 14:34] = 1
    np.testing.assert_allclose(seen[0][0, 0].numpy(), expected, atol=1e-5)


def test_nothing_lies_outside_the_enlarged_box() -> None:
    video, labels = clip(2)
    runner = segmenter(replace(UNTUNED, enlargement=1.5))
    state, _ = runner.step(runner.start(video[0], labels), video[1])
    for number, (rows, columns) in enumerate([((10, 30), (8, 28)), ((12, 40), (40, 60))]):
        inside = np.zeros((H, W), bool)
        pad_y, pad_x = (rows[1] - rows[0]) // 4, (columns[1] - columns[0]) // 4
        inside[rows[0] - pad_y : rows[1] + pad_y, columns[0] - pad_x : columns[1] + pad_x] = True
        assert state.previous[number].numpy()[~inside].max() < 1e-6
        assert state.previous[number].numpy()[inside].min() > 1e-6


def test_an_object_that_was_lost_may_come_back_anywhere() -> None:
    video, labels = clip(2)
    runner = segmenter()
    state = runner.start(video[0], labels)
    state = replace(state, previous=torch.zeros_like(state.previous))
    found, masks = runner.step(state, video[1])
    assert found.previous.min() > 1e-6
    assert masks.object_ids == (2, 5)


@pytest.mark.parametrize(
    "change", [{"flow_stream": False}, {"localization": False}, {"dilation_px": 3}, {"union": True}]
)
def test_switches_change_the_masks(change: dict[str, bool]) -> None:
    plain = masks_of(segmenter(flow=Constant(3.0)))
    changed = masks_of(segmenter(replace(UNTUNED, **change), Constant(3.0)))
    assert not np.array_equal(plain[1].probs, changed[1].probs)
    assert len(plain) == len(changed) == 4


def test_looking_ahead_sees_the_following_frame_and_computes_each_flow_once() -> None:
    flow = Constant(3.0, 1.0)
    runner = segmenter(flow=flow)
    alone = masks_of(runner)
    assert flow.calls == 3
    flow.calls = 0
    ahead = masks_of(MaskRnnLookingAhead(runner))
    assert flow.calls == 3 + 2
    assert [m.object_ids for m in ahead] == [(2, 5)] * 4
    assert not np.array_equal(alone[1].probs, ahead[1].probs)


def test_without_a_flow_stream_nothing_looks_at_the_flow_ahead() -> None:
    flow = Constant(3.0, 1.0)
    masks_of(MaskRnnLookingAhead(segmenter(replace(UNTUNED, flow_stream=False), flow)))
    assert flow.calls == 3


def test_the_last_frame_has_no_following_one() -> None:
    alone, ahead = (masks_of(r, 2) for r in (segmenter(), MaskRnnLookingAhead(segmenter())))
    np.testing.assert_array_equal(alone[1].probs, ahead[1].probs)
    (only,) = masks_of(MaskRnnLookingAhead(segmenter()), 1)
    np.testing.assert_array_equal(only.label_map, clip(1)[1])


def test_prompts_in_mid_video_when_looking_ahead() -> None:
    video, labels = clip()
    late = np.zeros((H, W), np.uint8)
    late[:8, :8] = 7
    runner = MaskRnnLookingAhead(segmenter())
    results = [masks for _, masks in segment_video(runner, video, {1: labels, 2: late})]
    assert [m.object_ids for m in results] == [(), (2, 5), (2, 5, 7), (2, 5, 7)]
    np.testing.assert_array_equal(results[1].label_map, labels)
    np.testing.assert_array_equal(results[2].label_map == 7, late == 7)


TUNED = FineTuning(
    Budget(steps=2), augmentation=replace(PAPER_FINE_TUNING.augmentation, deformation=MaskDeformation())
)


def parts_of(network: MaskRnnNetwork) -> set[str]:
    return {".".join(name.split(".")[1:2]) for name in network.object_layers()}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, {"appearance", "motion", "fusion", "localization"}),
        ({"appearance_alone": True}, {"appearance"}),
        ({"flow_stream": False}, {"appearance", "localization"}),
        ({"localization": False}, {"appearance", "motion", "fusion"}),
    ],
)
def test_an_objects_own_layers_are_those_that_it_uses(change: dict[str, bool], parts: set[str]) -> None:
    network = MaskRnnNetwork(replace(UNTUNED, **change))
    assert parts_of(network) == parts
    assert not any(".backbone." in name for name in network.object_layers())


def test_fine_tuning_teaches_every_part_of_the_network() -> None:
    """Both streams, their fusion and the localization net (3.5); not the backbones, which objects share."""
    runner = segmenter(replace(UNTUNED, fine_tuning=TUNED), Constant(3.0))
    video, labels = clip(2)
    state = runner.start_before(video[0], video[1], labels)
    layers = runner.network.object_layers()
    for weights in state.weights:
        changed = {
            name.split(".")[1]
            for (name, before), after in zip(layers.items(), weights.tensors, strict=True)
            if not torch.equal(before, after)
        }
        assert changed == {"appearance", "motion", "fusion", "localization"}
    after, masks = runner.step(state, video[1])
    untuned, _ = runner.step(replace(state, weights=(ObjectWeights(),) * 2), video[1])
    assert masks.object_ids == (2, 5)
    assert not torch.equal(after.previous, untuned.previous)


def test_fine_tuning_sees_the_flow_to_the_frame_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def answer(network: MaskRnnNetwork, batch: TuningBatch) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(batch.magnitudes)
        return maskrnn.segmented_and_located(network, batch)

    monkeypatch.setattr(MaskRnn, "answer", answer_property(answer))
    video, labels = clip(2)
    runner = segmenter(replace(UNTUNED, fine_tuning=TUNED), Constant(3.0))
    state = runner.start_before(video[0], video[1], labels)
    # Nothing came before the first frame; the same flow everywhere is white everywhere.
    assert not seen[0][:, 0].any()
    assert (seen[0][:, 1] == 1).all()
    (annotated,) = state.annotated
    assert annotated.magnitudes is not None
    # In mid-video both are known.
    later, _ = runner.advance(state, video[1], video[0], labels)
    assert later.annotated[1].magnitudes is not None
    assert (later.annotated[1].magnitudes == 255).all()
    # And who looks at single frames sees none.
    assert runner.start(video[0], labels).annotated[0].magnitudes is None


def answer_property(answer: object) -> property:
    return property(lambda _: answer)


def test_the_appearance_stream_alone_is_tuned_without_flow() -> None:
    flow = Constant(3.0)
    runner = segmenter(replace(UNTUNED, fine_tuning=TUNED, appearance_alone=True), flow)
    video, labels = clip(2)
    state = runner.start_before(video[0], video[1], labels)
    assert flow.calls == 0
    assert len(state.weights[0].tensors) == len(runner.network.streams.appearance.object_layers())


def test_which_presets_tune_the_whole_network() -> None:
    alone = {(v, p): o.appearance_alone for v, presets in PRESETS.items() for p, o in presets.items()}
    assert {key for key, is_alone in alone.items() if is_alone} == {
        ("mobilenetv2", "default"), ("mobilenetv2", "fast")
    }  # fmt: skip


def test_the_papers_rate_decays_gradually_and_no_gradient_is_clipped() -> None:
    assert PRESETS["vgg16"]["paper"].fine_tuning is PAPER_FINE_TUNING
    assert (PAPER_FINE_TUNING.schedule, PAPER_FINE_TUNING.clip_gradient_norm) == ("polynomial", 0.0)
