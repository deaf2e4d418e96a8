from __future__ import annotations

import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL import ImageOps

from tinct.errors import MaskError, VideoError
from tinct.io import image_files
from tinct.io.image_files import (
    MOST_PIXELS,
    opened_picture,
    orientation,
    pictures_in,
    turn_to,
    upright,
    upright_size,
)


def explain(reason: str) -> VideoError:
    return VideoError(f"x: {reason}.")


def picture() -> Pictures.Image:
    return Pictures.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "ppm", "tif", "webp", "gif"])
def test_known_formats_are_opened(tmp_path: Path, suffix: str) -> None:
    picture().save(tmp_path / f"a.{suffix}")
    with opened_picture(tmp_path / f"a.{suffix}", explain) as opened:
        assert opened.size == (6, 4)


@pytest.mark.parametrize("kind", ["EPS", "PCX", "TGA", "ICO", "SGI"])
def test_other_formats_are_refused_whatever_the_name_says(tmp_path: Path, kind: str) -> None:
    picture().resize((16, 16)).save(tmp_path / "mask.png", format=kind)
    with (
        pytest.raises(VideoError, match="no image of a known format"),
        opened_picture(tmp_path / "mask.png", explain),
    ):
        pass


# Pillow warns of it before we look.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_promise_of_many_pixels_is_refused_before_it_is_decoded() -> None:
    side = 13_000
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + chunk(b"IEND", b"")
    )
    assert side * side > MOST_PIXELS
    with pytest.raises(VideoError, match="13000×13000 pixels"), opened_picture(io.BytesIO(data), explain):
        raise AssertionError("it was opened")


@pytest.mark.parametrize("suffix", ["tif", "webp", "gif", "png"])
def test_several_pictures_in_one_file_are_refused(tmp_path: Path, suffix: str) -> None:
    others = [picture().rotate(90 * k) for k in (1, 2)]
    picture().save(tmp_path / f"a.{suffix}", save_all=True, append_images=others)
    with (
        pytest.raises(VideoError, match="holds 3 pictures"),
        opened_picture(tmp_path / f"a.{suffix}", explain),
    ):
        pass


def test_a_phones_picture_with_a_copy_inside_is_one(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[picture().resize((3, 2))])
    with opened_picture(tmp_path / "a.jpg", explain) as opened:
        assert opened.size == (6, 4)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mask.png")
    with pytest.raises(VideoError, match="neither a file"), opened_picture(tmp_path / "mask.png", explain):
        pass


def test_every_one_of_several_pictures_has_a_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = picture().resize((60, 40))
    picture().save(tmp_path / "a.tif", save_all=True, append_images=[larger])
    monkeypatch.setattr(image_files, "MOST_PIXELS", 100)

    def turn() -> None:
        with opened_picture(tmp_path / "a.tif", explain, several=True) as opened:
            assert pictures_in(opened) == 2
            turn_to(opened, 1)

    with pytest.raises(VideoError, match="60×40 pixels"):
        turn()


def with_orientation(value: object, file_format: str = "JPEG") -> Pictures.Image:
    exif = Pictures.Exif()
    exif[0x0112] = value
    data = io.BytesIO()
    picture().save(data, format=file_format, exif=exif)
    return Pictures.open(data)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientations_turn_the_pixels_as_the_standard_says(value: int, file_format: str) -> None:
    turned = with_orientation(value, file_format)
    expected = ImageOps.exif_transpose(with_orientation(value, file_format))
    assert upright_size(turned) == (expected.height, expected.width)
    np.testing.assert_array_equal(np.asarray(upright(turned)), np.asarray(expected))
    assert upright_size(turned) == (expected.height, expected.width)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_are_none_are_upright(value: int) -> None:
    assert orientation(with_orientation(value)) == 1
    assert upright_size(with_orientation(value)) == (4, 6)


def test_a_png_is_taken_as_it_is_stored() -> None:
    assert orientation(with_orientation(6, "PNG")) == 1


def test_malformed_neighbours_of_the_orientation_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = with_orientation(6)

    def malformed() -> None:
        raise struct.error("unpack requires a buffer of 8 bytes")

    monkeypatch.setattr(turned, "getexif", malformed)
    assert orientation(turned) == 1


@pytest.mark.parametrize("in_memory", [False, True])
def test_every_changed_byte_of_a_png_is_seen(tmp_path: Path, in_memory: bool) -> None:
    """Of those that tell the pixels; Pillow by itself takes some for other pixels."""
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    data, path = buffer.getvalue(), tmp_path / "a.png"
    for at in range(data.index(b"IDAT") + 4, data.index(b"IEND") - 4):
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        path.write_bytes(damaged)
        source = io.BytesIO(damaged) if in_memory else path
        with pytest.raises(VideoError), opened_picture(source, explain) as opened:
            np.asarray(opened)
        with opened_picture(source if not in_memory else io.BytesIO(damaged), explain) as opened:
            assert opened.size == (6, 4)  # the header alone is not held up


def test_whatever_a_decoder_raises_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture().save(tmp_path / "a.png")
    with pytest.raises(VideoError, match="unpack requires"), opened_picture(tmp_path / "a.png", explain):
        raise struct.error("unpack requires a buffer")
    with pytest.raises(MaskError, match=r"^ours$"), opened_picture(tmp_path / "a.png", explain):
        raise MaskError("ours")


def test_a_file_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="No such file"), opened_picture(tmp_path / "a.png", explain):
        pass


def test_no_other_module_opens_pictures_by_itself() -> None:
    source = Path(image_files.__file__).parents[1]
    opening = [
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if re.search(r"\b(Pictures|PillowImage)\.open\(", path.read_text(encoding="utf-8"))
    ]
    assert opening == ["io/image_files.py"]
