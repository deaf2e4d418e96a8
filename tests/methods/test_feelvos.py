"""FEELVOS: its rules on small inputs, and both variants through the same code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tinct.backends.feelvos_torch import TorchBackend
from tinct.errors import OptionError, WeightsError
from tinct.methods.feelvos import COMPACT, PRESETS, Feelvos, FeelvosState, Options, build, without_parts
from tinct.networks.feelvos import (
    FeelvosNetwork,
    SemanticEmbedding,
    distance_maps,
    head_maps,
    label_logits,
)
from tinct.networks.feelvos_parts import FeelvosConfig, ObjectMatches
from tinct.networks.weights import save_weights
from tinct.ops.matching import squash
from tinct.ops.pixel_sets import PixelSet
from tinct.training.recipes.feelvos_task import match
from tinct.zoo import build_segmenter

CPU = torch.device("cpu")
PAPER_MAPS = FeelvosConfig(contrast=False)


@pytest.fixture(scope="module")
def compact() -> FeelvosNetwork:
    torch.manual_seed(0)
    network = FeelvosNetwork(COMPACT.config)
    torch.nn.init.normal_(network.head.score.weight, std=0.5)
    return network


@pytest.fixture(scope="module")
def weights(compact: FeelvosNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "compact.safetensors"
    save_weights(path, compact, method="feelvos", variant="mobilenetv2")
    return path


def clip(frames: int = 3, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(frames)]


def two_objects(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    labels = np.zeros(size, np.uint8)
    labels[8:24, 8:24] = 2
    labels[24:40, 32:56] = 9
    return labels


def test_the_papers_head_sees_one_map_of_each_kind_for_every_label() -> None:
    distances, probs = torch.rand(3, 4, 5), torch.rand(3, 4, 5)
    maps = head_maps(ObjectMatches(distances, 2 * distances, probs), PAPER_MAPS, None)
    assert maps.shape == (3, 3, 4, 5)  # background included
    torch.testing.assert_close(maps[:, 0], squash(distances))
    torch.testing.assert_close(maps[:, 1], probs)
    torch.testing.assert_close(maps[:, 2], squash(2 * distances))


def test_contrast_adds_the_nearest_other_label_and_who_is_nearer() -> None:
    distances = torch.tensor([1.0, 4.0, 2.0]).view(3, 1, 1)
    maps = distance_maps(distances, replace(PAPER_MAPS, contrast=True))
    torch.testing.assert_close(maps[:, 1, 0, 0], squash(torch.tensor([2.0, 1.0, 1.0])))
    torch.testing.assert_close(maps[:, 2, 0, 0], torch.sigmoid(torch.tensor([1.0, -3.0, -1.0])))


def test_an_object_without_pixels_is_as_far_as_can_be() -> None:
    maps = distance_maps(torch.tensor([0.5, torch.inf]).view(2, 1, 1), PAPER_MAPS)
    assert maps[1, 0].item() == 1.0


def test_without_a_background_head_its_logit_is_zero() -> None:
    logits = torch.randn(2, 3, 4)
    scores = label_logits(logits, replace(PAPER_MAPS, background_head=False))
    assert scores.shape == (3, 3, 4)
    assert not scores[0].any()
    torch.testing.assert_close(label_logits(logits, PAPER_MAPS), logits)


def test_a_frame_matched_with_itself_is_at_distance_zero() -> None:
    embedding = torch.rand(6, 4, 5)
    membership = torch.zeros(2, 4, 5)
    membership[0, :, :3] = 1
    membership[1, :, 3:] = 1
    found = match(
        embedding, PixelSet.of_frame(embedding, membership), embedding, membership, membership, Options()
    )
    for distances in (found.global_distances, found.local_distances):
        torch.testing.assert_close(distances.amin(0), torch.zeros(4, 5), atol=1e-5, rtol=0)
        assert torch.equal(distances.argmin(0), membership.argmax(0))


def test_the_embedding_starts_near_identity() -> None:
    features = torch.rand(1, 12, 6, 6)
    assert (SemanticEmbedding(12, 8)(features) - features[:, :8]).abs().mean() < 0.5


@pytest.mark.parametrize("preset", PRESETS["mobilenetv2"])
def test_every_preset_gives_probabilities_of_the_frames_own_size(weights: Path, preset: str) -> None:
    segmenter = build("mobilenetv2", preset, weights, CPU, working_height=48)
    first, *later = clip(4, (61, 47))
    labels = two_objects()[:, :47]
    state = segmenter.start(first, np.pad(labels, ((0, 13), (0, 0))))
    for frame in later:
        state, masks = segmenter.step(state, frame)
        assert masks.object_ids == (2, 9)
        assert masks.probs.shape == (2, 61, 47)
        assert masks.probs.min() >= 0
        assert masks.probs.sum(0).max() <= 1 + 1e-5


def test_an_object_is_segmented_alike_whatever_other_objects_are_called(weights: Path) -> None:
    segmenter = build("mobilenetv2", "default", weights, CPU, working_height=48)
    first, second, _ = clip()
    labels = two_objects()
    renamed = np.where(labels == 9, 200, labels).astype(np.uint8)
    _, masks = segmenter.step(segmenter.start(first, labels), second)
    _, other = segmenter.step(segmenter.start(first, renamed), second)
    np.testing.assert_array_equal(masks.probs, other.probs)


def test_the_memory_keeps_the_last_frames_and_no_more(weights: Path) -> None:
    segmenter = build(
        "mobilenetv2", "default", weights, CPU, working_height=48, memory_frames=2, memory_every=2
    )
    frames = clip(9)
    state = segmenter.start(frames[0], two_objects())
    sizes = []
    for frame in frames[1:]:
        state, _ = segmenter.step(state, frame)
        sizes.append(len(state.memory))
    assert sizes == [0, 1, 1, 2, 2, 2, 2, 2]
    painted = len(state.prompts.embedding)
    assert len(state.reference.embedding) == painted + sum(len(m.embedding) for m in state.memory)


def test_a_late_object_joins_and_painted_pixels_are_exact(weights: Path) -> None:
    segmenter = build("mobilenetv2", "default", weights, CPU, working_height=48)
    first, second, third = clip()
    state = segmenter.start(first, two_objects())
    late = np.zeros((48, 64), np.uint8)
    late[:6, 50:] = 4
    state, masks = segmenter.step(state, second, late)
    assert masks.object_ids == (2, 4, 9)
    np.testing.assert_array_equal(masks.label_map == 4, late == 4)
    assert len(state.prompts.embedding) == 2 * 6 * 8
    state, masks = segmenter.step(state, third)
    assert masks.object_ids == (2, 4, 9)


def shown(left: int, *, careful: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A frame with an orange square on grey, and its mask; of a hasty one, a box twice as wide."""
    random = np.random.default_rng(left)
    frame = random.integers(90, 130, (96, 128, 3)).astype(np.uint8)
    labels = np.zeros((96, 128), np.uint8)
    frame[32:64, left : left + 32] = np.array([220, 120, 30]) + random.integers(-20, 20, (32, 32, 3))
    labels[32:64, left : left + (32 if careful else 64)] = 4
    return frame, labels


def own_weight(state: FeelvosState, pixels: int) -> float:
    return float(state.prompts.membership[:pixels, 1].max())


def test_a_hasty_mask_counts_less_where_others_contradict_it() -> None:
    segmenter = build_segmenter("feelvos", preset="fast", device="cpu", working_height=96)
    assert isinstance(segmenter, Feelvos)
    pixels = len(segmenter.start(*shown(20)).prompts.embedding)
    first, second, hasty = shown(20), shown(40), shown(20, careful=False)
    agreed = segmenter.start_at_each(*zip(first, second, strict=True))
    doubted, trusted = segmenter.start_at_each(*zip(hasty, second, strict=True))
    assert min(own_weight(state, pixels) for state in agreed) > 0.7
    assert own_weight(doubted, pixels) < 0.5
    assert own_weight(trusted, pixels) == 1
    # The hasty mask's run starts from less of it; the careful one's from all.
    plain = segmenter.start(*hasty)
    assert doubted.membership[1].sum() < 0.8 * plain.membership[1].sum()
    assert np.array_equal(trusted.membership, segmenter.start(*second).membership)
    # All of them are in each reference, and the order in which they came does not matter.
    assert {len(state.prompts.embedding) for state in (*agreed, doubted, trusted)} == {2 * pixels}
    turned = segmenter.start_at_each(*zip(second, hasty, strict=True))
    assert np.array_equal(turned[1].prompts.membership, doubted.prompts.membership)


def test_masks_of_other_objects_are_not_contradictions(weights: Path) -> None:
    segmenter = build("mobilenetv2", "fast", weights, CPU, working_height=48)
    frames, labels = clip(2), [two_objects(), np.where(two_objects() == 9, np.uint8(9), np.uint8(0))]
    both, nine = segmenter.start_at_each(frames, labels)
    pixels = len(segmenter.start(frames[0], labels[0]).prompts.embedding)
    assert (both.object_ids, nine.object_ids) == ((2, 9), (9,))
    # The second frame's background may hold object 2: for the first, which it cannot judge, it is nobody's.
    assert both.prompts.membership[:pixels].max() == 1
    assert not both.prompts.membership[pixels:, :2].any()
    assert both.prompts.membership[pixels:, 2].max() > 0
    assert nine.prompts.membership[pixels:, 0].max() > 0


def test_without_other_prompts_every_annotated_frame_is_started_alone(weights: Path) -> None:
    segmenter = build("mobilenetv2", "fast", weights, CPU, working_height=48, other_prompts=0.0)
    frames, labels = clip(2), [two_objects(), two_objects()]
    for state, frame, painted in zip(segmenter.start_at_each(frames, labels), frames, labels, strict=True):
        assert torch.equal(state.prompts.membership, segmenter.start(frame, painted).prompts.membership)


def test_hard_feedback_is_an_option(weights: Path) -> None:
    segmenter = build(
        "mobilenetv2", "default", weights, CPU, working_height=48, soft_feedback=False, soft_minimum=None
    )
    first, second, _ = clip()
    state, _ = segmenter.step(segmenter.start(first, two_objects()), second)
    assert set(state.probs.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("change", [{"head_channels": 32}, {"contrast": False}, {"refinement": False}])
def test_weights_are_bound_to_their_config(weights: Path, change: dict[str, int]) -> None:
    with pytest.raises(WeightsError, match=r"feelvos \(mobilenetv2\)"):
        build("mobilenetv2", "default", weights, CPU, config=replace(COMPACT.config, **change))


def test_every_preset_of_a_variant_has_the_config_of_its_weights() -> None:
    for presets in PRESETS.values():
        assert len({options.config for options in presets.values()}) == 1


def test_the_refinement_is_left_out_where_the_options_say_so(compact: FeelvosNetwork) -> None:
    first, second, _ = clip()
    for options, scale in ((COMPACT, 2), (replace(COMPACT, refinement=False), 1)):
        segmenter = Feelvos(TorchBackend(compact), replace(options, working_height=None))
        state, _ = segmenter.step(segmenter.start(first, two_objects()), second)
        assert state.labels.shape == (6 * scale, 8 * scale)


@pytest.mark.parametrize(
    "change",
    [
        {"global_matching": False}, {"previous_matching": "none"}, {"previous_matching": "frame"},
        {"previous_prediction": False},
    ],
)  # fmt: skip
def test_every_part_of_the_papers_ablation_can_be_left_out_at_test(
    compact: FeelvosNetwork, change: dict[str, object]
) -> None:
    first, second, third = clip()
    seen = []
    for options in (COMPACT, replace(COMPACT, **change)):
        segmenter = Feelvos(TorchBackend(compact), replace(options, working_height=None, local_radius=1))
        state, _ = segmenter.step(segmenter.start(first, two_objects()), second)
        seen.append(segmenter.step(state, third)[1].probs)
    assert np.abs(seen[0] - seen[1]).max() > 1e-4


def test_a_part_that_is_left_out_says_nothing() -> None:
    matches = ObjectMatches(torch.rand(2, 3, 3), torch.rand(2, 3, 3), torch.rand(2, 3, 3))
    nothing = without_parts(
        matches, Options(global_matching=False, previous_matching="none", previous_prediction=False)
    )
    maps = head_maps(nothing, PAPER_MAPS, None)
    assert torch.equal(maps, torch.tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(2, 3, 3, 3))
    assert torch.equal(without_parts(matches, Options()).global_distances, matches.global_distances)


def test_unknown_previous_matching() -> None:
    with pytest.raises(OptionError, match="Did you mean 'window'"):
        Options(previous_matching="windo")


def test_weights_of_one_variant_do_not_fit_another(weights: Path) -> None:
    with pytest.raises(WeightsError, match="mobilenetv2"):
        build("xception65", "paper", weights, CPU)


def test_the_paper_preset_switches_off_all_that_goes_beyond_it() -> None:
    paper = PRESETS["xception65"]["paper"]
    assert paper.soft_minimum is None
    assert paper.memory_frames == 0
    assert not paper.gate
    assert not paper.other_prompts
    assert not paper.refinement
    assert paper.soft_feedback
    assert paper.align_corners


def test_the_compact_network_is_not_run_without_what_it_learnt_with() -> None:
    assert "paper" not in PRESETS["mobilenetv2"]
    for options in PRESETS["mobilenetv2"].values():
        assert options.soft_minimum is not None
        assert options.refinement
        assert not options.align_corners


def test_the_defaults_are_the_papers() -> None:
    assert PRESETS["xception65"]["paper"] == Options()
    options, config = Options(), FeelvosConfig()
    assert options.config == config
    assert (config.embedding_channels, options.local_radius, config.head_layers) == (100, 15, 4)
    assert (config.head_channels, config.head_kernel, options.reference_pixels) == (256, 7, 1024)


def test_the_papers_network_runs_through_the_same_code() -> None:
    torch.manual_seed(0)
    segmenter = Feelvos(TorchBackend(FeelvosNetwork(FeelvosConfig()), precision="float32"), Options())
    first, second, _ = clip(3, (33, 41))
    labels = two_objects()[:33, :41]
    state, masks = segmenter.step(segmenter.start(first, labels), second)
    assert state.embedding.shape == (100, 9, 11)  # stride 4, rounded up
    assert len(state.probs) == 3  # the background runs through the head too
    assert masks.probs.shape == (2, 33, 41)
    np.testing.assert_allclose(state.probs.sum(0), np.ones((9, 11)), atol=1e-5)
