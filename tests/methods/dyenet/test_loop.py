"""The whole loop over a network that sees colours: what is found, what is lost, and why."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tinct.fine_tuning.budget import Budget
from tinct.inference.callbacks import FineTuningProgress, callbacks
from tinct.inference.segmenter import segment_video
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.methods.dyenet import DyeNet, Options
from tinct.methods.dyenet.fine_tuning import OnlineTraining
from tinct.networks.dyenet.matching_guide import BoxCells
from tinct.networks.dyenet.network import COMPACT, DyeNetNetwork, FrameFeatures

Clip = Callable[..., tuple[Video, list[np.ndarray]]]
Make = Callable[..., DyeNet]


def run(
    segmenter: DyeNet, video: Video, prompts: dict[int, np.ndarray]
) -> tuple[list[ObjectMasks], dict[str, Any]]:
    accounts: list[dict[str, Any]] = []
    with callbacks(explanation=lambda account: accounts.append(dict(account))):
        results = list(segment_video(segmenter, video, prompts))
    assert [index for index, _ in results] == list(range(len(video)))
    (account,) = accounts
    return [masks for _, masks in results], account


def iou(masks: ObjectMasks, truth: np.ndarray, object_id: int) -> float:
    found, true = masks.label_map == object_id, truth == object_id
    union = (found | true).sum()
    return float((found & true).sum() / union) if union else 1.0


def hidden_for_a_while() -> list[list[Any]]:
    """Red (1) walks right, is hidden behind green (2) from frame 6 to 13, and comes out smaller."""
    frames: list[list[Any]] = []
    for t in range(18):
        walker = ("red", 2 + 2 * t, 16, 12) if t < 6 else ("red", 40 + t, 20, 8)
        hidden = ("red", 30, 16, 8)
        frames.append([hidden if 6 <= t < 14 else walker, ("green", 22 if t > 5 else 40, 8, 24)])
    return frames


def test_a_hidden_object_is_found_again(clip: Clip, dyenet: Make) -> None:
    video, truths = clip(hidden_for_a_while())
    results, account = run(dyenet(), video, {0: truths[0]})
    for t, (masks, truth) in enumerate(zip(results, truths, strict=True)):
        assert (truth == 1).any() == (not 6 <= t < 14)
        assert iou(masks, truth, 1) > 0.85, t
    found = [t for t in account["tracklets"] if t["round"] == 1 and t["object_id"] == 1]
    assert [(t["first"], t["last"]) for t in found] == [(14, 17)]
    assert account["rounds"][0]["masks_share"] < account["rounds"][1]["masks_share"]


def test_without_re_identification_it_stays_lost(clip: Clip, dyenet: Make) -> None:
    video, truths = clip(hidden_for_a_while())
    results, account = run(dyenet(re_id=False), video, {0: truths[0]})
    assert all(iou(results[t], truths[t], 1) > 0.85 for t in range(6))
    assert not any((masks.label_map == 1).any() for masks in results[6:])
    assert account["tracklets"][0]["stops"] == {
        "backward": "the video begins here",
        "forward": "the mask has faded",
    }
    assert len(account["rounds"]) == 1


def drifting_colour(frames: int = 16) -> list[list[Any]]:
    """Red turns green by and by, and is away for one frame in three, so that nothing carries it over."""
    squares: list[list[Any]] = []
    for t in range(frames):
        share = t / (frames - 1)
        colour = (round(230 - 210 * share), round(20 + 210 * share), 20)
        squares.append([(colour, 10 + 2 * t, 16, 14)] if t % 3 != 2 else [("red", -20, -20, 4)])
    return squares


def test_templates_of_later_rounds_reach_what_the_first_one_could_not(clip: Clip, dyenet: Make) -> None:
    video, truths = clip(drifting_colour())
    few = run(dyenet(rounds=1, rho=0.9), video, {0: truths[0]})
    many = run(dyenet(rounds=10, rho=0.9), video, {0: truths[0]})
    shares = [entry["masks_share"] for entry in many[1]["rounds"]]
    assert shares == sorted(shares)
    assert shares[-1] > few[1]["rounds"][-1]["masks_share"]
    assert iou(many[0][15], truths[15], 1) > 0.85
    assert not few[0][15].label_map.any()
    templates = [entry["templates"]["1"] for entry in many[1]["rounds"]]
    assert templates == sorted(set(templates))


def test_the_loop_ends_when_nothing_new_is_found(clip: Clip, dyenet: Make) -> None:
    video, truths = clip([[("red", 10, 10, 14)]] * 5)
    _, account = run(dyenet(rounds=50), video, {0: truths[0]})
    assert [entry["round"] for entry in account["rounds"]] == [0, 1]


def test_painted_masks_come_out_as_they_are_and_the_nearest_one_gives_the_others(
    clip: Clip, dyenet: Make
) -> None:
    video, truths = clip([[("red", 10 + t, 10, 14)] for t in range(11)])
    prompts = {0: truths[0].copy(), 10: truths[10].copy()}
    prompts[10][10:14] = 0  # a person's mask, which the network would not make
    results, account = run(dyenet(), video, prompts)
    for index, labels in prompts.items():
        np.testing.assert_array_equal(results[index].label_map, labels)
    tubes = account["tubes"]["1"]
    assert [(s["first"], s["last"]) for s in tubes] == [(0, 5), (6, 10)]
    assert account["tracklets"][0]["stops"]["forward"] == "the next frame is painted"


def test_an_object_may_come_in_the_middle_of_the_video(clip: Clip, dyenet: Make) -> None:
    video, truths = clip([[("red", 10 + t, 10, 14), ("blue", 50, 20, 14)] for t in range(8)])
    late = np.where(truths[4] == 2, 7, 0).astype(np.uint8)
    results, _ = run(dyenet(), video, {0: np.where(truths[0] == 1, 1, 0).astype(np.uint8), 4: late})
    for masks, truth in zip(results, truths, strict=True):
        assert masks.object_ids == (1, 7)
        assert iou(masks, np.where(truth == 2, 7, truth), 7) > 0.85
        assert iou(masks, truth, 1) > 0.85


def test_an_object_that_is_there_in_one_frame_only(clip: Clip, dyenet: Make) -> None:
    video, truths = clip([[("red", 10, 10, 14)] if t == 2 else [("red", -20, -20, 4)] for t in range(5)])
    results, account = run(dyenet(), video, {2: truths[2]})
    assert [bool(masks.label_map.any()) for masks in results] == [False, False, True, False, False]
    assert account["without_proposals"] == [0, 1, 3, 4]
    assert account["tracklets"][0]["stops"] == {
        "backward": "the mask has faded",
        "forward": "the mask has faded",
    }


def test_a_video_of_one_frame(clip: Clip, dyenet: Make) -> None:
    video, truths = clip([[("red", 10, 10, 14)]])
    results, account = run(dyenet(), video, {0: truths[0]})
    np.testing.assert_array_equal(results[0].label_map, truths[0])
    assert account["tracklets"][0]["stops"] == {
        "backward": "the video begins here",
        "forward": "the video ends here",
    }


def test_a_template_of_a_few_pixels_is_told_of_and_comes_out(clip: Clip, dyenet: Make) -> None:
    video, truths = clip([[("red", 10, 10, 2), ("blue", 30, 10, 14)]] * 3)
    with pytest.warns(UserWarning, match=r"object 1 on frame 0 is 2×2 pixels.*Paint the object on a frame"):
        results, account = run(dyenet(least_box_cells=0.5), video, {0: truths[0]})
    np.testing.assert_array_equal(results[0].label_map, truths[0])
    assert all(iou(masks, truths[0], 2) > 0.85 for masks in results)
    assert account["tracklets"][0]["stops"]["forward"] == "the box is too small"
    assert "object 1 on frame 0" in account["remarks"][0]


def test_two_objects_of_one_look_keep_their_ids_and_the_record_shows_the_doubt(
    clip: Clip, dyenet: Make
) -> None:
    video, truths = clip([[("red", 6, 10, 12), ("red", 50, 10, 12)]] * 6)
    results, account = run(dyenet(), video, {0: truths[0]})
    for masks in results:
        np.testing.assert_array_equal(masks.label_map == 1, truths[0] == 1)
        np.testing.assert_array_equal(masks.label_map == 2, truths[0] == 2)
    found = [point for point in account["starting_points"] if not point["painted"]]
    assert found
    assert all(point["doubtful"] for point in found)
    assert {point["runner_up"]["object_id"] for point in found} <= {1, 2}


def test_ties_are_settled_by_frame_and_id_every_time(clip: Clip, dyenet: Make) -> None:
    video, truths = clip(hidden_for_a_while())
    first, second = (run(dyenet(), video, {0: truths[0]}) for _ in range(2))
    assert first[1] == second[1]
    assert all(np.array_equal(a.probs, b.probs) for a, b in zip(first[0], second[0], strict=True))


def test_features_are_computed_once_per_frame_while_the_budget_lasts(
    clip: Clip, dyenet: Make, colour_network: Any
) -> None:
    video, truths = clip(hidden_for_a_while())
    plenty = run(dyenet(feature_budget_mb=100.0), video, {0: truths[0]})
    assert colour_network.count.features == len(video)
    none = run(dyenet(feature_budget_mb=0.0), video, {0: truths[0]})
    # Once for all frames, once more for each group of found boxes, and along the second tracklet's way.
    assert len(video) < colour_network.count.features - len(video) < 4 * len(video)
    assert plenty[1] == none[1]
    assert all(np.array_equal(a.probs, b.probs) for a, b in zip(plenty[0], none[0], strict=True))


def test_probabilities_are_soft_and_share_the_pixels_out(clip: Clip, dyenet: Make) -> None:
    video, truths = clip([[("red", 10 + t, 10, 14), ("blue", 18 + t, 12, 14)] for t in range(4)])
    results, _ = run(dyenet(), video, {0: truths[0]})
    probs = results[2].probs
    assert ((probs > 0.01) & (probs < 0.99)).any()
    assert probs.sum(0).max() <= 1 + 1e-5
    assert probs.shape == (2, *video.size)


def test_a_larger_working_size_gives_masks_of_the_frames_own_size(clip: Clip, dyenet: Make) -> None:
    video, truths = clip([[("red", 10 + t, 10, 14)] for t in range(4)])
    results, _ = run(dyenet(working_height=96), video, {0: truths[0]})
    assert all(masks.size == video.size for masks in results)
    assert all(iou(m, t, 1) > 0.85 for m, t in zip(results, truths, strict=True))


def test_a_mirror_image_agrees(clip: Clip, dyenet: Make) -> None:
    video, truths = clip(hidden_for_a_while())
    results, _ = run(dyenet(flip=True), video, {0: truths[0]})
    assert all(iou(m, t, 1) > 0.85 for m, t in zip(results, truths, strict=True))


def test_patches_give_what_the_whole_frame_gives(clip: Clip, dyenet: Make) -> None:
    video, truths = clip(hidden_for_a_while())
    results, _ = run(dyenet(patches=True, patch_side=64), video, {0: truths[0]})
    assert all(iou(m, t, 1) > 0.8 for m, t in zip(results, truths, strict=True))


def test_an_ensemble_of_two_is_their_mean(clip: Clip, colour_network: Any, still: Any) -> None:
    video, truths = clip(hidden_for_a_while())
    alone = DyeNet(colour_network, Options(least_box_cells=0.25, box_margin=0.15), flow=still)
    both = DyeNet(
        [colour_network, colour_network], Options(least_box_cells=0.25, box_margin=0.15), flow=still
    )
    first, second = (run(segmenter, video, {0: truths[0]})[0] for segmenter in (alone, both))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a.probs, b.probs, atol=1e-5)


def test_a_propagation_that_looks_like_nothing_known_ends(clip: Clip, dyenet: Make) -> None:
    changing = [[((230 - 25 * t, 20 + 25 * t, 20), 10 + t, 10, 14)] for t in range(9)]
    video, truths = clip(changing)
    plain = run(dyenet(re_id=False), video, {0: truths[0]})[1]
    checked = run(dyenet(re_id=False, verification=0.8), video, {0: truths[0]})[1]
    assert plain["tracklets"][0]["stops"]["forward"] == "the video ends here"
    assert checked["tracklets"][0]["stops"]["forward"] == "the box looks like none of the object's templates"
    assert checked["tracklets"][0]["last"] < 8


def test_online_training_learns_from_the_painted_frames_and_leaves_the_network(clip: Clip) -> None:
    torch.manual_seed(0)
    config = replace(COMPACT, roi_grid=6, hidden=8)
    training = OnlineTraining(Budget(steps=2), height=32, learning_rate=0.01, tuned_share=1.0)
    easy = {"least_area": 0.0, "least_box_cells": 0.0, "re_id": False}
    network = DyeNetNetwork(config)
    plain = DyeNet(network, Options(config=config, **easy))
    tuned = DyeNet(network, Options(config=config, fine_tuning=training, **easy))
    before = deepcopy(tuned.members[0].network.state_dict())
    video, truths = clip([[("red", 8 + t, 10, 20)] for t in range(2)])
    news: list[FineTuningProgress] = []
    with callbacks(fine_tuning=news.append):
        first, second = (run(tuned, video, {0: truths[0]})[0] for _ in range(2))
    assert [(n.steps, n.finished) for n in news] == [(1, False), (2, False), (2, True)] * 2
    assert np.array_equal(first[1].probs, second[1].probs)
    assert not np.array_equal(first[1].probs, run(plain, video, {0: truths[0]})[0][1].probs)
    after = tuned.members[0].network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_walk_matches_with_the_frame_before_and_every_few_frames_with_a_remembered_one(
    clip: Clip, dyenet: Make, colour_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, truths = clip([[("red", 10 + 2 * t, 16, 14)] for t in range(8)])
    frames = [torch.from_numpy(np.array(frame)).permute(2, 0, 1) / 255 for frame in video]
    matched: dict[int, list[int]] = {}

    def index_of(features: FrameFeatures) -> int:
        near = [float((features.coarse[0].float() - frame).abs().mean()) for frame in frames]
        return int(np.argmin(near))

    def remember(_: Any, features: FrameFeatures, boxes: Tensor, index: Tensor, masks: Tensor) -> BoxCells:
        return BoxCells(torch.full((len(boxes), 1, 1), float(index_of(features))), torch.ones(len(boxes), 1))

    forward = type(colour_network).forward

    def noted(self: Any, features: FrameFeatures, *rest: Any) -> Any:
        matched[index_of(features)] = rest[-1].keys[0, :, 0].int().tolist()
        return forward(self, features, *rest)

    monkeypatch.setattr(type(colour_network), "remember", remember)
    monkeypatch.setattr(type(colour_network), "forward", noted)
    run(dyenet(re_id=False, memory_every=2), video, {3: truths[3]})
    assert matched == {2: [3, 3], 1: [2, 3], 0: [1, 1], 4: [3, 3], 5: [4, 3], 6: [5, 5], 7: [6, 5]}
    matched.clear()
    run(dyenet(re_id=False), video, {3: truths[3]})
    assert matched == {2: [3], 1: [2], 0: [1], 4: [3], 5: [4], 6: [5], 7: [6]}
