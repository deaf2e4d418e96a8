"""A tree of training data for the recipes' tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from PIL import Image as PillowImage

from tinct.training.sources import Sources


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """One video of nine frames and two photos."""
    root = tmp_path_factory.mktemp("data")
    (root / "ImageSets" / "2016").mkdir(parents=True)
    (root / "ImageSets" / "2016" / "train.txt").write_text("walk")
    pictures, truths = (root / kind / "480p" / "walk" for kind in ("JPEGImages", "Annotations"))
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
    return Sources(root, "train", root / "stills")


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    """Runs of other files may ask for another precision."""
    yield
    AcceleratorState._reset_state(True)
