"""The recipe of clicks: a run from end to end, clicks that are added, and losses against slow twins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tinct.errors import OptionError
from tinct.methods.click import Clicks
from tinct.shapes import VOID
from tinct.training.options import LoopOptions
from tinct.training.recipes.click import RECIPES
from tinct.training.recipes.click_task import dice_loss, normalised_focal_loss, overlap, with_clicks
from tinct.training.recipes.recipe import Recipe, train_by_recipe
from tinct.training.sources import Sources
from tinct.zoo import build_promptable

RECIPE = RECIPES["mobilenetv2"]


def test_a_run_from_end_to_end(data: Sources, small: Callable[[Recipe], Recipe], tmp_path: Path) -> None:
    options = LoopOptions(tmp_path / "run", "click", "mobilenetv2", cpu=True, workers=0, log_every=1)
    outcome = train_by_recipe(small(RECIPE), data, options, steps={"small": 1, "clicks": 1}, imagenet="none")
    assert outcome.finished
    assert '"iou_last"' in (tmp_path / "run" / "curve.jsonl").read_text()
    built = build_promptable("click", weights=tmp_path / "run" / "clicks.safetensors", device="cpu")
    assert isinstance(built, Clicks)
    with pytest.raises(OptionError, match="--dev measures methods that go from frame to frame"):
        train_by_recipe(RECIPE, data, options, steps={"small": 1}, dev="dev")


def test_videos_are_a_quarter_of_the_samples(data: Sources) -> None:
    [stage, _] = RECIPE.build_stages(data, None, 0)
    assert [share for _, share in stage.clips.sources] == [0.75, 0.25]  # type: ignore[attr-defined]
    assert stage.clips[0]["frames"].shape == (160, 160, 3)


def test_a_click_is_added_where_one_is_wanted_and_something_is_wrong() -> None:
    labels = torch.zeros(3, 40, 40, dtype=torch.int64)
    labels[:, 10:30, 10:30] = 1
    labels[:, :, 35:] = VOID
    found = labels == 1
    found[0] = False
    found[1, 5:8, 35:] = True  # wrong in the void alone
    maps = with_clicks(
        torch.zeros(3, 4, 40, 40), labels, found, torch.tensor([True, True, False]), np.random.default_rng(0)
    )
    assert maps.flatten(2).amax(2).tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    ys, xs = torch.nonzero(maps[0, 0]).float().mean(0)
    assert labels[0, int(ys), int(xs)] == 1


def test_losses_look_at_decided_pixels_alone_and_are_what_their_formulas_say() -> None:
    draws = np.random.default_rng(0)
    logits = torch.tensor(draws.normal(size=(2, 5, 6)) * 2, dtype=torch.float32)
    labels = torch.tensor(draws.choice([0, 1, VOID], (2, 5, 6)))
    focal, dice, iou = [], [], []
    for scores, truth in zip(logits.double().numpy(), labels.numpy(), strict=True):
        decided = truth != VOID
        probs, of_object = 1 / (1 + np.exp(-scores[decided])), truth[decided] == 1
        right = np.where(of_object, probs, 1 - probs)
        focal.append(((1 - right) ** 2 * -np.log(right)).sum() / ((1 - right) ** 2).sum())
        dice.append(1 - (2 * probs[of_object].sum() + 1) / (probs.sum() + of_object.sum() + 1))
        both = (probs > 0.5) & of_object
        iou.append(both.sum() / ((probs > 0.5) | of_object).sum())
    assert normalised_focal_loss(logits, labels).item() == pytest.approx(np.mean(focal), rel=1e-4)
    assert dice_loss(logits, labels).item() == pytest.approx(np.mean(dice), rel=1e-4)
    assert overlap(logits > 0, labels).item() == pytest.approx(np.mean(iou), rel=1e-5)
