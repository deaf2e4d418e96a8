"""The weights in the package on a generated clip: close to the truth, and to the masks that were once made.

`python tests/methods/test_feelvos_golden.py` makes the golden masks anew; look at them before you keep them.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tinct.mask_files import read_label_png, write_mask
from tinct.segmenter import segment_video
from tinct.video import Video
from tinct.zoo import build_segmenter

GOLDEN = Path(__file__).with_name("golden")
FRAMES = 8
SIZE = (144, 192)


def textured(random: np.random.Generator, colour: tuple[int, int, int]) -> np.ndarray:
    """A coarse texture around a colour."""
    noise = random.integers(-40, 41, (SIZE[0] // 12, SIZE[1] // 12, 3)).astype(np.float32)
    texture = cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC) + np.float32(colour)
    return np.clip(texture, 0, 255).astype(np.uint8)


def clip() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames and label maps: a disc (3) and a box (8) cross a textured ground and overlap for a while."""
    random = np.random.default_rng(7)
    ground, disc, box = (textured(random, c) for c in ((70, 110, 60), (200, 90, 50), (60, 80, 190)))
    frames, truths = [], []
    for t in range(FRAMES):
        labels = np.zeros(SIZE, np.uint8)
        cv2.rectangle(labels, (110 - 5 * t, 50), (160 - 5 * t, 110), 8, -1)
        cv2.circle(labels, (45 + 6 * t, 70 + 2 * t), 26, 3, -1)
        frame = np.where(labels[..., None] == 3, np.roll(disc, (2 * t, 6 * t), (0, 1)), ground)
        frames.append(np.where(labels[..., None] == 8, np.roll(box, -5 * t, 1), frame))
        truths.append(labels)
    return frames, truths


def segmented() -> list[np.ndarray]:
    """Label maps of the compact default."""
    frames, truths = clip()
    segmenter = build_segmenter(device="cpu")
    return [
        masks.label_map for _, masks in segment_video(segmenter, Video.from_arrays(frames), {0: truths[0]})
    ]


def overlap(one: np.ndarray, other: np.ndarray, object_id: int) -> float:
    """Intersection over union of one object."""
    a, b = one == object_id, other == object_id
    return float((a & b).sum() / max(1, (a | b).sum()))


@pytest.fixture(scope="module")
def label_maps() -> list[np.ndarray]:
    return segmented()


@pytest.mark.parametrize("object_id", [3, 8])
def test_the_objects_are_followed(label_maps: list[np.ndarray], object_id: int) -> None:
    _, truths = clip()
    assert min(overlap(y, truth, object_id) for y, truth in zip(label_maps, truths, strict=True)) > 0.85


@pytest.mark.parametrize("index", [1, FRAMES - 1])
@pytest.mark.parametrize("object_id", [3, 8])
def test_the_masks_are_those_that_were_once_made(
    label_maps: list[np.ndarray], index: int, object_id: int
) -> None:
    # Not to the pixel: number formats and thread counts move single pixels of the edge.
    golden = read_label_png(GOLDEN / f"{index:05d}.png")
    assert overlap(label_maps[index], golden, object_id) > 0.97


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for index in (1, FRAMES - 1):
        write_mask(GOLDEN / f"{index:05d}.png", segmented()[index])
