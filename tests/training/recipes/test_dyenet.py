"""DyeNet's recipe: stages, what they are made of, what is remembered beside the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tinct.errors import OptionError
from tinct.methods.dyenet.options import PRESETS
from tinct.networks.dyenet.network import COMPACT, PAPER
from tinct.networks.dyenet.training_network import DyeNetLossOptions
from tinct.networks.weights import save_weights
from tinct.training.checkpoint import FILE_NAME, read_checkpoint
from tinct.training.loop import train
from tinct.training.options import LoopOptions
from tinct.training.recipes.dyenet import RECIPES, compact_stages, compact_task, paper_stages
from tinct.training.recipes.dyenet_task import DyeNetTask
from tinct.training.recipes.recipe import train_by_recipe
from tinct.training.sources import Sources
from tinct.training.stages import SGD, Stage, StairSchedule

ALL = {"proposals": 1, "identities": 1, "joint": 1, "long": 1, "online": 1}
TINY = replace(COMPACT, roi_grid=6, hidden=8)


def small(stages: list[Stage], steps: int = 1) -> list[Stage]:
    """The stages with clips of 48×64, two per step."""
    for stage in stages:
        clips: Any = getattr(stage.clips, "clips", stage.clips)
        clips.options = replace(clips.options, size=(48, 64), min_pixels=20)
    return [replace(stage, batch=2, steps=steps) for stage in stages]


def options(out: Path, **changes: Any) -> LoopOptions:
    return LoopOptions(
        out, "dyenet", "mobilenetv2", workers=0, cpu=True, mixed_precision="no", log_every=1, **changes
    )


def test_longer_clips_from_stage_to_stage(data: Sources) -> None:
    stages = compact_stages(data, ALL, 0)
    assert [stage.name for stage in stages] == list(ALL)
    shapes = [tuple(stage.clips[0]["frames"].shape[:1]) for stage in stages]
    assert shapes == [(1,), (2,), (5,), (8,), (5,)]
    assert ["flow_backward" in stage.clips[0] for stage in stages] == [False] * 2 + [True] * 3
    # One video of 8 objects at most, two photos of 3, and one painted frame of one object.
    assert [stage.clips.identities for stage in stages] == [14, 14, 14, 14, 1]
    assert compact_stages(data, {}, 0) == []


def test_photos_are_no_must(data: Sources) -> None:
    [stage] = compact_stages(replace(data, sets=data.sets[:1]), {"identities": 1}, 0)
    assert "photos" not in stage.clips.describe()


def test_the_papers_schedule(data: Sources) -> None:
    assert RECIPES["resnet101"].steps["joint"] == 24_000
    [stage] = paper_stages(data, {"joint": 24_000}, 0)
    assert (stage.batch, stage.learning_rate, stage.optimiser) == (8, 1e-3, SGD(0.9, 5e-4))
    assert [stage.schedule(step, 24_000) for step in (0, 7999, 8000, 23_999)] == pytest.approx(
        [1, 1, 0.1, 0.01]
    )
    assert stage.schedule == StairSchedule(8000, 0.1)


@pytest.mark.parametrize("variant", ["mobilenetv2", "resnet101", "xception65"])
def test_boxes_are_as_wide_in_training_as_at_test(variant: str, thin_networks: Any) -> None:
    with thin_networks():
        low, high = RECIPES[variant].task().loss.enlargement
    for preset, options in PRESETS[variant].items():
        assert low <= 1 + 2 * options.box_margin <= high, preset
    assert (low == high == 1.0) == (variant != "mobilenetv2")


def test_a_run_through_all_stages(data: Sources, tmp_path: Path) -> None:
    torch.manual_seed(0)
    outcome = train(compact_task(TINY), small(compact_stages(data, ALL, 0)), options(tmp_path))
    assert outcome.finished
    for name in ALL:
        assert (tmp_path / f"{name}.safetensors").is_file()


def test_what_is_remembered_is_in_checkpoints_and_not_in_weights(data: Sources, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = compact_task(TINY)
    train(task, small(compact_stages(data, {"identities": 1}, 0)), options(tmp_path))
    here = read_checkpoint(tmp_path / FILE_NAME)
    assert here is not None
    assert here.memory["table"].shape == (14, 256)
    assert here.memory["table"].any()
    assert not any("matching" in name or "table" in name for name in here.network)
    assert not any("matching" in name for name, _ in task.network.named_buffers())


def test_a_resumed_run_remembers(data: Sources, tmp_path: Path) -> None:
    states = []
    for out, stops in (("whole", [None]), ("slices", [0.0, 0.0, None])):
        for stop in stops:
            torch.manual_seed(0)
            task = compact_task(TINY)
            stages = small(compact_stages(data, {"identities": 1}, 0), steps=3)
            train(task, stages, options(tmp_path / out, resume=True, stop_after_s=stop))
        states.append({**task.network.state_dict(), **task.memory()})
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        # Not to the last bit: on several threads, gradients of features are summed in any order.
        torch.testing.assert_close(states[0][name], states[1][name], rtol=0, atol=1e-6)


def test_the_backbone_does_not_learn_and_others_slower() -> None:
    task = compact_task(TINY)
    groups = {factor: {id(p) for p in parameters} for parameters, factor in task.parameter_groups()}
    assert sorted(groups) == [0.1, 0.3, 0.5, 1.0]
    named = {name: id(p) for name, p in task.network.named_parameters()}
    assert named["extractor.extractor.smooth_8.weight"] in groups[0.5]
    assert named["extractor.embedding.branch.weight"] in groups[0.3]
    assert named["recurrent.function.fuse.weight"] in groups[1.0]
    assert {named["reid.project.weight"], named["extractor.identity.weight"]} <= groups[0.1]
    assert not any(i in group for n, i in named.items() if ".backbone." in n for group in groups.values())


def test_gradients_are_not_clipped_in_the_papers_recipe(data: Sources) -> None:
    stages = paper_stages(data, {"proposals": 1, "joint": 1, "online": 1}, 0)
    assert {stage.clip_gradient_norm for stage in stages} == {float("inf")}


def test_the_papers_online_clips_show_no_mirror_images(data: Sources) -> None:
    [stage] = paper_stages(data, {"online": 1}, 0)
    labels = [stage.clips[i]["labels"] for i in range(6)]
    assert any((y == 255).any() for y in labels)
    [compact] = compact_stages(data, {"online": 1}, 0)
    assert all((compact.clips[i]["labels"] != 255).all() for i in range(6))


def test_the_papers_clips_move_by_their_frames_alone_and_show_no_mirror_images(data: Sources) -> None:
    [stage] = paper_stages(data, {"joint": 1}, 0)
    clips: Any = stage.clips
    [source] = clips.clips.sources
    assert source.motion.blank_rim
    assert (source.motion.step_scale, source.motion.step_turn_degrees, source.motion.bend) == (0.0, 0.0, 0.0)
    # A picture of 0.95 of the frame, and shifted, leaves some of it free.
    labels = [stage.clips[i]["labels"] for i in range(4)]
    assert any((y == 255).any() for y in labels)
    assert all(torch.equal(y[1] == 255, y[2] == 255) for y in labels)


def test_it_starts_from_compact_feelvos(tmp_path: Path) -> None:
    task = compact_task(TINY)
    name = "extractor.smooth_8.weight"
    weight = torch.randn_like(task.network.state_dict()["extractor." + name])
    save_file({name: weight}, tmp_path / "f.safetensors", {"method": "feelvos", "variant": "mobilenetv2"})
    started = RECIPES["mobilenetv2"].build_task(init=tmp_path / "f.safetensors")
    assert torch.equal(started.network.state_dict()["extractor." + name], weight)


def test_a_task_without_identities_has_a_table_all_the_same() -> None:
    task = compact_task(TINY)
    task.prepare([])
    assert task.memory()["table"].shape == (1, 256)
    assert isinstance(task, DyeNetTask)
    assert task.loss != DyeNetLossOptions()


def test_dev_scores_are_refused(data: Sources, tmp_path: Path) -> None:
    options = LoopOptions(tmp_path, "dyenet", "mobilenetv2")
    with pytest.raises(OptionError, match="sees the whole video"):
        train_by_recipe(RECIPES["mobilenetv2"], data, options, dev="dev")


@pytest.mark.parametrize("variant", ["mobilenetv2", "resnet101"])
def test_attention_can_be_left_out(variant: str, thin_networks: Any) -> None:
    with thin_networks():
        networks = [
            recipe.task().network for recipe in (RECIPES[variant], RECIPES[variant].without(["attention"]))
        ]
    assert [network.config.attention for network in networks] == [True, False]
    assert networks[1].config == replace(networks[0].config, attention=False)


def test_the_advanced_form_can_be_trained(data: Sources, thin_networks: Any) -> None:
    with thin_networks():
        recipe = RECIPES["resnet101"].with_added(["pyramid", "two-streams"]).without(["attention"])
        config = recipe.task().network.config
    assert config == replace(PAPER, pyramid=True, two_streams=True, attention=False)
    with thin_networks():
        assert recipe.task().loss.patch_side == 0
        on_patches = recipe.with_added(["patches"]).task()
    assert on_patches.network.config == config
    sides = {options["advanced"].patch_side for options in PRESETS.values()}
    assert sides == {on_patches.loss.patch_side}
    with pytest.raises(OptionError, match=r"no part 'pyramid' to add.*two-streams"):
        RECIPES["mobilenetv2"].with_added(["pyramid"])
    with pytest.raises(OptionError, match="no part 'attention' to add"):
        recipe.with_added(["attention"])


@pytest.mark.slow
def test_a_second_stream_begins_on_top_of_one_streams_weights(data: Sources, tmp_path: Path) -> None:
    file = tmp_path / "one.safetensors"
    one = RECIPES["mobilenetv2"].build_task().network
    save_weights(file, one, method="dyenet", variant="mobilenetv2")
    recipe = RECIPES["mobilenetv2"].with_added(["two-streams"])
    two = recipe.build_task(init=file)
    name = "recurrent.function.fuse.weight"
    torch.testing.assert_close(two.network.state_dict()[name], one.state_dict()[name], atol=1e-3, rtol=1e-3)
    # And it learns: what the flow adds is 0 before.
    join = two.network.motion.join.weight
    assert not join.any()
    train(two, small(compact_stages(data, {"joint": 2}, 0), steps=2), options(tmp_path))
    assert join.any()
