"""OSVOS's own promises: frames are independent, objects are not; boundaries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tinct.errors import OptionError
from tinct.fine_tuning.fine_tune import Budget, FineTuning
from tinct.methods.osvos import Options, Osvos, OsvosNetwork
from tinct.shapes import Image

OPTIONS = Options(backbone="mobilenetv2", fine_tuning=FineTuning(budget=Budget(steps=2)))
H, W = 48, 64


def segmenter(options: Options = OPTIONS, **given: object) -> Osvos:
    torch.manual_seed(2)
    return Osvos(OsvosNetwork(options), **given)  # type: ignore[arg-type]


def frame(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (H, W, 3)).astype(np.uint8)


def annotated() -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[10:30, 8:28], labels[12:40, 40:60] = 2, 5
    return labels


def test_frames_in_a_batch_are_as_frames_one_by_one() -> None:
    runner = segmenter()
    state = runner.start(frame(), annotated())
    frames = [frame(seed) for seed in (1, 2, 3)]
    together = runner.segment_frames(state, frames)
    for image, masks in zip(frames, together, strict=True):
        _, alone = runner.step(state, image)
        np.testing.assert_allclose(alone.probs, masks.probs, atol=0.02)


def test_the_order_of_frames_does_not_matter() -> None:
    runner = segmenter()
    state = runner.start(frame(), annotated())
    after, first = runner.step(state, frame(1))
    assert after is state
    runner.step(state, frame(2))
    np.testing.assert_array_equal(runner.step(state, frame(1))[1].probs, first.probs)


def test_each_object_has_its_own_test_network() -> None:
    state = segmenter().start(frame(), annotated())
    assert state.object_ids == (2, 5)
    assert not torch.equal(state.weights[0].tensors[0], state.weights[1].tensors[0])


def test_an_annotated_frame_adds_to_what_is_learnt() -> None:
    runner = segmenter()
    state = runner.start(frame(), annotated())
    later, masks = runner.step(state, frame(1), np.where(annotated() == 5, 9, 0).astype(np.uint8))
    assert later.object_ids == masks.object_ids == (2, 5, 9)
    assert later.weights[:2] == state.weights
    assert len(later.annotated) == 2


def test_boundaries() -> None:
    plain = segmenter()
    state = plain.start(frame(), annotated())
    guided = segmenter(replace(OPTIONS, boundary="guided")).step(state, frame(1))[1]
    assert not np.array_equal(guided.probs, plain.step(state, frame(1))[1].probs)
    assert guided.probs.sum(0).max() <= 1 + 1e-5

    def columns(image: Image) -> np.ndarray:
        return np.tile(np.arange(W) // 16, (H, 1))

    voted = segmenter(replace(OPTIONS, boundary="superpixels"), superpixels=columns)
    label_map = voted.step(state, frame(1))[1].label_map
    assert all(len(np.unique(label_map[:, i : i + 16])) == 1 for i in range(0, W, 16))


def test_boundaries_that_cannot_be() -> None:
    with pytest.raises(OptionError, match="Did you mean 'guided'"):
        Options(boundary="guide")
    with pytest.raises(OptionError, match="needs superpixels"):
        segmenter(replace(OPTIONS, boundary="superpixels"))
    shifted = segmenter(
        replace(OPTIONS, boundary="superpixels"), superpixels=lambda image: np.zeros((H, W - 1), int)
    )
    with pytest.raises(OptionError, match="one number for each pixel"):
        shifted.step(shifted.start(frame(), annotated()), frame(1))
