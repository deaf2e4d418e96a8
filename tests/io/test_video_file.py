from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pictures

from tinct.errors import VideoError
from tinct.io.video import Video
from tinct.io.video_file import FORMATS
from tinct.io.video_writer import VideoWriter


def write_clip(path: Path, frames: int = 6, size: tuple[int, int] = (32, 48)) -> Path:
    with VideoWriter(path, 25) as writer:
        for index in range(frames):
            writer.write(np.full((*size, 3), 40 * index, np.uint8))
    return path


PLAYLISTS = {
    "list.ffconcat": "ffconcat version 1.0\nfile {}\n",
    "list.mp4": "ffconcat version 1.0\nfile {}\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "list.mkv": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "list.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT1S"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="9"><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_opens_no_other_file(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret.ts"
    with av.open(str(secret), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 48, 3), np.uint8))))
        container.mux(stream.encode(None))
    assert len(Video.open(secret)) == 1  # it could be read
    (tmp_path / name).write_text(PLAYLISTS[name].format(secret.name), encoding="utf-8")
    with pytest.raises(VideoError, match=r"cannot be read as a video .* and no playlist"):
        Video.open(tmp_path / name)


def test_a_pattern_of_images_is_no_name_of_a_video(tmp_path: Path) -> None:
    for index in range(3):
        Pictures.new("RGB", (8, 8)).save(tmp_path / f"secret{index}.dpx.png")
    (tmp_path / "secret%d.dpx.png.dpx").write_bytes(b"")
    with pytest.raises(VideoError, match="cannot be read as a video"):
        Video.open(tmp_path / "secret%d.dpx.png.dpx")


def test_no_format_that_opens_other_files_is_allowed() -> None:
    # By FFmpeg's documentation of its demuxers.
    others = {"concat", "concatf", "dash", "hls", "image2", "imf", "sdp", "rtsp", "lavfi"}
    assert not others & set(FORMATS.split(","))
    assert len(set(FORMATS.split(","))) == len(FORMATS.split(","))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "mjpeg"), ("a.flv", "flv1"), ("a.ogv", "ffv1"), ("a.mpg", "mpeg2video"), ("a.mkv", "ffv1"),
     ("a.gif", "gif"), ("a.y4m", "wrapped_avframe"), ("a.m4v", "mpeg4"), ("a.mxf", "mpeg2video"),
     ("a.nut", "mpeg4"), ("a.3gp", "mpeg4"), ("a.asf", "mpeg4"), ("a.ivf", "libvpx"), ("a.h264", "libx264")],
)  # fmt: skip
def test_the_containers_of_video_are_read(tmp_path: Path, name: str, codec: str) -> None:
    if codec == "ffv1" and name == "a.ogv":
        codec = "libtheora" if "libtheora" in av.codecs_available else "libvpx"
    try:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 48, 32
            stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            for index in range(5):
                frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 40 * index, np.uint8))
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg does not write {name} of {codec}: {error}")
    assert len(list(Video.open(tmp_path / name))) == 5


@pytest.mark.parametrize("aspect", [None, Fraction(1), Fraction(32, 27), Fraction(10, 11)])
def test_the_shape_of_pixels_is_written_and_read(tmp_path: Path, aspect: Fraction | None) -> None:
    with VideoWriter(tmp_path / "a.mp4", 25, pixel_aspect=aspect) as writer:
        for _ in range(3):
            writer.write(np.zeros((32, 48, 3), np.uint8))
    video = Video.open(tmp_path / "a.mp4")
    assert (video.pixel_aspect or 1) == (aspect or 1)
    assert video[1:].pixel_aspect == video.pixel_aspect


def test_the_shape_of_pixels_turns_with_the_frame(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 48, 3), np.uint8))))
        container.mux(stream.encode(None))
    video = Video.open(tmp_path / "a.mp4")
    assert (video.size, video.pixel_aspect) == ((48, 32), Fraction(3, 4))


def box(content: bytearray, kind: bytes) -> int:
    """Where the content of an MP4's box begins."""
    return content.index(kind) + 4


@pytest.mark.parametrize("of_one_size", [False, True])
def test_a_promise_of_two_thousand_million_frames_is_not_believed(tmp_path: Path, of_one_size: bool) -> None:
    content = bytearray(write_clip(tmp_path / "a.mp4").read_bytes())
    sizes = box(content, b"stsz")
    struct.pack_into(">II", content, sizes + 4, 700 if of_one_size else 0, 2**31 - 1)
    runs = box(content, b"stts")
    struct.pack_into(">II", content, runs + 8, 2**31 - 1, 512)
    (tmp_path / "a.mp4").write_bytes(content)
    try:
        video = Video.open(tmp_path / "a.mp4")
        assert len(video) < len(content)
    except VideoError:
        return  # to refuse it is as good
    with_frames = 0
    try:
        for _ in video:
            with_frames += 1
    except VideoError as error:
        assert "a.mp4" in str(error)  # noqa: PT017
    assert with_frames <= len(content)


def test_a_film_that_changes_its_size_after_opening_is_named(tmp_path: Path) -> None:
    video = Video.open(write_clip(tmp_path / "a.mp4"))
    write_clip(tmp_path / "a.mp4", size=(16, 48))
    with pytest.raises(VideoError, match=r"frame 0 is 48×32 .* 48×16"):
        next(iter(video))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no devices in folders")
def test_a_device_is_no_video() -> None:
    with pytest.raises(VideoError, match="is a pipe or a device"):
        Video.open("/dev/zero")
