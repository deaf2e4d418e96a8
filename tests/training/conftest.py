"""Tiny data sets of every layout that `tinct train` reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

SIZE = (64, 96)


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    PillowImage.fromarray(noise).resize(SIZE[::-1]).save(path)


def bars(path: Path, ids: tuple[int, ...]) -> None:
    """A label PNG with a bar per id, 20 pixels wide."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(SIZE, np.uint8)
    for position, object_id in enumerate(ids):
        labels[8:56, 8 + 28 * position : 28 + 28 * position] = object_id
    PillowImage.fromarray(labels).save(path)


def davis(root: Path, year: str, name: str, ids: tuple[int, ...]) -> Path:
    lists = root / "ImageSets" / year
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text(name)
    for t in range(5):
        picture(root / "JPEGImages" / "480p" / name / f"{t:05d}.jpg", t)
        bars(root / "Annotations" / "480p" / name / f"{t:05d}.png", ids)
    return root


def youtube(root: Path) -> Path:
    """A video of all frames, every fifth of which is annotated; object 3 begins late."""
    for t in range(11):
        picture(root / "train" / "JPEGImages" / "0a1b" / f"{t:05d}.jpg", t)
        if t % 5 == 0:
            bars(root / "train" / "Annotations" / "0a1b" / f"{t:05d}.png", (1, 3) if t else (1,))
    objects = {"1": {"category": "penguin", "frames": ["00000"]}}
    (root / "train" / "meta.json").write_text(json.dumps({"videos": {"0a1b": {"objects": objects}}}))
    return root


def stills(root: Path, ids: tuple[int, ...]) -> Path:
    for name in "ab":
        picture(root / "images" / f"{name}.jpg", ord(name))
        bars(root / "masks" / f"{name}.png", ids)
    return root


def coco(root: Path) -> Path:
    """Two photos, one without an instance; a polygon, run lengths, and a crowd beneath both."""
    for name in ("1", "2"):
        picture(root / "train2017" / f"{name}.jpg", int(name))
    height, width = SIZE
    runs = [height * 50, height * 10, height * (width - 60)]
    everywhere = {"size": [height, width], "counts": [0, height * width]}
    annotations = [
        {"id": 5, "image_id": 1, "iscrowd": 0, "segmentation": [[10, 10, 30, 10, 30, 40, 10, 40]]},
        {"id": 6, "image_id": 1, "iscrowd": 0, "segmentation": {"size": [height, width], "counts": runs}},
        {"id": 7, "image_id": 1, "iscrowd": 1, "segmentation": everywhere},
    ]
    images = [{"id": i, "file_name": f"{i}.jpg", "height": height, "width": width} for i in (1, 2)]
    (root / "annotations").mkdir()
    content = {"images": images, "annotations": annotations}
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return root


MAKERS: dict[str, Callable[[Path], Path]] = {
    "davis-2016": lambda root: davis(root, "2016", "bear", (255,)),
    "davis-2017": lambda root: davis(root, "2017", "bear", (1, 2, 3)),
    "youtube-vos": youtube,
    "stills": lambda root: stills(root, (1, 2)),
    "saliency": lambda root: stills(root, (100, 255)),
    "coco": coco,
}


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Layout → a folder in it."""
    return {layout: make(tmp_path_factory.mktemp(layout)) for layout, make in MAKERS.items()}
