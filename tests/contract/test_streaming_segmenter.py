"""What every streaming segmenter promises, whatever its method: ids, sizes, order, states, no side effects.

Quality is not asked here. The colour tracker shows that the promises can be kept; every method whose
weights are in the package is held to them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tinct import zoo
from tinct.fine_tuning.fine_tune import Budget, FineTuning
from tinct.inference.bidirectional import Bidirectional
from tinct.inference.segmenter import StreamingSegmenter, check_prompts, frame_results, segment_video
from tinct.inference.state_files import load_state, save_state
from tinct.io.masks import ObjectMasks, object_ids_of
from tinct.io.video import Video
from tinct.methods import maskrnn, masktrack, osvos

H, W = 47, 61
IDS = (1, 5, 7)
FRAMES = 5


@dataclass(frozen=True)
class ColourState:
    object_ids: tuple[int, ...]
    colours: np.ndarray


class ColourTracker(StreamingSegmenter[ColourState]):
    """Gives every pixel to the label whose mean colour so far is nearest."""

    def start(self, frame: np.ndarray, labels: np.ndarray) -> ColourState:
        ids = object_ids_of(labels)
        return self._learn(ColourState((), np.zeros((1, 3), np.float32)), frame, labels, ids)

    def step(
        self, state: ColourState, frame: np.ndarray, labels: np.ndarray | None = None
    ) -> tuple[ColourState, ObjectMasks]:
        gaps = np.square(frame[None].astype(np.float32) - state.colours[:, None, None]).sum(-1)
        found = np.array((0, *state.object_ids), np.uint8)[gaps.argmin(0)]
        ids = state.object_ids
        if labels is not None:
            painted = object_ids_of(labels)
            ids = tuple(sorted({*ids, *painted}))
            kept = np.where(np.isin(found, painted), 0, found).astype(np.uint8)
            found = np.where(labels == 255, found, np.where(labels == 0, kept, labels)).astype(np.uint8)
        return self._learn(state, frame, found, ids), ObjectMasks.from_label_map(found, ids)

    def _learn(
        self, state: ColourState, frame: np.ndarray, labels: np.ndarray, ids: tuple[int, ...]
    ) -> ColourState:
        known = dict(zip((0, *state.object_ids), state.colours, strict=True))
        for label in (0, *ids):
            if (labels == label).any():
                mean = frame[labels == label].mean(0).astype(np.float32)
                known[label] = (known[label] + mean) / 2 if state.object_ids and label in known else mean
        return ColourState(ids, np.stack([known[label] for label in (0, *ids)]))


def _with_weights() -> list[tuple[str, str]]:
    return [
        (method, variant)
        for method, record in zoo.METHODS.items()
        for variant in record.variants
        if record.streams and zoo.weights_record(method, variant) is not None
    ]


def untrained_osvos() -> StreamingSegmenter[Any]:
    torch.manual_seed(5)
    options = osvos.Options(backbone="mobilenetv2", fine_tuning=FineTuning(budget=Budget(steps=2)))
    return osvos.Osvos(osvos.OsvosNetwork(options))


def untrained_masktrack() -> StreamingSegmenter[Any]:
    torch.manual_seed(5)
    options = masktrack.Options(
        backbone="mobilenetv2", fine_tuning=FineTuning(budget=Budget(steps=2)), warp_previous="union"
    )
    return masktrack.MaskTrack(masktrack.MaskTrackNetwork(options))


def untrained_maskrnn() -> StreamingSegmenter[Any]:
    torch.manual_seed(5)
    options = maskrnn.Options(backbone="mobilenetv2", fine_tuning=FineTuning(budget=Budget(steps=2)))
    return maskrnn.MaskRnn(maskrnn.MaskRnnNetwork(options))


def untrained_osvos_of_the_paper() -> StreamingSegmenter[Any]:
    torch.manual_seed(5)
    return osvos.Osvos(osvos.OsvosNetwork(briefly_tuned(osvos.PRESETS["vgg16"]["paper"])))


def untrained_masktrack_of_the_paper() -> StreamingSegmenter[Any]:
    torch.manual_seed(5)
    options = briefly_tuned(masktrack.PRESETS["vgg16"]["paper"], flow_stream=True)
    return masktrack.MaskTrack(masktrack.MaskTrackNetwork(options))


def untrained_maskrnn_of_the_paper() -> StreamingSegmenter[Any]:
    torch.manual_seed(5)
    return maskrnn.MaskRnn(maskrnn.MaskRnnNetwork(briefly_tuned(maskrnn.PRESETS["vgg16"]["paper"])))


def briefly_tuned(options: Any, **changes: Any) -> Any:
    """A paper's options with two steps of fine-tuning, which show, on one sample each."""
    tuning = dataclasses.replace(options.fine_tuning, budget=Budget(steps=2), batch=1, learning_rate=0.01)
    return dataclasses.replace(options, fine_tuning=tuning, **changes)


def tiny(family: str) -> Callable[[], StreamingSegmenter[Any]]:
    """SAM 2's kin with a small random network of `transformers`."""

    def made() -> StreamingSegmenter[Any]:
        pytest.importorskip("transformers")
        from tiny_trackers import tiny_tracker

        return tiny_tracker(family)

    return made


MADE_HERE = {
    "colour tracker": ColourTracker,
    "osvos untrained": untrained_osvos,
    "masktrack untrained": untrained_masktrack,
    "maskrnn untrained": untrained_maskrnn,
    "osvos vgg16 untrained": untrained_osvos_of_the_paper,
    "masktrack vgg16 untrained": untrained_masktrack_of_the_paper,
    "maskrnn vgg16 untrained": untrained_maskrnn_of_the_paper,
    "sam2 tiny random": tiny("sam2"),
    "edgetam tiny random": tiny("edgetam"),
    "sam3_tracker tiny random": tiny("sam3_tracker"),
}


FAST = (
    "colour tracker",
    "osvos untrained",
    "masktrack untrained",
    "maskrnn untrained",
    "feelvos mobilenetv2",
    "sam2 tiny random",
)
"""Those whose promises `make test` asks for; the others' are a part of `make test-all`."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST))
        for name in (*MADE_HERE, *(f"{method} {variant}" for method, variant in _with_weights()))
    ],
)
def segmenter(request: pytest.FixtureRequest) -> StreamingSegmenter[Any]:
    if request.param in MADE_HERE:
        with request.getfixturevalue("thin_networks")():  # of the papers' networks; others stay as they are
            return MADE_HERE[request.param]()
    method, variant = request.param.split()
    fine_tune = "2" if zoo.METHODS[method].fine_tunes else None
    built = zoo.build_segmenter(method, variant, device="cpu", fine_tune=fine_tune)
    if not isinstance(built, StreamingSegmenter):
        pytest.skip("sees whole videos")
    return built


def scene(
    seed: int = 0, frames: int = FRAMES, size: tuple[int, int] = (H, W)
) -> tuple[Video, list[np.ndarray]]:
    """Three squares, 1, 5 and 7, that wander over a textured ground; their true label maps."""
    draws = np.random.default_rng(seed)
    height, width = size
    ground = draws.integers(90, 130, (height, width, 3))
    colours = draws.permutation([[220, 40, 40], [40, 220, 40], [40, 40, 220]])
    images, truths = [], []
    for t in range(frames):
        image, truth = ground.copy(), np.zeros(size, np.uint8)
        for place, (object_id, colour) in enumerate(zip(IDS, colours, strict=True)):
            top, left = 4 + t, 4 + place * (width // 3) + (-1) ** place * t
            window = slice(top, top + height // 3), slice(max(left, 0), left + width // 5)
            image[window] = colour + draws.integers(-15, 15, image[window].shape)
            truth[window] = object_id
        images.append(image.astype(np.uint8))
        truths.append(truth)
    return Video.from_arrays(images), truths


def run(
    segmenter: StreamingSegmenter[Any], video: Video, prompts: Mapping[int, np.ndarray]
) -> list[ObjectMasks]:
    return [masks for _, masks in segment_video(segmenter, video, prompts)]


def same(first: list[ObjectMasks], second: list[ObjectMasks]) -> bool:
    return len(first) == len(second) and all(
        a.object_ids == b.object_ids and np.array_equal(a.probs, b.probs)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("size", [(H, W), (W, H), (40, 64)])
def test_one_result_per_frame_of_the_videos_size_with_its_ids(
    segmenter: StreamingSegmenter[Any], size: tuple[int, int]
) -> None:
    video, truths = scene(size=size)
    results = list(segment_video(segmenter, video, {0: truths[0]}))
    assert [index for index, _ in results] == list(range(FRAMES))
    for _, masks in results:
        assert masks.object_ids == IDS
        assert masks.size == masks.label_map.shape == size
        assert masks.probs.dtype == np.float32
        assert masks.probs.min() >= 0
        assert masks.probs.sum(0).max() <= 1 + 1e-4
        assert set(np.unique(masks.label_map)) <= {0, *IDS}


def test_a_video_of_one_frame_gives_its_mask(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene(frames=1)
    (masks,) = run(segmenter, video, {0: truths[0]})
    np.testing.assert_array_equal(masks.label_map, truths[0])


def test_the_first_prompt_may_come_late(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene()
    results = run(segmenter, video, {2: truths[2]})
    assert [masks.object_ids for masks in results] == [(), (), IDS, IDS, IDS]
    np.testing.assert_array_equal(results[2].label_map, truths[2])


def test_an_object_that_leaves_keeps_its_id_and_may_return(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene()
    frames = list(video)
    empty = np.random.default_rng(1).integers(90, 130, (H, W, 3), np.uint8)
    video = Video.from_arrays([*frames[:2], empty, empty, *frames[2:]])
    results = run(segmenter, video, {0: truths[0]})
    assert [masks.object_ids for masks in results] == [IDS] * 7


def test_void_pixels_of_a_prompt_are_nobodys_and_never_come_out(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene()
    labels = truths[0].copy()
    labels[:, ::7] = 255
    results = run(segmenter, video, {0: labels, 2: np.where(labels == 255, 255, truths[2])})
    np.testing.assert_array_equal(results[0].label_map, np.where(labels == 255, 0, labels))
    assert all(masks.object_ids == IDS for masks in results)
    assert all(masks.label_map.max() <= 7 for masks in results)


def test_a_late_object_joins_exactly_as_painted(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene()
    late = np.zeros((H, W), np.uint8)
    late[30:45, 20:40] = 6
    results = run(segmenter, video, {0: truths[0], 2: late})
    assert [masks.object_ids for masks in results] == [IDS, IDS, (1, 5, 6, 7), (1, 5, 6, 7), (1, 5, 6, 7)]
    np.testing.assert_array_equal(results[2].label_map == 6, late == 6)


def test_a_correction_is_taken_as_painted_and_changes_what_follows(
    segmenter: StreamingSegmenter[Any],
) -> None:
    video, truths = scene()
    exchange = np.arange(256, dtype=np.uint8)
    exchange[[1, 5]] = 5, 1
    swapped = exchange[truths[2]]
    plain = run(segmenter, video, {0: truths[0]})
    corrected = run(segmenter, video, {0: truths[0], 2: swapped})
    assert same(plain[:2], corrected[:2])
    np.testing.assert_array_equal(corrected[2].label_map, swapped)
    assert not np.array_equal(plain[3].probs, corrected[3].probs)
    assert not np.array_equal(plain[4].probs, corrected[4].probs)


def test_both_ways_one_annotated_frame_is_a_plain_run(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene()
    results = []
    for way in (segmenter, Bidirectional(segmenter)):
        torch.manual_seed(3)
        results.append([masks for _, masks in segment_video(way, video, {0: truths[0]})])
    assert same(*results)


def test_both_ways_annotated_frames_are_exact_and_reach_the_frames_on_both_sides(
    segmenter: StreamingSegmenter[Any],
) -> None:
    video, truths = scene()
    exchange = np.arange(256, dtype=np.uint8)
    exchange[[1, 5]] = 5, 1
    results = []
    for last in (truths[4], exchange[truths[4]]):
        prompts = {1: truths[1], 4: last}
        torch.manual_seed(3)
        found = [masks for _, masks in segment_video(Bidirectional(segmenter), video, prompts)]
        assert all(masks.object_ids == IDS for masks in found)
        assert all(masks.probs.sum(0).max() <= 1 + 1e-4 for masks in found)
        for index, labels in prompts.items():
            np.testing.assert_array_equal(found[index].label_map, labels)
        results.append(found)
    plain, exchanged = results
    assert not any(np.array_equal(plain[index].probs, exchanged[index].probs) for index in (2, 3))


def test_the_same_seed_gives_the_same_masks(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene()
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(run(segmenter, video, {0: truths[0]}))
    assert same(*results)


def test_interleaved_videos_do_not_disturb_each_other(segmenter: StreamingSegmenter[Any]) -> None:
    scenes = [scene(seed=1), scene(seed=2, size=(40, 64))]
    alone = [run(segmenter, video, {0: truths[0]}) for video, truths in scenes]
    together = zip(
        *(segment_video(segmenter, video, {0: truths[0]}) for video, truths in scenes), strict=True
    )
    for position, results in enumerate(zip(*together, strict=True)):
        assert same([masks for _, masks in results], alone[position])


def test_the_network_is_left_as_it_was(segmenter: StreamingSegmenter[Any]) -> None:
    def weights() -> list[torch.Tensor]:
        holder = getattr(segmenter, "backend", segmenter)
        networks = [value for value in vars(holder).values() if isinstance(value, torch.nn.Module)]
        tensors = [tensor for network in networks for tensor in network.state_dict().values()]
        arrays = getattr(holder, "weights", {}).values()  # of the backend onnx
        return [tensor.clone() for tensor in (*tensors, *map(torch.as_tensor, arrays))]

    before = weights()
    attributes = set(vars(segmenter))
    video, truths = scene()
    run(segmenter, video, {0: truths[0], 2: truths[2]})
    assert set(vars(segmenter)) == attributes
    assert all(torch.equal(a, b) for a, b in zip(before, weights(), strict=True))
    assert isinstance(segmenter, ColourTracker) or before


def test_a_state_is_frozen_and_stepping_leaves_it_alone(segmenter: StreamingSegmenter[Any]) -> None:
    video, truths = scene()
    frames = list(video)
    state = segmenter.start(frames[0], truths[0])
    assert dataclasses.is_dataclass(state)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(state, dataclasses.fields(state)[0].name, None)
    state, _ = segmenter.step(state, frames[1])
    once = segmenter.step(state, frames[2])[1]
    segmenter.step(state, frames[3], truths[3])
    assert same([once], [segmenter.step(state, frames[2])[1]])


@pytest.mark.parametrize("through_a_file", [False, True])
def test_a_run_goes_on_from_a_state_to_the_same_masks(
    segmenter: StreamingSegmenter[Any], through_a_file: bool, tmp_path: Path
) -> None:
    video, truths = scene()
    prompts = check_prompts(video, {0: truths[0], 3: truths[3]})
    whole = list(frame_results(segmenter, video, prompts))
    state = whole[1].state
    if through_a_file:
        save_state(tmp_path / "state.safetensors", state)
        state = load_state(tmp_path / "state.safetensors", type(state))
    rest = frame_results(segmenter, video, prompts, range(2, len(video)), state)
    assert same([result.masks for result in rest], [result.masks for result in whole[2:]])
