"""The papers' recipes: schedules as the papers state them, and a run of each with thin networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tinct.errors import WeightsError
from tinct.methods import maskrnn as maskrnn_method
from tinct.methods import masktrack as masktrack_method
from tinct.methods import osvos as osvos_method
from tinct.networks.weights import save_weights
from tinct.ops.losses import BALANCED, PLAIN, class_balanced_cross_entropy, frame_losses
from tinct.training.options import LoopOptions
from tinct.training.recipes import maskrnn, masktrack, osvos
from tinct.training.recipes.recipe import Recipe, train_by_recipe
from tinct.training.sources import Sources
from tinct.training.stages import SGD, AdamW, PolynomialSchedule, Stage, StepSchedule

Thin = Callable[[], AbstractContextManager[None]]

PAPERS = [osvos.RECIPES["vgg16"], masktrack.RECIPES["vgg16"], maskrnn.RECIPES["vgg16"]]


@pytest.mark.parametrize("recipe", PAPERS, ids=lambda recipe: recipe.method)
def test_a_run_from_end_to_end(
    recipe: Recipe,
    data: Sources,
    small: Callable[[Recipe], Recipe],
    thin_networks: Thin,
    tmp_path: Path,
) -> None:
    options = LoopOptions(tmp_path / "run", recipe.method, "vgg16", cpu=True, workers=0)
    init = tmp_path / "init.safetensors"
    with thin_networks():
        save_weights(init, recipe.task().network, method=recipe.method, variant="vgg16")
        steps = dict.fromkeys(recipe.steps, 1)
        outcome = train_by_recipe(small(recipe), data, options, steps=steps, init=init, dev="dev")
    assert outcome.finished
    curve = (tmp_path / "run" / "curve.jsonl").read_text()
    assert all(f'"{name}"' in curve for name in recipe.steps)
    assert "j_and_f" in curve


def of(recipe: Recipe, data: Sources) -> list[Stage]:
    return recipe.build_stages(data, None, 0)


def test_osvos_stages(data: Sources) -> None:
    stages = of(PAPERS[0], data)
    assert [s.steps for s in stages] == [15_000, 15_000, 20_000]
    assert [s.clips.weight for s in stages] == [1.0, 0.5, 0.0]  # type: ignore[attr-defined]
    # 1e-8 on a sum over the pixels for 10,000 steps of each stage, then a tenth.
    for stage in stages:
        assert stage.learning_rate / (480 * 854) == pytest.approx(1e-8)
        assert [stage.schedule(step, stage.steps) for step in (0, 9_999, 10_000)] == [1.0, 1.0, 0.1]
        # What a step takes off a weight is rate times decay, whatever the loss is divided by.
        assert isinstance(stage.optimiser, SGD)
        assert stage.optimiser.momentum == 0.9
        assert stage.learning_rate * stage.optimiser.weight_decay == pytest.approx(1e-8 * 2e-4)
        assert (stage.batch, stage.ema_decay, stage.clip_gradient_norm) == (10, 0.0, math.inf)
    sample = stages[1].clips[0]
    assert sample["frames"].shape == (480, 854, 3)
    assert sample["side_weight"] == 0.5
    assert "side outputs count 0.5" in stages[1].describe()["clips"]


def test_masktrack_stage(data: Sources) -> None:
    for variant in ("vgg16", "resnet101"):
        (stage,) = of(masktrack.RECIPES[variant], replace(data, sets=data.sets[1:]))
        assert (stage.name, stage.steps, stage.batch, stage.learning_rate) == ("stills", 20_000, 10, 1e-3)
        assert (stage.schedule, stage.clip_gradient_norm) == (PolynomialSchedule(0.9), math.inf)
        assert stage.optimiser == SGD(momentum=0.9, weight_decay=5e-4)
        deformation = stage.clips.options.deformation  # type: ignore[attr-defined]
        assert (deformation.scale, deformation.shift, deformation.bend) == (0.05, 0.10, 0.10)
        assert (deformation.control_points, deformation.dilation_px) == (5, 5)
        assert stage.clips[0]["frames"].shape == (321, 321, 3)


def test_maskrnn_stages(data: Sources) -> None:
    stages = of(PAPERS[2], data)
    assert [(s.name, s.steps, s.batch) for s in stages] == [("frames", 5197, 4), ("recurrence", 2970, 1)]
    assert all(s.learning_rate == 1e-5 and s.optimiser == AdamW(weight_decay=0.0) for s in stages)
    # A reference, which is not learnt from, and seven frames.
    assert [s.clips.clips.options.frames for s in stages] == [3, 8]  # type: ignore[attr-defined]


def test_a_rate_in_two_steps() -> None:
    schedule = StepSchedule(until=0.5, factor=0.1)
    assert [schedule(step, 4) for step in range(4)] == [1.0, 1.0, 0.1, 0.1]


def frame_batch(size: tuple[int, int] = (32, 48)) -> dict[str, torch.Tensor]:
    labels = torch.zeros(2, *size, dtype=torch.uint8)
    labels[:, 8:20, 10:30] = 1
    frames = torch.randint(0, 255, (2, *size, 3), dtype=torch.uint8)
    return {"frames": frames, "labels": labels, "previous": labels * 255}


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0])
def test_osvos_loss_is_the_fused_one_and_the_sides_by_their_weight(
    thin_networks: Thin, weight: float
) -> None:
    with thin_networks():
        task = osvos.paper_task()
    batch = frame_batch()
    loss, figures = task({**batch, "side_weight": torch.full((2,), weight)}, 0)
    frames = batch["frames"].permute(0, 3, 1, 2).float() / 255
    output = task.network(frames, deep_supervision=True)
    labels = batch["labels"].long()
    fused, *sides = (class_balanced_cross_entropy(x, labels) for x in (output.fused, *output.sides))
    torch.testing.assert_close(loss, fused + weight * sum(sides))
    assert ("sides" in figures) == (weight > 0)


def test_osvos_layers_learn_at_the_rates_of_the_authors_code(thin_networks: Thin) -> None:
    with thin_networks():
        task = osvos.paper_task()
    names = {id(p): name for name, p in task.network.named_parameters()}
    rates = {names[id(p)]: factor for group, factor in task.parameter_groups() for p in group}
    expected = {
        "backbone.features.0.weight": 1.0, "backbone.features.0.bias": 2.0,
        "side_outputs.preps.1.weight": 1.0, "side_outputs.preps.1.bias": 2.0,
        "side_outputs.scores.1.weight": 0.1, "side_outputs.scores.1.bias": 0.2,
        "side_outputs.fusion.1.weight": 0.01, "side_outputs.fusion.0.bias": 0.02,
    }  # fmt: skip
    assert {name: rates[f"stream.{name}"] for name in expected} == pytest.approx(expected)
    assert set(rates) == set(names.values())


def test_new_layers_of_deeplab_learn_ten_times_as_fast(thin_networks: Thin) -> None:
    with thin_networks():
        task = masktrack.paper_task("vgg16")
    factors = {factor: len(group) for group, factor in task.parameter_groups()}
    assert factors == {1.0: 26 + 4 * 4, 10.0: 4 * 2}


def test_a_step_of_resnet101_teaches_all_that_is_trained() -> None:
    torch.manual_seed(0)
    task = masktrack.paper_task("resnet101").train()
    loss, figures = task(frame_batch(), 0)
    assert set(figures) == {"loss", "cross_entropy", "iou"}
    loss.backward()
    trained = [p for group, _ in task.parameter_groups() for p in group]
    assert all(p.grad is not None for p in trained)
    assert len(trained) == len(task.network.stream.object_layers())


def test_maskrnn_learns_the_balanced_loss_and_the_box_alone(thin_networks: Thin) -> None:
    with thin_networks():
        task = maskrnn.paper_task()
    assert [factor for _, factor in task.parameter_groups()] == [1.0]
    assert task.loss.frame == BALANCED
    assert (task.loss.streams, task.loss.localization, task.loss.blind) == (0.0, 1.0, 0.0)
    assert (task.loss.union, task.loss.dilation_px) == (False, 0)
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    assert list(frame_losses(torch.zeros(1, 8, 8), labels, BALANCED)) == ["balanced"]
    assert list(frame_losses(torch.zeros(1, 8, 8), labels, PLAIN)) == ["cross_entropy"]


def test_maskrnn_without_its_parts(data: Sources, thin_networks: Thin) -> None:
    """The rows of the paper's ablation are trained anew."""
    plain = PAPERS[2].without(["recurrence"])
    assert [stage.name for stage in of(plain, data)] == ["frames"]
    with thin_networks():
        task = plain.without(["localization"]).task()
    assert (task.loss.localization, task.loss.frame) == (0.0, BALANCED)


def test_maskrnn_sees_no_mirror_images(data: Sources) -> None:
    for stage in of(PAPERS[2], data):
        motion = stage.clips.clips.motion  # type: ignore[attr-defined]
        assert (motion.blank_rim, motion.step_shift, motion.bend, motion.flip) == (True, 0.0, 0.0, True)
    assert maskrnn_method.PAPER_FINE_TUNING.augmentation.frame.blank_rim


def test_maskrnn_clips_no_gradient(data: Sources) -> None:
    assert {stage.clip_gradient_norm for stage in of(PAPERS[2], data)} == {float("inf")}


def test_online_recipes_of_the_papers() -> None:
    osvos_tuning = osvos_method.PRESETS["vgg16"]["paper"].fine_tuning
    assert (osvos_tuning.budget.steps, osvos_tuning.optimiser) == (2000, "sgd")
    assert (osvos_tuning.schedule, osvos_tuning.clip_gradient_norm) == ("constant", 0.0)
    assert osvos_tuning.learning_rate == pytest.approx(1e-8 * 480 * 854)
    assert osvos_tuning.learning_rate * osvos_tuning.weight_decay == pytest.approx(1e-8 * 2e-4)
    assert osvos_tuning.loss == maskrnn_method.PAPER_FINE_TUNING.loss == BALANCED
    for variant in ("vgg16", "resnet101"):
        options = masktrack_method.PRESETS[variant]["paper"]
        assert (options.backbone, options.dilation_px, options.soft_feedback) == (variant, 5, False)
        assert (options.fine_tuning.budget.steps, options.fine_tuning.loss) == (200, PLAIN)
        assert options.fine_tuning.schedule == "polynomial"
        assert options.fine_tuning.clip_gradient_norm == 0.0
    maskrnn_tuning = maskrnn_method.PAPER_FINE_TUNING
    assert (maskrnn_tuning.budget.steps, maskrnn_tuning.learning_rate) == (200, 1e-5)


def test_weights_of_the_compact_variant_are_refused(thin_networks: Thin, tmp_path: Path) -> None:
    file = tmp_path / "o.safetensors"
    save_weights(file, osvos.compact_task().network, method="osvos", variant="mobilenetv2")
    with thin_networks(), pytest.raises(WeightsError, match=r"osvos \(mobilenetv2\), not of osvos \(vgg16\)"):
        PAPERS[0].build_task(init=file)
