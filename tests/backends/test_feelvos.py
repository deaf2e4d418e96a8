"""FEELVOS in ONNX Runtime says what it says in torch: every preset, any size and number of objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tinct import zoo
from tinct.backends.feelvos_torch import TorchBackend
from tinct.errors import OptionError, WeightsError
from tinct.inference.segmenter import StreamingSegmenter
from tinct.inference.state_files import load_state, save_state
from tinct.io.masks import ObjectMasks
from tinct.methods.feelvos import PRESETS, Feelvos, FeelvosState, build
from tinct.methods.feelvos_views import FeelvosViews
from tinct.networks.feelvos import FeelvosNetwork
from tinct.networks.weights import save_weights

COMPACT = PRESETS["mobilenetv2"]

Pairs = dict[str, tuple[Any, Any]]
"""Preset → the segmenters of torch and of ONNX Runtime."""


def of(backend: str, preset: str = "default", **overrides: Any) -> Feelvos | FeelvosViews:
    record = zoo.weights_record("feelvos", "mobilenetv2")
    assert record is not None
    segmenter = build("mobilenetv2", preset, record.path, torch.device("cpu"), backend, **overrides)
    runner = segmenter.views[0].backend if isinstance(segmenter, FeelvosViews) else segmenter.backend
    if isinstance(runner, TorchBackend):
        runner.precision = "float32"  # ONNX Runtime's; "auto" is bfloat16 on some processors
    return segmenter


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return {preset: (of("torch", preset), of("onnx", preset)) for preset in COMPACT}


def scene(size: tuple[int, int], objects: int, frames: int = 7) -> tuple[list[np.ndarray], np.ndarray]:
    """A texture that moves, and boxes on it with ids of their own and a void corner."""
    random = np.random.default_rng(objects)
    coarse = random.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    labels = np.zeros(size, np.uint8)
    for i in random.choice(np.arange(1, 255), objects, replace=False):
        y, x = random.integers(0, size[0] - 8), random.integers(0, size[1] - 8)
        labels[y : y + size[0] // 3, x : x + size[1] // 3] = i
    labels[:5, :7] = 255
    return [np.roll(texture, (t, 2 * t), (0, 1)) for t in range(frames)], labels


def both(
    segmenters: Sequence[StreamingSegmenter[Any]], frames: list[np.ndarray], prompts: dict[int, np.ndarray]
) -> Iterator[list[ObjectMasks]]:
    states = [each.start(frames[0], prompts[0]) for each in segmenters]
    for index, frame in enumerate(frames[1:], 1):
        stepped = [
            each.step(state, frame, prompts.get(index))
            for each, state in zip(segmenters, states, strict=True)
        ]
        states = [state for state, _ in stepped]
        yield [masks for _, masks in stepped]


def check_alike(results: Iterator[list[ObjectMasks]]) -> None:
    for one, other in results:
        assert one.object_ids == other.object_ids
        np.testing.assert_allclose(one.probs, other.probs, rtol=0, atol=1e-4)
        assert (one.label_map == other.label_map).mean() >= 0.9999


@pytest.mark.parametrize(
    ("preset", "size", "objects"),
    [
        ("default", (97, 131), 1),
        ("default", (50, 41), 3),
        ("fast", (64, 85), 64),
        ("fast", (9, 70), 2),
        ("best", (44, 62), 2),
    ],
)
def test_frames_of_any_size_and_number_of_objects(
    pairs: Pairs, preset: str, size: tuple[int, int], objects: int
) -> None:
    frames, labels = scene(size, objects)
    check_alike(both(pairs[preset], frames, {0: labels}))


def test_corrections_with_new_objects(pairs: Pairs) -> None:
    frames, labels = scene((60, 77), 2)
    more = np.zeros_like(labels)
    more[30:50, 20:60] = 254
    more[:9, 60:] = labels[labels < 255].max()
    check_alike(both(pairs["fast"], frames, {0: labels, 3: more, 5: labels}))


@pytest.mark.parametrize(
    "options",
    [
        {"previous_matching": "frame", "local_radius": 3, "memory_frames": 0},
        {"previous_matching": "none", "soft_minimum": 0.7, "gate": False, "memory_thinning": 1},
        {"global_matching": False, "previous_prediction": False, "working_height": None, "local_radius": 40},
    ],
)
def test_other_options(options: dict[str, Any]) -> None:
    frames, labels = scene((64, 80), 2, frames=3)
    check_alike(both([of("torch", **options), of("onnx", **options)], frames, {0: labels}))


def test_a_state_goes_on_from_a_file_to_the_very_same_masks(pairs: Pairs, tmp_path: Path) -> None:
    frames, labels = scene((40, 56), 2)
    segmenter = pairs["fast"][1]
    state = segmenter.start(frames[0], labels)
    for frame in frames[1:]:
        save_state(tmp_path / "state.safetensors", state)
        loaded = load_state(tmp_path / "state.safetensors", FeelvosState)
        _, again = segmenter.step(loaded, frame)
        state, masks = segmenter.step(state, frame)
        np.testing.assert_array_equal(masks.probs, again.probs)


def test_neither_backend_goes_on_from_the_others_state(pairs: Pairs) -> None:
    frames, labels = scene((40, 56), 1)
    for one, other in (pairs["fast"], pairs["fast"][::-1]):
        state = one.start(frames[0], labels)
        with pytest.raises(OptionError, match=f"--backend {one.backend.name}"):
            other.step(state, frames[1])


@pytest.mark.parametrize("options", [{"soft_minimum": None}, {"soft_minimum": 0.1}, {"refinement": False}])
def test_what_has_no_graph_asks_for_torch(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="needs the backend torch"):
        of("onnx", "fast", **options)
    assert zoo.backend_of("feelvos", None, "fast", "auto", "cpu", options) == "torch"
    with pytest.raises(OptionError, match="needs the backend torch"):
        build("xception65", "paper", zoo.resolve_weights("feelvos", "mobilenetv2", None)[0], "cpu", "onnx")


def test_weights_of_other_sizes_are_refused_as_by_torch(tmp_path: Path) -> None:
    config = replace(COMPACT["fast"].config, head_channels=40)
    save_weights(tmp_path / "w.safetensors", FeelvosNetwork(config), method="feelvos", variant="mobilenetv2")
    messages = []
    for backend in ("torch", "onnx"):
        with pytest.raises(WeightsError, match=r"of another shape: head\.") as caught:
            build("mobilenetv2", "fast", tmp_path / "w.safetensors", torch.device("cpu"), backend)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_without_torch_there_is_one_device() -> None:
    segmenter = of("onnx", "fast")
    assert segmenter.to("cpu").device == "cpu"
    with pytest.raises(OptionError, match="torch"):
        segmenter.to("mps")
