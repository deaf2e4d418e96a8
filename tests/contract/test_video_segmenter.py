"""What every segmenter that sees the whole video promises: ids, sizes, order, painted masks, no side effects.

Quality is not asked here. A method is held to it with random weights, and with those in the package.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from tinct import zoo
from tinct.inference.segmenter import VideoSegmenter, segment_video
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.methods import dyenet
from tinct.methods.dyenet.linking import LinkingRules
from tinct.networks.dyenet.network import DyeNetConfig, DyeNetNetwork

RULES = LinkingRules(trim=True, prefer="similar", overrule_margin=0.01)
H, W = 47, 61
IDS = (1, 5, 7)
FRAMES = 4


def untrained_dyenet(**changes: Any) -> VideoSegmenter:
    torch.manual_seed(5)
    options = dyenet.PRESETS["mobilenetv2"]["default"]
    # So little is asked of a match, a box and a mask that every step of the loop is taken.
    easy = {"rho": 0.2, "least_agreement": 0.01, "least_area": 0.0, "least_box_cells": 0.0, "rounds": 2}
    options = dataclasses.replace(options, **{**easy, "working_height": None, "max_proposals": 12, **changes})
    return dyenet.DyeNet(DyeNetNetwork(options.config), options)


def untrained_advanced_dyenet() -> VideoSegmenter:
    config = DyeNetConfig("mobilenetv2", hidden=16, pyramid=True, two_streams=True)
    # Without a guide: by embeddings, as in the paper.
    how = {"least_agreement": 0.0, "patches": True, "patch_side": 32, "flip": True, "linking": RULES}
    return untrained_dyenet(config=config, **how)


MADE_HERE: Mapping[str, Callable[[], VideoSegmenter]] = {
    "dyenet untrained": untrained_dyenet,
    "dyenet advanced untrained": untrained_advanced_dyenet,
}


def _with_weights() -> list[str]:
    return [
        f"{method} {variant}"
        for method, record in zoo.METHODS.items()
        for variant in record.variants
        if not record.streams and zoo.weights_record(method, variant) is not None
    ]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] * (name != "dyenet untrained"))
        for name in (*MADE_HERE, *_with_weights())
    ],
)
def segmenter(request: pytest.FixtureRequest) -> VideoSegmenter:
    if request.param in MADE_HERE:
        return MADE_HERE[request.param]()
    method, variant = request.param.split()
    fine_tune = "2" if zoo.METHODS[method].fine_tunes else None
    built = zoo.build_segmenter(method, variant, device="cpu", fine_tune=fine_tune)
    assert isinstance(built, VideoSegmenter)
    return built


def scene(
    seed: int = 0, frames: int = FRAMES, size: tuple[int, int] = (H, W)
) -> tuple[Video, list[np.ndarray]]:
    """Three squares, 1, 5 and 7, that wander over a textured ground; their true label maps."""
    draws = np.random.default_rng(seed)
    ground = draws.integers(90, 130, (*size, 3))
    colours = draws.permutation([[220, 40, 40], [40, 220, 40], [40, 40, 220]])
    images, truths = [], []
    for t in range(frames):
        image, truth = ground.copy(), np.zeros(size, np.uint8)
        for place, (object_id, colour) in enumerate(zip(IDS, colours, strict=True)):
            window = slice(4 + t, 20 + t), slice(3 + place * (size[1] // 3), 15 + place * (size[1] // 3))
            image[window] = colour
            truth[window] = object_id
        images.append(image.astype(np.uint8))
        truths.append(truth)
    return Video.from_arrays(images), truths


def run(segmenter: VideoSegmenter, video: Video, prompts: Mapping[int, np.ndarray]) -> list[ObjectMasks]:
    return [masks for _, masks in segment_video(segmenter, video, prompts)]


def same(first: list[ObjectMasks], second: list[ObjectMasks]) -> bool:
    return len(first) == len(second) and all(
        a.object_ids == b.object_ids and np.array_equal(a.probs, b.probs)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("size", [(H, W), (W, H)])
def test_one_result_per_frame_of_the_videos_size_with_the_ids_of_all_prompts(
    segmenter: VideoSegmenter, size: tuple[int, int]
) -> None:
    video, truths = scene(size=size)
    results = list(segment_video(segmenter, video, {2: truths[2]}))
    assert [index for index, _ in results] == list(range(FRAMES))
    for _, masks in results:
        assert masks.object_ids == IDS
        assert masks.size == masks.label_map.shape == size
        assert masks.probs.dtype == np.float32
        assert masks.probs.min() >= 0
        assert masks.probs.sum(0).max() <= 1 + 1e-4


def test_painted_masks_come_out_as_they_are(segmenter: VideoSegmenter) -> None:
    video, truths = scene()
    late = np.zeros((H, W), np.uint8)
    late[30:45, 20:40] = 6
    results = run(segmenter, video, {0: truths[0], 2: late})
    assert {masks.object_ids for masks in results} == {(1, 5, 6, 7)}
    np.testing.assert_array_equal(results[0].label_map[truths[0] > 0], truths[0][truths[0] > 0])
    np.testing.assert_array_equal(results[2].label_map == 6, late == 6)


def test_a_video_of_one_frame_gives_its_mask(segmenter: VideoSegmenter) -> None:
    video, truths = scene(frames=1)
    (masks,) = run(segmenter, video, {0: truths[0]})
    np.testing.assert_array_equal(masks.label_map, truths[0])


def test_void_pixels_never_come_out(segmenter: VideoSegmenter) -> None:
    video, truths = scene()
    labels = truths[0].copy()
    labels[:, ::7] = 255
    results = run(segmenter, video, {0: labels})
    assert all(masks.label_map.max() <= 7 for masks in results)


def test_the_same_video_gives_the_same_masks_alone_and_among_others(segmenter: VideoSegmenter) -> None:
    scenes = [scene(seed=1), scene(seed=2, size=(40, 64))]
    alone = [run(segmenter, video, {0: truths[0]}) for video, truths in scenes]
    together = zip(
        *(segment_video(segmenter, video, {0: truths[0]}) for video, truths in scenes), strict=True
    )
    for position, results in enumerate(zip(*together, strict=True)):
        assert same([masks for _, masks in results], alone[position])


def test_the_network_and_the_segmenter_are_left_as_they_were(segmenter: VideoSegmenter) -> None:
    def weights() -> list[torch.Tensor]:
        inner = [value for value in vars(segmenter).values() if isinstance(value, torch.nn.Module)]
        members = [member.network for member in getattr(segmenter, "members", ())]
        return [tensor.clone() for network in (*inner, *members) for tensor in network.state_dict().values()]

    before, attributes = weights(), set(vars(segmenter))
    video, truths = scene()
    run(segmenter, video, {0: truths[0], 2: truths[2]})
    assert before
    assert set(vars(segmenter)) == attributes
    assert all(torch.equal(a, b) for a, b in zip(before, weights(), strict=True))
