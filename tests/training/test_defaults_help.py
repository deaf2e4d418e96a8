"""What `tinct train METHOD --help` says of the recipes' batches, sizes and rates is what they take."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinct.data.samplers import Samples
from tinct.training.sources import sources_of
from tinct.zoo.methods import METHODS

TRAINED = [name for name, record in METHODS.items() if record.training is not None]


def sizes(samples: Samples) -> Iterator[tuple[int, int]]:
    for value in vars(samples).values():
        if isinstance(value, Samples):
            yield from sizes(value)
        elif isinstance(getattr(value, "size", None), tuple):
            yield value.size


def said(method: str) -> dict[str, dict[str, str]]:
    """Variant → stage → "samples × size, rate"."""
    training = METHODS[method].training
    assert training is not None
    found: dict[str, dict[str, str]] = {}
    for line in training.defaults.split("\n\n")[1:]:
        variant, _, text = line.partition(": ")
        found[variant] = {}
        for part in text.split("; "):
            *more, last = part.split(", ")[:-1]
            name, _, numbers = last.partition(" ")
            found[variant] |= dict.fromkeys([*more, name], f"{numbers}, {part.rsplit(', ', 1)[1]}")
    return found


@pytest.mark.parametrize("method", TRAINED)
def test_the_help_says_what_the_recipes_take(method: str, sets: dict[str, Path]) -> None:
    recipes: dict[str, Any] = importlib.import_module(f"tinct.training.recipes.{method}").RECIPES
    data = sources_of([str(sets["davis-2016"])], stills=sets["stills"])
    taken = {}
    for variant, recipe in recipes.items():
        stages = recipe.build_stages(data, dict.fromkeys(recipe.steps, 1), 0)
        taken[variant] = {
            stage.name: f"{stage.batch} × {height}×{width}, {stage.learning_rate:g}"
            for stage in stages
            for height, width in [next(sizes(stage.clips))]
        }
    assert said(method) == taken
