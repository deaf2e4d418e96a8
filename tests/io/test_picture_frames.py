from __future__ import annotations

import itertools
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pictures

from tinct.errors import OptionError, VideoError
from tinct.io import picture_frames
from tinct.io.levels import Levels
from tinct.io.picture_frames import evenly, holds_several
from tinct.io.video import Video

H, W = 12, 20


def eight_bits(index: int) -> np.ndarray:
    """Grey values that tell the frame, the brightest 255."""
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    grey[0, :2] = 255, index
    return grey


def deep(index: int, bits: int) -> np.ndarray:
    """The same scene in more bits, with noise below the upper 8."""
    low = 2 ** (bits - 8) - 1
    return (eight_bits(index).astype(np.uint16) << (bits - 8)) | low


def grey_frames(folder: Path, bits: int, suffix: str = "png", dtype: type = np.uint16) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(10):
        Pictures.fromarray(deep(index, bits).astype(dtype)).save(folder / f"{index}.{suffix}")
    return folder


def colour_tiff(pixels: np.ndarray, orientation: int = 1, pages: int = 1) -> bytes:
    """A TIFF of 16-bit RGB, which Pillow cannot write; each page is brighter by one."""
    out = b"II*\0" + struct.pack("<I", 8)
    height, width = pixels.shape[:2]
    for page in range(pages):
        bits_at = len(out) + 2 + 12 * 11 + 4
        data = (pixels + page).astype("<u2").tobytes()
        entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits_at), (259, 3, 1, 1)]
        entries += [(262, 3, 1, 2), (273, 4, 1, bits_at + 6), (274, 3, 1, orientation), (277, 3, 1, 3)]
        entries += [(278, 3, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1)]
        following = bits_at + 6 + len(data) if page < pages - 1 else 0
        out += struct.pack("<H", 11) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        out += struct.pack("<I", following) + struct.pack("<3H", 16, 16, 16) + data
    return out


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(("suffix", "dtype"), [("png", np.uint16), ("tif", np.uint16), ("tif", np.int32)])
def test_deep_frames_show_what_they_show_in_eight_bits(
    tmp_path: Path, bits: int, suffix: str, dtype: type
) -> None:
    video = Video.open(grey_frames(tmp_path / "clip", bits, suffix, dtype))
    assert f"of {bits} bits: 0 is black and {2**bits - 1} white" in " ".join(video.remarks)
    for index, frame in enumerate(video):
        np.testing.assert_array_equal(frame, np.dstack([eight_bits(index)] * 3))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("kind", ["rgb.png", "rgba.png", "grey with alpha.png", "rgb.tif"])
def test_deep_colours_are_scaled_like_deep_grey(tmp_path: Path, bits: int, kind: str) -> None:
    grey = deep(0, bits)
    rgb = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    file = tmp_path / kind.replace(" ", "_")
    if kind == "grey with alpha.png":
        rgb = np.dstack([grey] * 3)
        write_grey_with_alpha(file, grey)
    elif kind == "rgba.png":
        cv2.imwrite(str(file), np.dstack([rgb[..., ::-1], np.full_like(grey, 2**16 - 1)]))
    else:
        cv2.imwrite(str(file), rgb[..., ::-1])
    np.testing.assert_array_equal(Video.open(tmp_path)[0], rgb >> (bits - 8))


def write_grey_with_alpha(file: Path, grey: np.ndarray) -> None:
    """A 16-bit PNG of the one kind that neither library writes."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.dstack([grey, np.full_like(grey, 2**16 - 1)]).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", W, H, 16, 4, 0, 0, 0)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_colours_are_turned_upright(tmp_path: Path, turn: int) -> None:
    rgb = np.arange(4 * 6 * 3, dtype=np.uint16).reshape(4, 6, 3) * 900
    (tmp_path / "a.tif").write_bytes(colour_tiff(rgb, turn))
    turned = {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.transpose(1, 0, 2),
        6: np.rot90(rgb, -1),
        7: rgb[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(rgb),
    }[turn]
    video = Video.open(tmp_path)
    assert video.size == turned.shape[:2]
    np.testing.assert_array_equal(video[0], turned >> 8)


def test_a_video_has_one_scale_whatever_frames_are_asked_for(tmp_path: Path) -> None:
    folder = grey_frames(tmp_path / "clip", 12)
    Pictures.fromarray(np.full((H, W), 80, np.uint16)).save(folder / "4.png")
    assert Video.open(folder)[4].max() == 80 >> 4
    assert Video.open(folder)[4:5][0].max() == 80 >> 4


def test_a_frame_above_the_range_of_those_looked_at_breaks_there(tmp_path: Path) -> None:
    folder = grey_frames(tmp_path / "clip", 12)
    unseen = sorted(set(range(10)) - set(evenly(10, picture_frames.LOOKED_AT)))[0]
    Pictures.fromarray(deep(0, 14)).save(folder / f"{unseen}.png")
    frames = iter(Video.open(folder))
    assert len(list(itertools.islice(frames, unseen))) == unseen
    with pytest.raises(VideoError, match=rf"{unseen}\.png .*value 16383, and 0 to 4095 .*--levels"):
        next(frames)
    assert len(list(Video.open(folder, Levels(0, 16383)))) == 10


def test_levels_scale_every_kind_of_frame(tmp_path: Path) -> None:
    fractions = np.linspace(-1, 1, H * W, dtype=np.float32).reshape(H, W)
    Pictures.fromarray(fractions).save(tmp_path / "0.tif")
    with pytest.raises(VideoError, match=r"fractions; .*--levels LOW:HIGH"):
        Video.open(tmp_path)[0]
    video = Video.open(tmp_path, Levels(-1, 1))
    assert (video[0].min(), video[0].max(), video.remarks) == (0, 255, ())
    Pictures.fromarray(np.full((H, W, 3), 50, np.uint8)).save(tmp_path / "0.tif")
    assert (Video.open(tmp_path, Levels(0, 100))[0] == 128).all()


def test_levels_are_for_images(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(OptionError, match="only images have them"):
        Video.open(tmp_path / "a.mp4", Levels(0, 1))


def test_a_file_that_says_its_range_is_believed(tmp_path: Path) -> None:
    dark = np.full((H, W), 200, ">u2")
    (tmp_path / "0.pgm").write_bytes(f"P5 {W} {H} 4095\n".encode() + dark.tobytes())
    assert (Video.open(tmp_path)[0] == 200 >> 4).all()


def test_frames_of_eight_bits_are_not_looked_at_before_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pictures.fromarray(eight_bits(0)).save(tmp_path / "0.png")
    video = Video.open(tmp_path)
    monkeypatch.setattr(picture_frames, "evenly", None)  # to call it would fail
    assert video.remarks == ()
    assert video[0].max() == 255


def scene(index: int) -> np.ndarray:
    return np.dstack([eight_bits(index), eight_bits(index)[::-1], eight_bits(index)])


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_a_file_of_pages_is_a_video(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"stack.{suffix}"
    first, *others = (Pictures.fromarray(scene(index)) for index in range(12))
    options = {"lossless": True} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=others, **options)
    assert holds_several(path)
    video = Video.open(path)
    assert (len(video), video.size, list(video.names)[10:]) == (12, (H, W), ["00010", "00011"])
    for index, frame in enumerate(video):
        np.testing.assert_array_equal(frame, scene(index))
    np.testing.assert_array_equal(video[7], scene(7))
    np.testing.assert_array_equal(video[3:6][2], scene(5))


def test_deep_pages_are_scaled_alike(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    first, *others = (Pictures.fromarray(deep(index, 12)) for index in range(12))
    first.save(path, save_all=True, append_images=others)
    np.testing.assert_array_equal(Video.open(path)[11][..., 1], eight_bits(11))
    path.write_bytes(colour_tiff(np.dstack([deep(0, 12)] * 3) - 3, pages=3))
    assert [int(frame[0, 0, 0]) for frame in Video.open(path, Levels(4092, 4094))] == [0, 128, 255]


def test_pages_of_different_sizes_are_named(tmp_path: Path) -> None:
    small = Pictures.fromarray(scene(1)[:6])
    Pictures.fromarray(scene(0)).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with pytest.raises(VideoError, match=r"page 0 is 20×12 pixels and page 1 is 20×6"):
        Video.open(tmp_path / "a.tif")


def test_a_damaged_page_is_named_after_the_good_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(colour_tiff(np.zeros((H, W, 3), np.uint16), pages=3))
    content = bytearray(path.read_bytes()[:-100])
    path.write_bytes(content)
    frames = iter(Video.open(path))
    assert len(list(itertools.islice(frames, 2))) == 2
    with pytest.raises(VideoError, match=r"Page 2 of .*a\.tif cannot be read"):
        next(frames)


def test_a_single_image_is_no_video(tmp_path: Path) -> None:
    Pictures.fromarray(scene(0)).save(tmp_path / "a.tif")
    assert not holds_several(tmp_path / "a.tif")
    assert not holds_several(tmp_path / "gone.tif")
    with pytest.raises(VideoError, match="is a single image"):
        Video.open(tmp_path / "a.tif")


def test_a_file_of_pages_among_frames_is_refused_with_the_way_out(tmp_path: Path) -> None:
    page = Pictures.fromarray(scene(0))
    page.save(tmp_path / "0.tif", save_all=True, append_images=[page])
    with pytest.raises(VideoError, match=r"0\.tif holds 2 pictures.*Give the file itself as the video"):
        Video.open(tmp_path)


def test_a_frame_that_changes_its_size_after_opening_is_named(tmp_path: Path) -> None:
    for index in range(3):
        Pictures.fromarray(scene(index)).save(tmp_path / f"{index}.png")
    video = Video.open(tmp_path)
    Pictures.fromarray(scene(1)[:6]).save(tmp_path / "1.png")
    frames = iter(video)
    next(frames)
    with pytest.raises(VideoError, match=r"frame 1 is 20×6.*changed while"):
        next(frames)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (5, [0, 1, 3, 4]), (1000, [0, 333, 666, 999])]
)
def test_indices_are_spread_evenly(count: int, expected: list[int]) -> None:
    assert evenly(count, 4) == expected


def test_a_part_that_promises_gigabytes_is_refused_before_room_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "0.png"
    cv2.imwrite(str(path), np.full((24, 32, 3), 1000, np.uint16))
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    path.write_bytes(data[:at] + b"\xff\x00" + data[at + 2 :])
    monkeypatch.setattr(cv2, "imreadmulti", None)
    with pytest.raises(VideoError, match="longer than the file"):
        list(Video.open(tmp_path))
