"""The papers' recipes in small: every one is there, by its own stages, and the table says what came of it."""

from __future__ import annotations

import argparse
import importlib
import itertools
from pathlib import Path
from types import ModuleType

import pytest
from bench_kit import load_benchmark

from tinct.training.arguments import parse_steps
from tinct.zoo.methods import METHODS


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_benchmark("reproduction")


def test_every_paper_variant_that_is_trained_has_its_recipe_in_small(bench: ModuleType) -> None:
    trained = {
        (method, variant)
        for method, record in METHODS.items()
        if record.training is not None
        for variant in importlib.import_module(f"tinct.training.recipes.{method}").RECIPES
        if variant != record.default_variant
    }
    assert {(small.method, small.variant) for small in bench.REPRODUCTIONS} == trained


def test_its_stages_are_the_recipes_own(bench: ModuleType) -> None:
    for small in bench.REPRODUCTIONS:
        recipe = importlib.import_module(f"tinct.training.recipes.{small.method}").RECIPES[small.variant]
        stages = parse_steps(small.steps)
        assert set(stages) <= set(recipe.steps), small.name
        assert small.judged in (None, list(stages)[-1]), small.name


def test_vgg_starts_from_imagenet_and_other_backbones_from_chance(bench: ModuleType) -> None:
    options = argparse.Namespace(
        root=Path("davis"), stills=Path("stills"), vgg16=Path("vgg16.pth"), out=Path("out"),
        crop="96x176", batch="2",
    )  # fmt: skip
    for small in bench.REPRODUCTIONS:
        words = dict(itertools.pairwise(bench.training_command(small, options)))
        assert words["--imagenet"] == ("vgg16.pth" if small.variant == "vgg16" else "none")
        assert ("--data" in words) is not small.of_stills


def test_a_row_has_the_losses_and_what_was_judged(bench: ModuleType) -> None:
    osvos, dyenet = bench.REPRODUCTIONS[0], bench.REPRODUCTIONS[-1]
    assert "| 0.900 → 0.100 | 0.500 | 0.600 |" in bench.row(osvos, [0.9, 0.5, 0.1], [0.5, 0.6])
    assert bench.row(dyenet, [0.9, 0.1], []).endswith("| – | – |")
