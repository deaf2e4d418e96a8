from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tinct.errors import DatasetError, MaskError, NumericalError, OptionError
from tinct.evaluation.live_score import Seconds, score_davis_2016
from tinct.evaluation.results import Scores, SequenceScores, Statistics
from tinct.inference.segmenter import StreamingSegmenter, VideoSegmenter
from tinct.io.masks import ObjectMasks
from tinct.io.video import Video
from tinct.shapes import Image, LabelMap

HEIGHT, WIDTH = 40, 60


@dataclass(frozen=True)
class BrightState:
    """How many frames were seen."""

    frames: int


class BrightSegmenter(StreamingSegmenter[BrightState]):
    """Calls whatever is bright object 3; from `lost_after` frames on it sees nothing."""

    def __init__(self, lost_after: int = 1000, crop: int = 0, one: float = 1.0) -> None:
        self.lost_after, self.crop, self.one = lost_after, crop, one
        self.prompts: list[LabelMap] = []

    def start(self, frame: Image, labels: LabelMap) -> BrightState:
        self.prompts.append(labels)
        return BrightState(1)

    def step(
        self, state: BrightState, frame: Image, labels: LabelMap | None = None
    ) -> tuple[BrightState, ObjectMasks]:
        bright = (frame[self.crop :].mean(2) > 127) & (state.frames < self.lost_after)
        return BrightState(state.frames + 1), ObjectMasks(
            (3,), np.where(bright[None], self.one, 0).astype(np.float32)
        )


class BrightVideos(VideoSegmenter):
    """The same, of whole videos."""

    def __init__(self, segmenter: BrightSegmenter) -> None:
        self.segmenter = segmenter

    def segment(self, video: Video, prompts: Mapping[int, LabelMap]) -> Iterator[tuple[int, ObjectMasks]]:
        state = self.segmenter.start(video[0], prompts[0])
        for index, frame in enumerate(video):
            yield index, self.segmenter.step(replace(state, frames=index), frame)[1]


def write_sequence(root: Path, name: str, frames: int, *, palette: bool = False) -> None:
    pictures, truths = root / "JPEGImages" / "480p" / name, root / "Annotations" / "480p" / name
    pictures.mkdir(parents=True)
    truths.mkdir(parents=True)
    for index in range(frames):
        truth = np.zeros((HEIGHT, WIDTH), np.uint8)
        truth[8:24, 8 + index : 24 + index] = 255
        PillowImage.fromarray(truth).convert("RGB").save(pictures / f"{index:05d}.jpg", quality=95)
        picture = PillowImage.fromarray(truth // 255 if palette else truth)
        if palette:
            picture.putpalette([0, 0, 0, 128, 0, 0])
        picture.save(truths / f"{index:05d}.png")
    lists = root / "ImageSets" / "2016"
    lists.mkdir(parents=True, exist_ok=True)
    with (lists / "dev.txt").open("a") as names:
        names.write(f"{name}\n")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_sequence(tmp_path, "left", 7)
    write_sequence(tmp_path, "right", 9, palette=True)
    return tmp_path


def test_perfect_masks_score_one(dataset: Path) -> None:
    segmenter = BrightSegmenter()
    scores = score_davis_2016(segmenter, dataset, "dev")
    assert [s.name for s in scores.sequences] == ["left", "right"]
    assert scores.statistics == {"J": Statistics(1.0, 1.0, 0.0), "F": Statistics(1.0, 1.0, 0.0)}
    assert scores.j_and_f == 1.0
    assert [np.unique(p).tolist() for p in segmenter.prompts] == [[0, 1], [0, 1]]


def frame_names(scores: SequenceScores) -> tuple[str, ...]:
    (foreground,) = scores.objects
    assert foreground.frames is not None
    return foreground.frames.names


def test_the_first_and_the_last_frame_are_not_scored_but_all_steps_are_timed(dataset: Path) -> None:
    found: list[tuple[SequenceScores, Seconds]] = []
    score_davis_2016(
        BrightSegmenter(), dataset, "dev", sequences=["left"], progress=lambda *of: found.append(of)
    )
    ((scores, seconds),) = found
    assert frame_names(scores) == ("00001", "00002", "00003", "00004", "00005")
    assert scores.frames_scored == 5
    assert len(seconds.wall) == len(seconds.processor) == 6


def test_the_split_is_the_mean_over_sequences(dataset: Path) -> None:
    # Sees frames 1 to 3: of "left" 3 of 5 scored frames, of "right" 3 of 7.
    scores = score_davis_2016(BrightSegmenter(lost_after=4), dataset, "dev")
    assert [s.statistics["J"].mean for s in scores.sequences] == pytest.approx([3 / 5, 3 / 7])
    assert [s.statistics["F"].mean for s in scores.sequences] == pytest.approx([3 / 5, 3 / 7])
    assert scores.statistics["J"].mean == pytest.approx((3 / 5 + 3 / 7) / 2)
    assert scores.statistics["J"].decay == pytest.approx(1.0)
    assert scores.j_and_f == pytest.approx((3 / 5 + 3 / 7) / 2)
    assert 0 <= scores.run["seconds_per_frame"] < 60
    assert 0 <= scores.run["processor_seconds_per_frame"] < 60


def test_a_segmenter_of_whole_videos_is_scored_and_timed_by_its_mean(dataset: Path) -> None:
    found: list[tuple[SequenceScores, Seconds]] = []
    whole = BrightVideos(BrightSegmenter(lost_after=4))
    scores = score_davis_2016(whole, dataset, "dev", progress=lambda *of: found.append(of))
    # The frames and scores of the streaming test above.
    assert [s.statistics["J"].mean for s in scores.sequences] == pytest.approx([3 / 5, 3 / 7])
    assert [len(seconds.wall) for _, seconds in found] == [1, 1]


def test_fewer_frames_on_request(dataset: Path) -> None:
    score = score_davis_2016(BrightSegmenter(), dataset, "dev", every=2, max_frames=4).sequences
    assert [frame_names(s) for s in score] == [("00002", "00004"), ("00002", "00004")]


def test_the_callbacks_see_every_sequence_and_every_frame_after_the_first(dataset: Path) -> None:
    sequences: list[str] = []
    frames: list[tuple[str, str]] = []
    score_davis_2016(
        BrightSegmenter(),
        dataset,
        "dev",
        progress=lambda scores, seconds: sequences.append(scores.name),
        on_frame=lambda sequence, frame, masks: frames.append((sequence, frame)),
    )
    assert sequences == ["left", "right"]
    assert len(frames) == 6 + 8
    assert frames[5] == ("left", "00006")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every = 0"),
        ({"max_frames": 2}, "max_frames = 2"),
        ({"sequences": ["lift"]}, "Did you mean 'left'"),
    ],
)
def test_wrong_options_are_refused(dataset: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        score_davis_2016(BrightSegmenter(), dataset, "dev", **options)


def test_an_incomplete_dataset_is_explained(dataset: Path) -> None:
    def score(**options: object) -> Scores:
        return score_davis_2016(BrightSegmenter(), dataset, "dev", **options)

    with pytest.raises(DatasetError, match=r"no list .*Did you mean 'dev'"):
        score_davis_2016(BrightSegmenter(), dataset, "def")
    with pytest.raises(DatasetError, match="gives 2 frames"):
        score(every=4, sequences=["left"])
    (dataset / "ImageSets" / "2016" / "empty.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no sequence"):
        score_davis_2016(BrightSegmenter(), dataset, "empty")
    truth = dataset / "Annotations" / "480p" / "left" / "00000.png"
    PillowImage.new("L", (WIDTH, HEIGHT)).save(truth)
    with pytest.raises(DatasetError, match="show no object"):
        score()
    truth.write_bytes(b"no image")
    with pytest.raises(DatasetError, match="cannot be read as a label image"):
        score()
    truth.unlink()
    with pytest.raises(DatasetError, match="lacks 1 of 7 annotations"):
        score()
    (dataset / "JPEGImages" / "480p" / "right" / "00003.jpg").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="cannot be read as an image"):
        score(sequences=["right"])


def test_void_is_background_as_in_a_score_of_files(dataset: Path) -> None:
    for path in (dataset / "Annotations" / "480p" / "right").iterdir():
        labels = np.array(PillowImage.open(path))
        labels[30:] = 255
        PillowImage.fromarray(labels).save(path)
    scores = score_davis_2016(BrightSegmenter(), dataset, "dev", sequences=["right"])
    assert scores.statistics["J"].mean == 1.0


def test_masks_of_another_size_are_refused(dataset: Path) -> None:
    with pytest.raises(MaskError, match="masks have the size of its frames"):
        score_davis_2016(BrightSegmenter(crop=1), dataset, "dev")


def test_a_network_that_gives_nan_is_not_scored(dataset: Path) -> None:
    with pytest.raises(NumericalError, match=r"Sequence 'left': .*frame 1"):
        score_davis_2016(BrightSegmenter(one=math.nan), dataset, "dev")
