"""Small trees in the official layout of each dataset."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.io.masks import voc_palette

SIZE = (12, 20)
"""(H, W) of everything, unless a test says otherwise."""


@cache
def _encoded(kind: str, ids: tuple[int, ...], size: tuple[int, int], mode: str) -> bytes:
    """A picture with a vertical bar per id, or a frame; kind is the format."""
    labels = np.zeros(size, np.uint8)
    for position, object_id in enumerate(ids):
        labels[2:-2, 1 + 3 * position : 3 + 3 * position] = object_id
    picture = PillowImage.fromarray(labels)
    if mode == "P":
        picture.putpalette(voc_palette().tobytes())
    elif mode == "colours":
        picture.putpalette(voc_palette().tobytes())
        picture = picture.convert("RGB")
    elif mode != "L":
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


class Layouts:
    """Writers of small files and trees."""

    size = SIZE

    def frame(self, path: Path, size: tuple[int, int] = SIZE, kind: str = "JPEG") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encoded(kind, (200,), size, "RGB"))
        return path

    def mask(
        self,
        path: Path,
        ids: Sequence[int] = (1,),
        mode: str = "P",
        size: tuple[int, int] = SIZE,
        kind: str = "PNG",
    ) -> Path:
        """Modes are Pillow's, and "colours": the ids as colours of the palette."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encoded(kind, tuple(ids), size, mode))
        return path

    def davis(
        self,
        root: Path,
        lists: Mapping[str, Mapping[str, int]],
        *,
        year: str = "2017",
        ids: Sequence[int] = (1, 2),
        mode: str = "P",
        resolution: str = "480p",
        size: tuple[int, int] = SIZE,
        annotated: int | None = None,
        path_lists: bool = False,
    ) -> Path:
        """Lists of sequences with their number of frames; so many of these are annotated, or all."""
        lines: dict[str, list[str]] = {split: [] for split in lists}
        for split, sequences in lists.items():
            for name, frames in sequences.items():
                for t in range(frames):
                    frame = f"JPEGImages/{resolution}/{name}/{t:05d}.jpg"
                    mask = f"Annotations/{resolution}/{name}/{t:05d}.png"
                    self.frame(root / frame, size)
                    if annotated is None or t < annotated:
                        self.mask(root / mask, ids, mode, size)
                    if path_lists or not t:
                        lines[split].append(f"/{frame} /{mask}" if path_lists else name)
        folder = root / "ImageSets" / (resolution if path_lists else year)
        folder.mkdir(parents=True, exist_ok=True)
        for split, names in lines.items():
            (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
        return root

    def youtube(
        self, root: Path, split: str, videos: Mapping[str, Mapping[int, tuple[str, int]]], frames: int = 4
    ) -> Path:
        """Videos of `frames` frames, every fifth: per object its category and the frame it begins in."""
        meta: dict[str, Any] = {}
        for video, objects in videos.items():
            names = [f"{5 * t:05d}" for t in range(frames)]
            for t, name in enumerate(names):
                self.frame(root / split / "JPEGImages" / video / f"{name}.jpg")
                ids = [i for i, (_, start) in objects.items() if start <= t]
                if split == "train" or any(start == t for _, start in objects.values()):
                    self.mask(root / split / "Annotations" / video / f"{name}.png", ids)
            meta[video] = {
                "objects": {
                    str(i): {"category": category, "frames": names[start:]}
                    for i, (category, start) in objects.items()
                }
            }
        (root / split / "meta.json").write_text(json.dumps({"videos": meta}))
        return root

    def segtrack(self, root: Path) -> Path:
        """Two sequences: one object in bmp; two objects in png and bmp, numbers from 17, jpg frames."""
        for t in range(3):
            self.frame(root / "JPEGImages" / "girl" / f"girl_{t:05d}.bmp", kind="BMP")
            self.mask(root / "GroundTruth" / "girl" / f"girl_{t:05d}.bmp", (255,), "RGB", kind="BMP")
        for t in (17, 18):
            self.frame(root / "JPEGImages" / "drift" / f"{t}.jpg")
            self.mask(root / "GroundTruth" / "drift" / "1" / f"{t}.png", (255,), "RGB")
            self.mask(root / "GroundTruth" / "drift" / "2" / f"{t}.bmp", (0, 255), "RGB", kind="BMP")
        (root / "JPEGImages" / "drift" / "drift.mat").write_bytes(b"MATLAB")
        lists = root / "ImageSets"
        lists.mkdir(parents=True)
        (lists / "all.txt").write_text("*girl\n*drift\n")
        (lists / "girl.txt").write_text("girl/\n" + "".join(f"girl_{t:05d}\n" for t in range(3)))
        (lists / "drift.txt").write_text("drift/\n17\n18\n")
        return root


@pytest.fixture(scope="session")
def layouts() -> Any:
    return Layouts()
