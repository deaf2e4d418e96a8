from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tinct.errors import OutputError
from tinct.interchange.exports import LabelledVideo, export
from tinct.interchange.exports.cutout_prores import timecode
from tinct.io.overlay import draw_masks
from tinct.io.video import Video


def test_the_overlay_is_h264_of_the_frames_own_rate(labelled: LabelledVideo, tmp_path: Path) -> None:
    out = export(labelled, "overlay", tmp_path / "video.mp4", first=1, last=4)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(pictures) == 4
    for index, picture in enumerate(pictures, start=1):
        # Both sides are odd, and grow by a copy of the last row and column.
        assert picture.shape == (14, 18, 3)
        drawn = draw_masks(labelled.require_video()[index], labelled.read(index)).astype(int)
        assert np.abs(picture[:13, :17] - drawn).mean() < 25
        plain = labelled.require_video()[index].astype(int)
        assert np.abs(picture[:13, :17] - drawn).mean() < 0.7 * np.abs(picture[:13, :17] - plain).mean()


@pytest.mark.parametrize(("to", "name"), [("overlay", "video.mp4"), ("cutout-prores", "cut.mov")])
@pytest.mark.parametrize("aspect", [None, Fraction(32, 27)])
def test_exported_videos_have_pixels_of_the_same_shape(
    labelled: LabelledVideo, tmp_path: Path, to: str, name: str, aspect: Fraction | None
) -> None:
    labelled.require_video().pixel_aspect = aspect
    out = export(labelled, to, tmp_path / name)
    with av.open(str(out)) as container:
        assert (container.streams.video[0].sample_aspect_ratio or 1) == (aspect or 1)


def alpha_plane(frame: av.VideoFrame) -> np.ndarray:
    """The 12 bits of alpha that a ProRes decoder gives."""
    plane = frame.planes[3]
    rows = np.frombuffer(plane, np.uint16).reshape(frame.height, plane.line_size // 2)
    return rows[:, : frame.width].astype(int)


@pytest.mark.parametrize("edges", ["hard", "soft"])
def test_the_cut_out_film_is_prores_4444_with_straight_alpha(
    soft: LabelledVideo, tmp_path: Path, edges: str
) -> None:
    out = export(soft, "cutout-prores", tmp_path / "cut.mov", first=2, last=4, soft=edges == "soft")
    assert soft.soft is not None
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.profile) == ("prores", "4444")
        assert stream.codec_context.pix_fmt == "yuva444p12le"
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert (stream.average_rate, stream.height, stream.width) == (Fraction(30000, 1001), 13, 17)
        assert stream.metadata["timecode"] == "00:00:00:02"
        frames = list(container.decode(stream))
        assert len(frames) == 3
        for index, frame in enumerate(frames, start=2):
            if edges == "soft":
                alpha = np.rint(255 * soft.soft(index).probs.sum(axis=0))
            else:
                alpha = 255.0 * (soft.read(index) > 0)
            # Exact at 8 bits.
            np.testing.assert_array_equal(np.rint(alpha_plane(frame) / 4095 * 255), alpha)
            # Straight, and whole: the picture is there also where alpha is 0.
            picture = frame.to_ndarray(format="rgb24").astype(int)
            difference = np.abs(picture - soft.require_video()[index])
            assert difference.mean() < 1
            assert difference.max() <= 4


def test_alpha_and_colours_of_a_hundred_equal_frames_are_equal(
    labelled: LabelledVideo, tmp_path: Path
) -> None:
    """FFmpeg's scaler over several threads gave one frame in twenty other rows."""
    frame, labels = labelled.require_video()[0], labelled.read(0)
    video = Video.from_arrays([frame] * 100)
    source = replace(labelled, video=video, frame_names=video.names, labels=lambda index: labels)
    out = export(source, "cutout-prores", tmp_path / "cut.mov")
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    for film_frame in frames:
        np.testing.assert_array_equal(alpha_plane(film_frame), alpha_plane(frames[0]))
        np.testing.assert_array_equal(film_frame.planes[0], frames[0].planes[0])
    assert set(np.unique(alpha_plane(frames[0]))) == {0, 4095}


def test_colours_are_those_of_bt_709(labelled: LabelledVideo, tmp_path: Path) -> None:
    """Pure colours come back; under the matrix of another standard they would be far off."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 120, 30)]
    video = Video.from_arrays([np.full((13, 17, 3), colour, np.uint8) for colour in colours])
    source = replace(labelled, video=video, frame_names=video.names)
    out = export(source, "cutout-prores", tmp_path / "cut.mov")
    with av.open(str(out)) as container:
        for frame, colour in zip(container.decode(video=0), colours, strict=True):
            picture = frame.to_ndarray(format="rgb24").astype(int)
            assert np.abs(picture - colour).max() <= 2


@pytest.mark.parametrize(
    ("index", "rate", "code"),
    [
        (0, Fraction(25), "00:00:00:00"),
        (24, Fraction(25), "00:00:00:24"),
        (25, Fraction(25), "00:00:01:00"),
        (90061, Fraction(24000, 1001), "01:02:32:13"),
        (5, Fraction(1, 3), "00:00:05:00"),
    ],
)
def test_the_time_code_counts_frames(index: int, rate: Fraction, code: str) -> None:
    assert timecode(index, rate) == code


@pytest.mark.parametrize(("to", "suffix"), [("overlay", "mp4"), ("cutout-prores", "mov")])
@pytest.mark.parametrize(
    "rate", [None, Fraction(24000, 1001), Fraction(12), Fraction(60000, 1001), Fraction(5, 2)]
)
def test_rates_are_exact(
    labelled: LabelledVideo, tmp_path: Path, to: str, suffix: str, rate: Fraction | None
) -> None:
    out = export(replace(labelled, rate=rate), to, tmp_path / "video", last=2)
    assert out == tmp_path / f"video.{suffix}"
    with av.open(str(out)) as container:
        assert container.streams.video[0].average_rate == (rate or 24)


def test_a_film_that_cannot_be_written_leaves_nothing(labelled: LabelledVideo, tmp_path: Path) -> None:
    (tmp_path / "video.mov").mkdir()
    with pytest.raises(OutputError, match=r"video\.mov cannot be written"):
        export(labelled, "cutout-prores", tmp_path / "video.mov")
    assert [path.name for path in tmp_path.iterdir()] == ["video.mov"]
