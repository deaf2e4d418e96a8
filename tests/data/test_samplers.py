from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from rim_kit import void_rims

from tinct.data.davis import Davis
from tinct.data.samplers import (
    WHOLE_CLIP,
    ClipOptions,
    Clips,
    MixedClips,
    StillClips,
    VideoClips,
    choose_objects,
)
from tinct.data.static_images import StaticImages
from tinct.errors import DatasetError, OptionError
from tinct.shapes import VOID

OPTIONS = ClipOptions(size=(24, 40), frames=4, min_reference_pixels=10)
LENGTHS = {"long": 9, "short": 2, "single": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sequences, and photos with two objects and void."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "ImageSets" / "2016").mkdir(parents=True)
    (folder / "ImageSets" / "2016" / "train.txt").write_text("\n".join(LENGTHS))
    for s, (name, frames) in enumerate(LENGTHS.items()):
        pictures, truths = (folder / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
        pictures.mkdir(parents=True)
        truths.mkdir(parents=True)
        for t in range(frames):
            image = np.full((48, 80, 3), (60 * s, 20 * t, 90), np.uint8)
            labels = np.zeros((48, 80), np.uint8)
            labels[8:40, 10 + 3 * t : 45 + 3 * t] = 255
            PillowImage.fromarray(image).save(pictures / f"{t:05d}.jpg", quality=95)
            PillowImage.fromarray(labels).save(truths / f"{t:05d}.png")
    images, masks = folder / "stills" / "images", folder / "stills" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (40, 50, 3)).astype(np.uint8)
        labels = np.zeros((40, 50), np.uint8)
        labels[4:24, 5:25], labels[15:38, 28:47], labels[:2] = 1, 2, VOID
        PillowImage.fromarray(noise).save(images / f"{i}.png")
        PillowImage.fromarray(labels).save(masks / f"{i}.png")
    return folder


def videos(root: Path, **changes: Any) -> VideoClips:
    return VideoClips(
        Davis(root, "train"), ClipOptions(**{**vars(OPTIONS), **changes}), stored_px=changes.pop("px", 30)
    )


def clips_of(kind: str, root: Path) -> Clips:
    stills = StillClips(StaticImages(root / "stills"), OPTIONS)
    return {"stills": stills, "videos": videos(root), "mixed": MixedClips(videos(root), stills, 0.5)}[kind]


@pytest.mark.parametrize("kind", ["stills", "videos", "mixed"])
def test_a_clip_is_a_function_of_seed_and_index(kind: str, root: Path) -> None:
    clips, others = clips_of(kind, root), clips_of(kind, root)
    forward = [clips[i] for i in range(6)]
    backward = [others[i] for i in reversed(range(6))][::-1]
    for one, other in zip(forward, backward, strict=True):
        for name in ("frames", "labels", "previous", "objects"):
            assert (one[name] == other[name]).all()
    assert any((forward[0]["frames"] != clip["frames"]).any() for clip in forward[1:])


@pytest.mark.parametrize("kind", ["stills", "videos", "mixed"])
def test_a_clip_is_what_the_loss_expects(kind: str, root: Path) -> None:
    clips = clips_of(kind, root)
    counts = set()
    for index in range(12):
        clip = clips[index]
        n = int(clip["objects"])
        counts.add(n)
        assert clip["frames"].shape == (4, 24, 40, 3)
        assert clip["labels"].shape == (4, 24, 40)
        assert clip["previous"].shape == (OPTIONS.max_objects, 24, 40)
        assert set(np.unique(clip["labels"])) <= {*range(n + 1), VOID}
        for k in range(n):
            assert (clip["labels"][0] == k + 1).sum() >= OPTIONS.min_reference_pixels
        assert not clip["previous"][n:].any()
    assert counts == {1, 2}


def test_another_seed_gives_other_clips(root: Path) -> None:
    assert (videos(root)[0]["frames"] != videos(root, seed=1)[0]["frames"]).any()


def test_undamaged_previous_masks_are_the_truth(root: Path) -> None:
    clip = videos(root, degrade=0.0)[3]
    for k in range(int(clip["objects"])):
        assert (clip["previous"][k] == 255 * (clip["labels"][1] == k + 1)).all()
    damaged = [videos(root, degrade=1.0)[i] for i in range(4)]
    assert any((c["previous"][0] != 255 * (c["labels"][1] == 1)).any() for c in damaged)


@pytest.mark.parametrize("frames", [3, 5, 6])
@pytest.mark.parametrize("max_step", [1, 3, 20])
def test_frames_come_in_a_row_forward_and_backward(frames: int, max_step: int, root: Path) -> None:
    clips = videos(root, frames=frames, max_step=max_step)
    directions, references = set(), set()
    for name, length in LENGTHS.items():
        [sequence] = Davis(root, "train", only=[name])
        for seed in range(40):
            reference, *row = clips._frame_indices(sequence, np.random.default_rng(seed))
            steps = set(np.diff(row))
            assert len(row) == frames - 1
            assert len(steps) == 1
            [step] = steps
            assert abs(step) <= max_step
            assert {reference, *row} <= set(range(length))
            if length == 1:
                assert step == 0
            if name == "long":
                directions.add(np.sign(step))
                references.add(reference)
    assert directions == {-1, 1}
    assert len(references) > 5


def test_objects_are_renumbered_and_others_become_background() -> None:
    labels = np.zeros((3, 10, 10), np.uint8)
    for k, i in enumerate((3, 7, 200)):
        labels[:, 3 * k : 3 * k + 2] = i
    labels[:, 9] = VOID
    labels[0, 6:8, 1:] = 0  # object 200 is too small in the reference frame
    options = ClipOptions(size=(10, 10), min_reference_pixels=10, max_objects=2, degrade=0.0)
    seen = set()
    for seed in range(20):
        chosen = choose_objects(labels, options, np.random.default_rng(seed))
        assert chosen is not None
        renumbered, _, n = chosen
        assert set(np.unique(renumbered)) == {*range(n + 1), VOID}
        assert (renumbered[1:, 6:8] == 0).all()
        assert (renumbered[:, 9] == VOID).all()
        seen.add((n, int(renumbered[0, 0, 0])))
    assert seen == {(1, 0), (1, 1), (2, 1), (2, 2)}
    assert choose_objects(np.zeros_like(labels), options, np.random.default_rng(0)) is None


def test_data_without_objects_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clips, "ATTEMPTS", 2)
    with pytest.raises(DatasetError, match="2 clips in a row showed no object of 100000 pixels"):
        videos(root, min_reference_pixels=100_000)[0]


def test_pasted_objects_move_over_a_video_and_come_from_all_frames(root: Path) -> None:
    alone, pasted = videos(root, paste=0.0), videos(root, paste=1.0)
    most = {
        name: max(len(np.unique(clips.draw(np.random.default_rng(s))[1])) for s in range(8))
        for name, clips in (("alone", alone), ("pasted", pasted))
    }
    assert most == {"alone": 2, "pasted": 3}


def test_a_mixture_takes_its_share_of_each_source(root: Path) -> None:
    class Constant(VideoClips):
        def __init__(self, value: int) -> None:
            super().__init__(Davis(root, "train"), OPTIONS)
            self.value = value

        def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            labels = np.ones((4, 24, 40), np.uint8)
            return np.full((4, 24, 40, 3), self.value, np.uint8), labels

    mixed = MixedClips(Constant(0), Constant(255), 0.25)
    drawn = [mixed.draw(np.random.default_rng(seed))[0][0, 0, 0, 0] for seed in range(400)]
    assert 70 <= sum(value == 255 for value in drawn) <= 130


def test_other_clips_are_described_otherwise(root: Path) -> None:
    stills = StillClips(StaticImages(root / "stills"), OPTIONS)
    texts = [
        videos(root).describe(),
        videos(root, seed=9).describe(),
        stills.describe(),
        MixedClips(videos(root), stills, 0.5).describe(),
        MixedClips(videos(root), stills, 0.25).describe(),
        VideoClips(Davis(root, "train", only=["long"]), OPTIONS).describe(),
    ]
    assert len(set(texts)) == len(texts)
    assert videos(root).describe() == videos(root).describe()


@pytest.mark.parametrize(
    "wrong", [{"frames": 2}, {"max_objects": 0}, {"max_step": 0}, {"seed": -1}, {"size": (0, 10)}]
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ClipOptions(**wrong)


def test_one_thread_of_opencv_or_many_the_clip_is_the_same(root: Path) -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = videos(root)[5]["frames"]
        cv2.setNumThreads(4)
        assert (one == videos(root)[5]["frames"]).all()
    finally:
        cv2.setNumThreads(threads)


def test_nothing_is_mirrored_beyond_a_blank_rim(root: Path) -> None:
    """Where a picture leaves a part of the frame free, that part is void in each frame of the clip."""
    options = replace(OPTIONS, paste=0.0, colour=0.0)
    clips = VideoClips(Davis(root, "train"), options, stored_px=30, motion=WHOLE_CLIP)
    assert void_rims(clips, 40) > 3
    assert "blank_rim=True" in clips.describe()
    assert "Motion" not in videos(root).describe()
