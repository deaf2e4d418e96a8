from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tinct.errors import (
    FrameIndexError,
    OptionError,
    OutputError,
    UnknownLengthError,
    VideoError,
)
from tinct.io.video import Video, as_video
from tinct.io.video_writer import VideoWriter

H, W = 48, 64
FRAMES = 30


def scene(index: int) -> np.ndarray:
    """A frame that tells its index by a bar, and up from down and left from right by a red corner."""
    frame = np.full((H, W, 3), 40, np.uint8)
    frame[20:28, : 2 * index + 1] = 220
    frame[:12, :12] = (250, 10, 10)
    return frame


def index_of(frame: np.ndarray) -> int:
    return round(((frame[24, :, 1] > 130).sum() - 1) / 2)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes films that PyAV can write, with B-frames and a key frame every ten."""
    folder = tmp_path_factory.mktemp("films")

    def make(name: str, codec: str = "libx264", pixels: str = "yuv420p", **how: object) -> Path:
        path = folder / name
        with av.open(
            str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}
        ) as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = W, H, pixels
            stream.codec_context.gop_size = 10
            if "rotation" in how:
                stream.set_display_rotation(how["rotation"])
            if "matrix" in how:
                stream.set_display_matrix(how["matrix"])
            for index in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(scene(index), format="rgb24")
                frame.pts = index**2 if how.get("variable") else index
                frame.time_base = Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def clip(film: Callable[..., Path]) -> Path:
    return film("clip.mp4")


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("grey.mkv", "ffv1", "gray"),
        ("deep.mkv", "ffv1", "gray16le"),
        ("alpha.mov", "png", "rgba"),
    ],
)
def test_a_film_is_read_frame_by_frame(film: Callable[..., Path], name: str, codec: str, pixels: str) -> None:
    video = Video.open(film(name, codec, pixels))
    assert (len(video), video.size, video.rate) == (FRAMES, (H, W), 25)
    assert list(video.names) == [f"{i:05d}" for i in range(FRAMES)]
    frames = list(video)
    assert [index_of(frame) for frame in frames] == list(range(FRAMES))
    assert all(f.dtype == np.uint8 and f.shape == (H, W, 3) and f.flags.c_contiguous for f in frames)


def test_any_frame_is_found_exactly(clip: Path) -> None:
    video = Video.open(clip)
    frames = list(video)
    for start in (0, 1, 9, 10, 17, 29):
        np.testing.assert_array_equal(video[start], frames[start])
        np.testing.assert_array_equal(next(video.frames(start)), frames[start])
    assert [index_of(f) for f in video.frames(13, 16)] == [13, 14, 15]
    assert index_of(video[-1]) == FRAMES - 1
    assert list(video.frames(FRAMES)) == []


def test_each_iteration_begins_anew(clip: Path) -> None:
    video = Video.open(clip)
    one, other = iter(video), iter(video)
    assert [index_of(next(one)), index_of(next(one)), index_of(next(other))] == [0, 1, 0]


@pytest.mark.parametrize("span", [(-1, 3), (4, 3), (0, FRAMES + 1)])
def test_frames_outside_the_video_are_refused(clip: Path, span: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="the video has frames 0 to 29"):
        Video.open(clip).frames(*span)
    with pytest.raises(OptionError, match=f"Frame {FRAMES} was asked for"):
        Video.open(clip)[FRAMES]


def test_variable_frame_rate_gives_each_coded_frame_once(film: Callable[..., Path]) -> None:
    video = Video.open(film("variable.mp4", variable=True))
    assert [index_of(frame) for frame in video] == list(range(FRAMES))
    assert index_of(video[23]) == 23


TURNED = {90: np.rot90, -90: lambda f: np.rot90(f, -1), 180: lambda f: np.rot90(f, 2)}


@pytest.mark.parametrize("rotation", TURNED)
def test_rotation_metadata_turns_the_frames(film: Callable[..., Path], clip: Path, rotation: int) -> None:
    video = Video.open(film(f"turned{rotation}.mp4", rotation=rotation))
    assert video.size == ((W, H) if abs(rotation) == 90 else (H, W))
    np.testing.assert_array_equal(video[3], TURNED[rotation](Video.open(clip)[3]))


def test_mirroring_metadata_mirrors_the_frames(film: Callable[..., Path], clip: Path) -> None:
    one = 1 << 16
    mirrored = Video.open(film("mirrored.mp4", matrix=[-one, 0, 0, 0, one, 0, 0, 0, 1 << 30]))
    transposed = Video.open(film("transposed.mp4", matrix=[0, one, 0, one, 0, 0, 0, 0, 1 << 30]))
    np.testing.assert_array_equal(mirrored[3], Video.open(clip)[3][:, ::-1])
    np.testing.assert_array_equal(transposed[3], Video.open(clip)[3].transpose(1, 0, 2))


def read_until_it_breaks(video: Video) -> tuple[list[np.ndarray], str]:
    """(the frames that came, the message of the error that followed)."""
    good: list[np.ndarray] = []
    with pytest.raises(VideoError) as raised:
        good.extend(iter(video))
    return good, str(raised.value)


def test_a_film_cut_short_yields_its_good_frames_and_says_where(clip: Path, tmp_path: Path) -> None:
    whole = clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: -len(whole) // 8])
    video = Video.open(cut)
    good, message = read_until_it_breaks(video)
    assert 5 < len(good) < FRAMES
    assert [index_of(frame) for frame in good] == list(range(len(good)))
    assert re.search(rf"cut\.mp4 breaks (at frame|off after) {len(good)} of .*{FRAMES}", message)
    with pytest.raises(VideoError, match="breaks"):
        _ = video[FRAMES - 1]


def test_a_film_damaged_in_the_middle_says_where(clip: Path, tmp_path: Path) -> None:
    damaged = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        packets = list(container.demux(video=0))
    place = packets[15].pos
    damaged[place : place + 200] = bytes(200)
    (tmp_path / "damaged.mp4").write_bytes(damaged)
    good, message = read_until_it_breaks(Video.open(tmp_path / "damaged.mp4"))
    assert [index_of(frame) for frame in good] == list(range(len(good)))
    assert f"breaks at frame {len(good)} of {FRAMES}" in message
    assert f"The {len(good)} frames before it are good" in message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "cannot be read as a video"),
        ("text.mp4", b"hello\n" * 99, "cannot be read as a video"),
        ("notes.txt", b"hello\n" * 99, "no container of video"),
        ("photo.png", b"", "no image of a known format"),
    ],
)
def test_what_is_no_video_is_said_to_be_none(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message):
        Video.open(tmp_path / name)


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"There is no .*gone\.mp4"):
        Video.open(tmp_path / "gone.mp4")


def test_a_film_without_frames_is_refused(clip: Path, tmp_path: Path) -> None:
    whole = clip.read_bytes()
    head = tmp_path / "head.mp4"
    head.write_bytes(whole[: whole.index(b"mdat") + 4])
    with pytest.raises(VideoError, match=r"without frames|cannot be read as a video"):
        Video.open(head)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve frames of odd size, frame1.png to frame12.png, and what may lie beside them."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(scene(index)[:47, :63]).save(folder / f"frame{index + 1}.png")
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".frame0.png").write_text("hidden")
    return folder


def test_a_folder_is_read_in_natural_order(folder: Path) -> None:
    video = Video.open(folder)
    assert (len(video), video.size, video.rate) == (12, (47, 63), None)
    assert list(video.names) == [f"frame{i}" for i in range(1, 13)]
    assert [index_of(frame) for frame in video] == list(range(12))
    np.testing.assert_array_equal(video[5], scene(5)[:47, :63])
    assert [index_of(frame) for frame in video.frames(9)] == [9, 10, 11]


GREY = scene(3)[..., 1]
DEEP = (GREY.astype(np.uint16) << 8) | 0xFF


@pytest.mark.parametrize(
    ("name", "picture", "expected"),
    [
        pytest.param("a.png", Image.fromarray(GREY), np.dstack([GREY] * 3), id="grey"),
        pytest.param("a.png", Image.fromarray(DEEP), np.dstack([GREY] * 3), id="16-bit grey"),
        pytest.param("a.tif", Image.fromarray(DEEP), np.dstack([GREY] * 3), id="16-bit TIFF"),
        pytest.param("a.png", Image.fromarray(np.dstack([scene(3), GREY])), scene(3), id="alpha"),
        pytest.param(
            "a.png", Image.fromarray(np.dstack([GREY, GREY])), np.dstack([GREY] * 3), id="grey with alpha"
        ),
        pytest.param("a.png", Image.fromarray(GREY > 130), np.dstack([(GREY > 130) * 255] * 3), id="1 bit"),
        pytest.param("a.bmp", Image.fromarray(scene(3)), scene(3), id="BMP"),
    ],
)
def test_every_kind_of_image_becomes_rgb(
    tmp_path: Path, name: str, picture: Image.Image, expected: np.ndarray
) -> None:
    picture.save(tmp_path / name)
    np.testing.assert_array_equal(Video.open(tmp_path)[0], expected)


def test_a_palette_image_with_transparency_becomes_rgb(tmp_path: Path) -> None:
    picture = Image.fromarray(scene(3)).quantize(4)
    expected = np.asarray(picture.convert("RGB"))
    picture.save(tmp_path / "a.png", transparency=bytes([0, 128, 255, 255]))
    np.testing.assert_array_equal(Video.open(tmp_path)[0], expected)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    Image.fromarray(scene(3)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    video = Video.open(tmp_path)
    assert video.size == (W, H)
    np.testing.assert_allclose(video[0][24:40, 44:60], np.rot90(scene(3), -1)[24:40, 44:60], atol=60)
    assert video[0][5, -5, 0] > 200


def test_frames_of_different_sizes_are_named_with_both_sizes(folder: Path) -> None:
    Image.fromarray(scene(1)).save(folder / "frame7.png")
    with pytest.raises(VideoError, match=r"frame1\.png is 63×47 pixels and frame7\.png is 64×48"):
        Video.open(folder)


def test_a_frame_that_is_there_twice_is_refused(folder: Path) -> None:
    Image.fromarray(scene(1)).save(folder / "frame7.jpg")
    with pytest.raises(VideoError, match=r"frame7\.jpg, frame7\.png"):
        Video.open(folder)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="holds no frames"):
        Video.open(tmp_path)


def test_a_broken_frame_is_named_after_the_good_ones(folder: Path) -> None:
    broken = folder / "frame4.png"
    broken.write_bytes(broken.read_bytes()[:-60])
    good, message = read_until_it_breaks(Video.open(folder))
    assert len(good) == 3
    assert f"{broken} cannot be read" in message


def test_a_frame_without_a_header_is_named_at_once(folder: Path) -> None:
    (folder / "frame4.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"frame4\.png cannot be read"):
        Video.open(folder)


def test_arrays_are_a_video() -> None:
    frames = [scene(i) for i in range(3)]
    video = Video.from_arrays(frames, rate=Fraction(30))
    assert (len(video), video.size, video.rate, video.names) == (3, (H, W), 30, ("00000", "00001", "00002"))
    np.testing.assert_array_equal(np.stack(list(video)), frames)
    assert Video.from_arrays(frames, ["a", "b", "c"]).names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("frames", "names", "message"),
    [
        ([], None, "none came"),
        ([scene(0)[0, :5, 0]], None, r"Frame 0 is uint8 \(5,\); expected RGB"),
        ([scene(0), scene(0)[..., :2]], None, r"Frame 1 is uint8 \(48, 64, 2\); expected RGB"),
        ([scene(0)[:0]], None, "expected RGB"),
        ([scene(0).astype(np.float32)], None, "float32 with values from 10 to 250.*Divide by 255"),
        ([(scene(0) / 255 - 0.5)], None, "undo the normalisation"),
        ([scene(0) * np.nan], None, "from nan to nan"),
        ([scene(0).astype(np.uint16)], None, r"uint16.*frame >> 8"),
        ([scene(0).astype(np.int64)], None, r"int64.*astype\(np.uint8\)"),
        ([Image.new("F", (W, H))], None, "fractions"),
        ([Image.new("I;16", (W, H))], None, r"Frame 0 is a PIL image.*mode I;16.*path of the file.*>> 8"),
        ([scene(0), Image.new("I", (W, H))], None, r"Frame 1 is a PIL image.*mode I\).*range is not known"),
        (["a.jpg", "b.jpg"], None, r"PIL\.Image\.open"),
        (scene(0), None, r"single frame.*\[frame\]"),
        (torch.zeros(3, H, W), None, r"single frame.*\[frame\]"),
        (np.zeros((1, 2, H, W, 3), np.uint8), None, r"frames\[0\]"),
        ([scene(0), scene(0)[1:]], None, "frame 0 is 64×48 pixels and frame 1 is 64×47"),
        ([scene(0)] * 2, ["a"], "1 names came with 2 frames"),
        ([scene(0)] * 2, ["a", "a"], "its own name"),
    ],
)
def test_arrays_that_are_no_video_are_refused(frames: Any, names: list[str] | None, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        Video.from_arrays(frames, names)


def test_a_written_film_shows_what_was_drawn_at_an_even_size(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "overlay.mp4", Fraction(30000, 1001), (47, 63)) as writer:
        for index in range(5):
            writer.write(scene(index)[:47, :63])
    video = Video.open(tmp_path / "overlay.mp4")
    assert (len(video), video.size, video.rate) == (5, (48, 64), Fraction(30000, 1001))
    assert [index_of(frame) for frame in video] == list(range(5))
    corner = video[0][3:8, 3:8].astype(int)
    assert np.abs(corner - (250, 10, 10)).max() < 30
    assert np.abs(video[0][-1].astype(int) - video[0][-2]).max() < 10
    assert [p.name for p in tmp_path.iterdir()] == ["overlay.mp4"]


def test_an_aborted_video_leaves_nothing_and_keeps_the_error(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "overlay.mp4") as writer:
            writer.write(scene(0))
            raise FileNotFoundError("something else")

    with pytest.raises(FileNotFoundError, match="something else"):
        fail()
    assert list(tmp_path.iterdir()) == []


def write_film(path: Path, frames: Sequence[np.ndarray]) -> None:
    with VideoWriter(path, 25) as writer:
        for frame in frames:
            writer.write(frame)


def test_a_film_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        write_film(tmp_path / "no" / "a.mp4", [scene(0)])
    with pytest.raises(OutputError, match="one frame at least"):
        write_film(tmp_path / "a.mp4", [])
    with pytest.raises(OutputError, match="frame 1 is 64×47 pixels and the video 64×48"):
        write_film(tmp_path / "a.mp4", [scene(0), scene(0)[:47]])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    noise = np.random.default_rng(0).integers(0, 256, (30, H, W, 3), dtype=np.uint8)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(OutputError, match=r"a\.mp4 cannot be written"):
            write_film(tmp_path / "a.mp4", list(noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


STACK = np.stack([scene(index) for index in range(4)])


def chw(stack: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(stack.copy()).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "frames",
    [
        STACK,
        list(STACK),
        tuple(STACK),
        STACK.transpose(0, 3, 1, 2),
        np.concatenate([STACK, STACK[..., :1]], axis=3),
        STACK / 255,
        (STACK / 255).astype(np.float32),
        torch.from_numpy(STACK.copy()),
        chw(STACK),
        chw(STACK).float() / 255,
        list(chw(STACK)),
        [Image.fromarray(frame) for frame in STACK],
        [Image.fromarray(STACK[0]).convert("RGBA"), *STACK[1:]],
        (frame for frame in STACK),
        iter([Image.fromarray(frame) for frame in STACK]),
        (frame / 255 for frame in STACK),
    ],
)
def test_a_video_comes_in_every_form_that_python_has_for_it(frames: Any) -> None:
    video = as_video(frames)
    assert video.size == (H, W)
    came = list(video)
    assert all(frame.dtype == np.uint8 and frame.flags.c_contiguous for frame in came)
    np.testing.assert_array_equal(came, STACK)


@pytest.mark.parametrize(
    "grey", [STACK[..., 0], STACK[..., :1], torch.from_numpy(STACK[:, None, ..., 0].copy())]
)
def test_grey_frames_become_rgb(grey: Any) -> None:
    np.testing.assert_array_equal(list(as_video(grey)), np.repeat(STACK[..., :1], 3, axis=3))


def test_a_path_is_opened_and_a_video_stays_itself(clip: Path) -> None:
    video = as_video(clip)
    assert len(video) == len(as_video(str(clip))) == FRAMES
    assert as_video(video) is video
    with pytest.raises(FileNotFoundError, match="There is no"):
        as_video(clip.with_name("other.mp4"))


@pytest.mark.parametrize(
    ("what", "message"), [(7, "A int came"), (iter(()), "gave none"), (np.uint8(7), "A uint8")]
)
def test_what_is_no_video_is_refused(what: Any, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        as_video(what)


def test_a_part_of_a_video_is_a_video_of_those_frames(clip: Path) -> None:
    video = Video.open(clip)
    part = video[2:10]
    assert (len(part), part.size, part.rate, part.path) == (8, video.size, video.rate, None)
    assert list(part.names) == [f"{i:05d}" for i in range(2, 10)]
    assert [index_of(frame) for frame in part] == list(range(2, 10))
    assert (index_of(part[0]), index_of(part[-1])) == (2, 9)
    assert [index_of(frame) for frame in part[3:][1:2]] == [6]
    assert [len(video[span]) for span in (slice(None), slice(-3, None), slice(25, 99))] == [FRAMES, 3, 5]
    with pytest.raises(FrameIndexError, match="Frame 8 was asked for; the video has frames 0 to 7"):
        part[8]


def test_nothing_is_read_for_a_part_before_its_frames_are_asked_for() -> None:
    read: list[int] = []

    class Watched(Video):
        size = (H, W)
        names = ("a", "b", "c")

        def __len__(self) -> int:
            return 3

        def _read(self, start: int, stop: int) -> Any:
            for index in range(start, stop):
                read.append(index)
                yield scene(index)

    part = Watched()[1:3]
    assert read == []
    assert index_of(part[0]) == 1
    assert read == [1]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (slice(0, 8, 2), r"step 2.*from_arrays\(\[video\[i\] for i in range\(0, 4, 2\)\]\)"),
        (slice(None, None, -1), "step -1"),
        (slice(3, 3), "no frames; the video has frames 0 to 3"),
        (slice(9, 12), "no frames"),
    ],
)
def test_a_part_with_a_step_or_without_frames_is_refused(part: slice, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Video.from_arrays(STACK)[part]


def test_a_frame_index_beyond_the_end_ends_a_loop_as_an_index_error() -> None:
    with pytest.raises(IndexError):
        Video.from_arrays(STACK)[np.int64(4)]


def test_a_stream_is_read_once_frame_by_frame() -> None:
    given: list[int] = []

    def camera() -> Any:
        for index in range(4):
            given.append(index)
            yield scene(index)

    video = as_video(camera())
    assert (video.length, video.size, given) == (None, (H, W), [0])
    coming = video.frames()
    assert [index_of(next(coming)), index_of(next(coming))] == [0, 1]
    assert given == [0, 1]
    assert [video.names[0], video.names[1234], *video.names[2:4]] == ["00000", "01234", "00002", "00003"]
    with pytest.raises(VideoError, match=r"2 frames were read already.*list\(frames\)"):
        video.frames()
    assert [index_of(frame) for frame in video.frames(3)] == [3]


@pytest.mark.parametrize(
    "ask", [len, lambda video: video[0], lambda video: video[1:2], lambda video: len(video.names)]
)
def test_a_stream_says_that_nobody_knows_its_length(ask: Any) -> None:
    with pytest.raises(UnknownLengthError, match=r"list\(frames\)"):
        ask(as_video(iter(STACK)))


def test_a_stream_whose_frames_change_size_breaks_there() -> None:
    video = as_video(iter([scene(0), scene(1)[1:]]))
    frames = iter(video)
    next(frames)
    with pytest.raises(VideoError, match="frame 0 is 64×48 pixels and frame 1 is 64×47"):
        next(frames)


def test_videos_show_themselves_in_a_line(clip: Path) -> None:
    video = Video.open(clip)
    assert repr(video) == "FileVideo('clip.mp4', frames, 48×64, 25 fps)"  # nobody has counted yet
    assert len(video) == FRAMES
    assert repr(video) == "FileVideo('clip.mp4', 30 frames, 48×64, 25 fps)"
    assert repr(video[:1]) == "PartOfVideo(1 frame, 48×64, 25 fps)"
    assert repr(as_video(iter(STACK))) == "StreamVideo(frames, 48×64)"
