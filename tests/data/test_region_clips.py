"""Clips of several objects: identities stay with their objects, references are views from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from rim_kit import void_rims

from tinct.data.davis import Davis
from tinct.data.region_clips import (
    UNKNOWN,
    PhotoRegions,
    RegionClips,
    RegionOptions,
    RegionSource,
    SourceFrames,
    VideoRegions,
)
from tinct.data.samplers import OVER_VIDEO, WHOLE_CLIP
from tinct.data.static_images import StaticImages
from tinct.data.synthetic import Motion
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID

OPTIONS = RegionOptions(size=(48, 64), frames=4, min_pixels=10, max_objects=3)
STILL = Motion(
    scale=(1.0, 1.0), turn_degrees=0.0, shift=0.0,
    step_scale=0.0, step_turn_degrees=0.0, step_shift=0.0, bend=0.0, flip=False,
)  # fmt: skip


class SolidColours(RegionSource):
    """Pictures whose objects have their identity as colour; without motion by default."""

    identities = 4

    def __init__(self, motion: Motion = STILL) -> None:
        self.motion = motion

    def describe(self) -> str:
        return "painted"

    def draw(self, frames: int, max_step: int, random: np.random.Generator) -> SourceFrames:
        first = int(random.integers(2)) * 2
        labels = np.zeros((48, 64), np.uint8)
        labels[4:24, 4:30], labels[26:46, 34:60], labels[:2] = 7, 9, VOID
        image = np.full((48, 64, 3), 128, np.uint8)
        image[labels == 7], image[labels == 9] = 10 + 20 * first, 30 + 20 * first
        return SourceFrames([image], [labels], {7: first, 9: first + 1}, self.motion)


def clips(**changes: Any) -> RegionClips:
    options = {**vars(OPTIONS), "paste": 0.0, "colour": 0.0, "degrade": 0.0, **changes}
    return RegionClips([(SolidColours(), 1.0)], RegionOptions(**options))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three and one frames, and two photos of four objects."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "ImageSets" / "2016").mkdir(parents=True)
    (folder / "ImageSets" / "2016" / "train.txt").write_text("three\none")
    for name, frames in (("three", 3), ("one", 1)):
        pictures, truths = (folder / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
        pictures.mkdir(parents=True)
        truths.mkdir(parents=True)
        for t in range(frames):
            labels = np.zeros((48, 64), np.uint8)
            labels[8:40, 10:40] = 255
            PillowImage.fromarray(np.full((48, 64, 3), 50 * t, np.uint8)).save(pictures / f"{t:05d}.jpg")
            PillowImage.fromarray(labels).save(truths / f"{t:05d}.png")
    images, masks = folder / "stills" / "images", folder / "stills" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for i in range(2):
        labels = np.zeros((48, 64), np.uint8)
        for k, object_id in enumerate((1, 2, 5, 8)):
            labels[4:40, 2 + 15 * k : 14 + 15 * k] = object_id
        PillowImage.fromarray(np.full((48, 64, 3), 100, np.uint8)).save(images / f"{i}.jpg")
        PillowImage.fromarray(labels).save(masks / f"{i}.png")
    return folder


def mixed(root: Path, **changes: Any) -> RegionClips:
    sources: list[tuple[RegionSource, float]] = [
        (VideoRegions(Davis(root, "train")), 0.5), (PhotoRegions(StaticImages(root / "stills")), 0.5),
    ]  # fmt: skip
    return RegionClips(sources, RegionOptions(**{**vars(OPTIONS), **changes}))


def test_a_clip_is_a_function_of_seed_and_index(root: Path) -> None:
    forward = [mixed(root, paste=1.0)[i] for i in range(6)]
    others = mixed(root, paste=1.0)
    backward = [others[i] for i in reversed(range(6))][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(forward[0]["frames"], mixed(root, paste=1.0, seed=1)[0]["frames"])


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_shapes(root: Path, frames: int) -> None:
    clip = mixed(root, frames=frames, paste=1.0)[0]
    shapes = {name: tuple(x.shape) for name, x in clip.items()}
    assert shapes == {
        "frames": (frames, 48, 64, 3), "labels": (frames, 48, 64), "previous": (3, 48, 64),
        "identities": (3,), "objects": (),
    }  # fmt: skip
    assert clip["identities"].dtype == torch.int64
    assert {clip[name].dtype for name in ("frames", "labels", "previous")} == {torch.uint8}


def test_identities_stay_with_their_objects() -> None:
    for i in range(12):
        clip = clips(paste=1.0, crossing=1.0, max_objects=4)[i]
        for k in range(int(clip["objects"])):
            colours = clip["frames"][clip["labels"] == k + 1].flatten().tolist()
            # Soft edges of pasted objects are no pure colour; most pixels are.
            commonest = max(set(colours), key=colours.count)
            assert abs(commonest - 10 - 20 * int(clip["identities"][k])) <= 2
        assert clip["identities"][int(clip["objects"]) :].tolist() == [UNKNOWN] * (4 - int(clip["objects"]))


def test_identities_of_later_sources_follow_on(root: Path) -> None:
    found = mixed(root, paste=0.0)
    assert found.identities == 2 * VideoRegions.OBJECTS + 2 * PhotoRegions.OBJECTS
    seen = {int(i) for index in range(40) for i in found[index]["identities"]}
    # Videos have object 1 alone; of a photo's four objects the first three are known.
    assert seen <= {UNKNOWN, 0, 8, *range(16, 22)}
    assert {UNKNOWN, 0, 8} < seen
    assert len(seen & set(range(16, 22))) > 3


def test_objects_beyond_the_most_are_void() -> None:
    clip = clips(max_objects=1)[0]
    assert clip["labels"].unique().tolist() == [0, 1, VOID]
    free = clips(max_objects=4)[0]
    assert free["labels"].unique().tolist() == [0, 1, 2, VOID]


def test_masks_of_the_start_frame_are_given() -> None:
    clip = clips()[0]
    for k in range(2):
        assert torch.equal(clip["previous"][k], 255 * (clip["labels"][1] == k + 1).to(torch.uint8))
    damaged = clips(degrade=1.0)
    assert any(set(damaged[i]["previous"].unique().tolist()) - {0, 255} for i in range(3))


def test_who_shows_too_little_in_the_start_frame_is_not_followed() -> None:
    clip = clips(min_pixels=515)[0]  # of 20 × 26 = 520 pixels each
    assert clip["previous"].flatten(1).any(1).tolist() == [True, True, False]
    with pytest.raises(DatasetError, match="100 clips in a row showed no object of 521 pixels"):
        clips(min_pixels=521)[0]


def test_a_photo_is_seen_twice_in_its_own_way() -> None:
    moving = RegionClips([(SolidColours(OVER_VIDEO), 1.0)], RegionOptions(**{**vars(OPTIONS), "paste": 0.0}))
    apart = []
    for i in range(8):
        labels = moving[i]["labels"].numpy() > 0
        differing = (labels[0] ^ labels[1]).mean(), (labels[1] ^ labels[2]).mean()
        apart.append(differing[0] > differing[1])
    assert sum(apart) >= 6


@settings(max_examples=25, deadline=None)
@given(frames=st.integers(1, 7), step=st.integers(1, 4), seed=st.integers(0, 1000))
def test_any_length_of_clip_is_cut_from_a_short_video(root: Path, frames: int, step: int, seed: int) -> None:
    part = VideoRegions(Davis(root, "train")).draw(frames, step, np.random.default_rng(seed))
    assert len(part.images) == len(part.labels) == frames
    shades = [int(image[0, 0, 0]) // 50 for image in part.images[1:]]
    steps = np.diff(shades)
    assert (steps >= 0).all() or (steps <= 0).all()
    assert len(set(steps.tolist())) <= 1


@pytest.mark.parametrize(
    "changes", [{"frames": 0}, {"max_objects": 0}, {"seed": -1}, {"paste": 1.5}, {"crossing": -0.1}]
)
def test_options_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="came"):
        RegionOptions(**changes)


def test_what_it_says_of_itself(root: Path) -> None:
    text = mixed(root).describe()
    assert "2 sequences of 4 frames at 400 px (0.50), 2 photos (0.50)" in text
    assert "frames=4" in text


def test_nothing_is_mirrored_beyond_a_blank_rim(root: Path) -> None:
    videos = VideoRegions(Davis(root, "train"), motion=WHOLE_CLIP)
    clips = RegionClips([(videos, 1.0)], replace(OPTIONS, paste=0.0, colour=0.0))
    assert void_rims(clips, 40) > 3
    assert "blank_rim=True" in clips.describe()
    assert "Motion" not in mixed(root).describe()
