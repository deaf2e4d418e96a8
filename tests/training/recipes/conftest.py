"""A tree of training data for the recipes' tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from PIL import Image as PillowImage

from tinct.training.recipes.recipe import Recipe
from tinct.training.sources import Sources
from tinct.training.stages import Stage


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """A video of nine frames in `train`, its first three in `dev`, and two photos."""
    root = tmp_path_factory.mktemp("data")
    (root / "ImageSets" / "2016").mkdir(parents=True)
    for split, name in (("train", "walk"), ("dev", "steps")):
        (root / "ImageSets" / "2016" / f"{split}.txt").write_text(name)
    kinds = [root / kind / "480p" for kind in ("JPEGImages", "Annotations")]
    pictures, truths = (kind / "walk" for kind in kinds)
    images, masks = root / "stills" / "images", root / "stills" / "masks"
    for folder in (pictures, truths, images, masks):
        folder.mkdir(parents=True)
    for t in range(9):
        image, labels = np.full((64, 96, 3), 60, np.uint8), np.zeros((64, 96), np.uint8)
        labels[8:56, 10 + 2 * t : 60 + 2 * t] = 255
        image[labels > 0] = 200
        PillowImage.fromarray(image).save(pictures / f"{t:05d}.jpg")
        PillowImage.fromarray(labels).save(truths / f"{t:05d}.png")
        if t < 2:
            PillowImage.fromarray(image).save(images / f"{t}.jpg")
            PillowImage.fromarray((labels > 0).astype(np.uint8)).save(masks / f"{t}.png")
    for kind in kinds:
        (kind / "steps").mkdir()
        for file in sorted((kind / "walk").iterdir())[:3]:
            shutil.copy(file, kind / "steps")
    return Sources.of_folders(root, "train", root / "stills")


@pytest.fixture(scope="session")
def small() -> Callable[[Recipe], Recipe]:
    """A recipe → the same with one small sample per step; all else as it is."""

    def small_recipe(recipe: Recipe) -> Recipe:
        def stages(data: Sources, steps: dict[str, int], seed: int) -> list[Stage]:
            found = recipe.stages(data, steps, seed)
            for stage in found:
                _shrink(stage.clips)
            return [replace(stage, batch=1) for stage in found]

        return replace(recipe, stages=stages)

    return small_recipe


def _shrink(samples: Any) -> None:
    """Samples, and those that they are made of, at 64 × 96."""
    if hasattr(samples, "options"):
        small = {"side": 64} if hasattr(samples.options, "side") else {"size": (64, 96)}
        samples.options = replace(samples.options, **small)
    for name in ("clips", "samples", "main", "other"):
        if hasattr(samples, name):
            _shrink(getattr(samples, name))


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    """Runs of other files may ask for another precision."""
    yield
    AcceleratorState._reset_state(True)
