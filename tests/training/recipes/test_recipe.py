"""Recipes of OSVOS, MaskTrack and MaskRNN: a run from end to end, weights handed on, errors at the door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tinct.data.masked_frames import DavisFrames, FrameOptions
from tinct.errors import OptionError, TinctError, WeightsError
from tinct.methods.osvos import COMPACT, OsvosNetwork
from tinct.networks.weights import save_weights
from tinct.training.options import LoopOptions
from tinct.training.recipes import maskrnn, masktrack, osvos
from tinct.training.recipes.recipe import Recipe, method_of_weights, train_by_recipe
from tinct.training.sources import Sources

ALL = [osvos.RECIPES["mobilenetv2"], masktrack.RECIPES["mobilenetv2"], maskrnn.RECIPES["mobilenetv2"]]


Small = Callable[[Recipe], Recipe]


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.method)
def test_a_run_from_end_to_end(recipe: Recipe, data: Sources, small: Small, tmp_path: Path) -> None:
    options = LoopOptions(tmp_path / "run", recipe.method, "mobilenetv2", cpu=True, workers=0)
    init = tmp_path / "init.safetensors"
    save_weights(init, recipe.task().network, method=recipe.method, variant="mobilenetv2")
    steps = dict.fromkeys(recipe.steps, 1)
    outcome = train_by_recipe(small(recipe), data, options, steps=steps, init=init, dev="dev")
    assert outcome.finished
    last = list(recipe.steps)[-1]
    assert method_of_weights(tmp_path / "run" / f"{last}.safetensors") == recipe.method
    assert "j_and_f" in (tmp_path / "run" / "curve.jsonl").read_text()


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.method)
def test_stages_and_their_steps(recipe: Recipe, data: Sources) -> None:
    assert [s.name for s in recipe.build_stages(data, None, 0)] == list(recipe.steps)
    assert recipe.build_stages(data, dict.fromkeys(recipe.steps, 0), 0) == []
    with pytest.raises(OptionError, match="has no stage 'videos'"):
        recipe.build_stages(data, {"videos": 3}, 0)
    with pytest.raises(OptionError, match="0 leaves it out"):
        recipe.build_stages(data, {next(iter(recipe.steps)): -1}, 0)


@pytest.mark.parametrize(
    ("recipe", "shapes"),
    [
        (ALL[0], [(256, 384, 3), (256, 384, 3)]),
        (ALL[1], [(256, 384, 3), (5, 256, 448, 3)]),
        (ALL[2], [(8, 240, 416, 3)]),
    ],
    ids=lambda value: getattr(value, "method", ""),
)
def test_samples_are_of_the_stages_size(recipe: Recipe, shapes: list[tuple[int, ...]], data: Sources) -> None:
    assert [s.clips[0]["frames"].shape for s in recipe.build_stages(data, None, 0)] == shapes


def test_data_that_a_stage_needs(data: Sources) -> None:
    recipe = ALL[1]
    with pytest.raises(OptionError, match="needs photos with masks"):
        recipe.build_stages(replace(data, sets=data.sets[:1]), None, 0)
    with pytest.raises(OptionError, match="needs videos"):
        recipe.build_stages(replace(data, sets=data.sets[1:]), None, 0)
    assert len(recipe.build_stages(replace(data, sets=data.sets[1:]), {"clips": 0}, 0)) == 1


def test_dev_needs_videos(data: Sources, tmp_path: Path) -> None:
    options = LoopOptions(tmp_path, "masktrack", "mobilenetv2")
    with pytest.raises(OptionError, match="no videos were given"):
        train_by_recipe(ALL[1], replace(data, sets=data.sets[1:]), options, steps={"clips": 0}, dev="train")


def test_weights_of_another_method_are_taken_over_where_that_helps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = masktrack.compact_task().network
    save_weights(tmp_path / "m.safetensors", source, method="masktrack", variant="mobilenetv2")
    started = ALL[2].build_task(init=tmp_path / "m.safetensors").network.state_dict()
    for stream in ("appearance", "motion"):
        taken: Tensor = started[f"streams.{stream}.smooth_8.weight"]
        torch.testing.assert_close(taken, source.state_dict()["stream.smooth_8.weight"], atol=1e-3, rtol=1e-2)
    with pytest.raises(WeightsError, match=r"holds weights of masktrack.*give weights of osvos, feelvos"):
        ALL[0].build_task(init=tmp_path / "m.safetensors")


def test_weights_that_are_of_no_use(tmp_path: Path) -> None:
    network = OsvosNetwork(COMPACT)
    save_weights(tmp_path / "o.safetensors", network, method="feelvos", variant="mobilenetv2")
    with pytest.raises(WeightsError, match="none of their names and shapes"):
        ALL[0].build_task(init=tmp_path / "o.safetensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        ALL[0].build_task(init=tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match="does not say whose"):
        ALL[0].build_task(init=tmp_path / "plain.safetensors")


def test_imagenet_weights_that_cannot_be_had(tmp_path: Path) -> None:
    for recipe in ALL:
        with pytest.raises(TinctError):
            recipe.build_task(imagenet=str(tmp_path / "none.pth"))


def test_samples_are_single_frames_of_one_or_all_objects(data: Sources) -> None:
    options = [recipe.build_stages(data, None, 0)[0].clips.options for recipe in ALL[:2]]  # type: ignore[attr-defined]
    assert all(isinstance(o, FrameOptions) for o in options)
    assert [o.one_object for o in options] == [False, True]


def test_parts_of_masktracks_samples_are_left_out_one_after_another(data: Sources) -> None:
    recipe = ALL[1].without(["damage", "non-rigid"])
    [stage] = recipe.build_stages(data, {"clips": 0}, 5)
    options = stage.clips.options  # type: ignore[attr-defined]
    assert (options.damaged, options.box, options.deformation.bend) == (0, 0, 0)
    assert options.deformation.shift > 0
    assert options.deformation.dilation_px > 0
    assert options.seed == 5
    [plain] = ALL[1].build_stages(data, {"clips": 0}, 5)
    assert plain.clips.options.deformation.bend > 0  # type: ignore[attr-defined]
    [exact] = ALL[1].without(["damage", "deformation"]).build_stages(data, {"clips": 0}, 5)
    deformation = exact.clips.options.deformation  # type: ignore[attr-defined]
    assert (deformation.scale, deformation.shift, deformation.bend, deformation.dilation_px) == (0, 0, 0, 0)


def test_masktracks_network_may_see_the_masks_box_or_nothing_of_it() -> None:
    shown = {}
    for name, recipe in {
        "mask": ALL[1], "box": ALL[1].with_added(["box-mask"]), "none": ALL[1].without(["mask"]),
    }.items():  # fmt: skip
        network = recipe.task().network
        masks = torch.zeros(2, 1, 8, 8)
        masks[0, 0, [2, 5], [1, 6]] = 1
        shown[name] = network.seen_of(masks)
        assert network.options.mask_input == name
        assert recipe.dev_options == ({} if name == "mask" else {"mask_input": name})
    box = torch.zeros(2, 1, 8, 8)
    box[0, 0, 2:6, 1:7] = 1
    assert torch.equal(shown["mask"], masks)
    assert torch.equal(shown["box"], box)
    assert not shown["none"].any()


def test_masktrack_may_learn_from_fewer_photos_or_from_videos(
    data: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masktrack, "FEW_PHOTOS", 1)
    steps = {"clips": 0}
    [whole] = ALL[1].build_stages(data, steps, 0)
    [few] = ALL[1].with_added(["few-photos"]).without(["damage"]).build_stages(data, steps, 0)
    [video] = (
        ALL[1]
        .with_added(["video"])
        .build_stages(replace(data, sets=data.sets[:1]), {**steps, "stills": 1}, 0)
    )
    pictures = [stage.clips.sources[0][0] for stage in (whole, few, video)]
    assert [len(each) for each in pictures] == [2, 1, 9]
    assert isinstance(pictures[2], DavisFrames)
    assert few.clips.options.damaged == 0  # Changes of samples and of pictures go together.


def test_maskrnn_without_recurrence_sees_as_many_frames_a_step(data: Sources) -> None:
    [stage] = ALL[2].build_stages(data, None, 0)
    [single] = ALL[2].without(["recurrence"]).build_stages(data, None, 0)
    assert stage.clips[0]["frames"].shape[0] == 8
    assert single.clips[0]["frames"].shape[0] == 3
    assert single.batch == stage.batch * 6


def test_maskrnn_without_its_localization_net() -> None:
    task = ALL[2].without(["localization"]).task()
    assert task.loss.localization == 0  # type: ignore[attr-defined]
    assert ALL[2].task().loss.localization == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(("recipe", "hint"), [(ALL[0], "none that can be"), (ALL[1], "dilation")])
def test_a_part_that_cannot_be_left_out(recipe: Recipe, hint: str) -> None:
    with pytest.raises(OptionError, match=f"no part 'dilatation' to leave out.*{hint}"):
        recipe.without(["dilatation"])
