"""The papers' variants in the same segmenters: presets, the flow twin, dense CRF, errors without weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinct import zoo
from tinct.errors import OptionError, WeightsError
from tinct.fine_tuning.fine_tune import Budget, FineTuning
from tinct.fine_tuning.per_object import ObjectWeights
from tinct.inference.segmenter import segment_video
from tinct.io.flow_files import Flow
from tinct.io.video import Video
from tinct.methods import maskrnn, masktrack, osvos
from tinct.networks.flow import FlowEstimator
from tinct.networks.weights import save_weights
from tinct.shapes import Image

Thin = Callable[[], AbstractContextManager[None]]

NETWORKS: dict[str, Callable[[Any], torch.nn.Module]] = {
    "osvos": osvos.OsvosNetwork,
    "masktrack": masktrack.MaskTrackNetwork,
    "maskrnn": maskrnn.MaskRnnNetwork,
}
MODULES: dict[str, Any] = {"osvos": osvos, "masktrack": masktrack, "maskrnn": maskrnn}
UNTUNED = FineTuning(budget=Budget(steps=0))
H, W = 40, 56


def frame(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (H, W, 3)).astype(np.uint8)


def annotated() -> np.ndarray:
    labels = np.zeros((H, W), np.uint8)
    labels[8:24, 6:26], labels[20:36, 34:50] = 3, 8
    return labels


class RightHalfMoves(FlowEstimator):
    name = "right half"

    def _estimate(self, frame: Image, other: Image) -> Flow:
        flow = np.zeros((*frame.shape[:2], 2), np.float32)
        flow[:, frame.shape[1] // 2 :, 0] = -6
        return flow


@pytest.mark.parametrize("preset", ["default", "fast", "paper"])
@pytest.mark.parametrize("method", NETWORKS)
def test_weights_from_a_file_run_every_preset(
    method: str, preset: str, thin_networks: Thin, tmp_path: Path
) -> None:
    presets = MODULES[method].PRESETS["vgg16"]
    file = tmp_path / "w.safetensors"
    with thin_networks():
        save_weights(file, NETWORKS[method](presets["paper"]), method=method, variant="vgg16")
        segmenter = zoo.build_segmenter(method, "vgg16", preset, file, "cpu", fine_tuning=UNTUNED)
    video = Video.from_arrays([frame(i) for i in range(3)])
    results = [masks for _, masks in segment_video(segmenter, video, {0: annotated()})]
    assert [(m.object_ids, m.size) for m in results] == [((3, 8), (H, W))] * 3


@pytest.mark.parametrize(
    ("method", "variant"),
    [("osvos", "vgg16"), ("masktrack", "vgg16"), ("masktrack", "resnet101"), ("maskrnn", "vgg16")],
)
def test_without_weights_it_says_how_to_get_them(method: str, variant: str) -> None:
    with pytest.raises(
        WeightsError,
        match=rf"no weights for {method} {variant}; give some with --weights FILE.*"
        rf"tinct train {method} --variant {variant}",
    ):
        zoo.build_segmenter(method, variant, device="cpu")


def test_every_variant_of_the_zoo_has_presets_and_a_recipe() -> None:
    from importlib import import_module

    for method, module in MODULES.items():
        variants = set(zoo.METHODS[method].variants)
        assert variants == set(module.PRESETS)
        assert variants == set(import_module(f"tinct.training.recipes.{method}").RECIPES)


@pytest.mark.parametrize("method", MODULES)
def test_backbones_that_do_not_exist(method: str) -> None:
    with pytest.raises(OptionError, match=r"Unknown backbone 'vgg19'.*'vgg16'"):
        MODULES[method].Options(backbone="vgg19")


def masktrack_with(thin_networks: Thin, backbone: str = "vgg16", **changes: Any) -> masktrack.MaskTrack:
    torch.manual_seed(3)
    options = replace(masktrack.PRESETS[backbone]["paper"], fine_tuning=UNTUNED, **changes)
    with thin_networks():
        network = masktrack.MaskTrackNetwork(options)
    if backbone != "mobilenetv2":
        for parameter in network.stream.head.parameters():
            parameter.data.normal_(std=0.3)
    return masktrack.MaskTrack(network, flow=RightHalfMoves())


def scores_of(
    runner: masktrack.MaskTrack, state: masktrack.MaskTrackState, image: Image | None = None
) -> np.ndarray:
    """What a step says of the objects beside the background, as logits."""
    _, masks = runner.step(state, frame(1) if image is None else image)
    return np.asarray(np.log(masks.probs / (1 - masks.probs.sum(0))))


@pytest.mark.parametrize("backbone", ["vgg16", "mobilenetv2"])
def test_the_flow_twin_is_averaged(thin_networks: Thin, backbone: str) -> None:
    plain, both = (masktrack_with(thin_networks, backbone, flow_stream=on) for on in (False, True))
    state = plain.start(frame(), annotated())
    alone, joined = (scores_of(runner, state) for runner in (plain, both))
    # The flow's magnitude as a picture: black on the left, white on the right.
    grey = np.zeros((H, W, 3), np.uint8)
    grey[:, W // 2 :] = 255
    twin = scores_of(plain, state, grey)
    np.testing.assert_allclose(joined, (alone + twin) / 2, atol=2e-3)
    assert not np.allclose(alone, joined, atol=1e-3)


def test_the_flow_twin_is_the_network_before_fine_tuning(thin_networks: Thin) -> None:
    plain, both = (masktrack_with(thin_networks, flow_stream=on) for on in (False, True))
    state = plain.start(frame(), annotated())
    own = ObjectWeights(tuple(p.detach() + 0.01 for p in plain.network.stream.object_layers().values()))
    tuned = replace(state, weights=(own, own))
    before, after = (2 * scores_of(both, s) - scores_of(plain, s) for s in (state, tuned))
    np.testing.assert_allclose(before, after, atol=4e-3)
    assert not np.allclose(scores_of(plain, state), scores_of(plain, tuned), atol=1e-2)


def test_crf_masks_are_what_is_given_and_fed_back(
    thin_networks: Thin, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[np.ndarray, Image]] = []

    def sharpened(probs: np.ndarray, image: Image) -> np.ndarray:
        seen.append((probs, image))
        found = np.zeros_like(probs)
        found[0, 4:20, 4:20] = 1
        return found

    monkeypatch.setattr(masktrack, "dense_crf", sharpened)
    monkeypatch.setattr(masktrack, "check_dense_crf", lambda: None)
    runner = masktrack_with(thin_networks, crf=True)
    state = runner.start(frame(), annotated())
    later, masks = runner.step(state, frame(1))
    ((probs, image),) = seen
    assert probs.shape == (2, H, W)
    np.testing.assert_array_equal(image, frame(1))
    assert masks.probs[0].sum() == 16 * 16
    np.testing.assert_array_equal(later.previous.numpy(), masks.probs)


def test_crf_without_its_library_is_refused_at_once(
    thin_networks: Thin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(OptionError, match=r"pip install 'tinct\[crf\]'"):
        masktrack_with(thin_networks, crf=True)


def test_resnet101_segments(thin_networks: Thin) -> None:
    runner = masktrack_with(thin_networks, "resnet101")
    _, masks = runner.step(runner.start(frame(), annotated()), frame(1))
    assert masks.object_ids == (3, 8)
    assert np.isfinite(masks.probs).all()


@pytest.mark.parametrize("method", ["osvos", "masktrack"])
def test_the_compact_paper_preset_has_the_papers_samples_and_loss(method: str) -> None:
    compact, paper = (MODULES[method].PRESETS[v]["paper"] for v in ("mobilenetv2", "vgg16"))
    assert compact.fine_tuning.augmentation == paper.fine_tuning.augmentation
    assert compact.fine_tuning.loss == paper.fine_tuning.loss
    augmentation = compact.fine_tuning.augmentation
    assert (augmentation.lucid, augmentation.damaged, augmentation.colour) == (0.0, 0.0, 0.0)
