from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinct.data.image_headers import read_header
from tinct.errors import DatasetError


@pytest.mark.parametrize(
    ("name", "mode", "kind"),
    [("a.png", "P", "PNG"), ("a.png", "L", "PNG"), ("a.png", "1", "PNG"), ("a.bmp", "RGB", "BMP")],
)
def test_size_and_mode(name: str, mode: str, kind: str, layouts: Any, tmp_path: Path) -> None:
    header = read_header(layouts.mask(tmp_path / name, (1,), mode, (7, 9), kind))
    assert (header.size, header.mode, header.ends_early) == ((7, 9), mode, False)


def test_a_frame(layouts: Any, tmp_path: Path) -> None:
    header = read_header(layouts.frame(tmp_path / "a.jpg", (7, 9)))
    assert (header.size, header.mode, header.ends_early) == ((7, 9), "RGB", False)


@pytest.mark.parametrize("is_frame", [True, False])
@pytest.mark.parametrize("lost", [1, 12, 40])
def test_a_lost_end_is_seen(is_frame: bool, lost: int, layouts: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    (layouts.frame if is_frame else layouts.mask)(path, size=(100, 100))
    data = path.read_bytes()
    path.write_bytes(data[: -max(lost, 1 if is_frame else 9)])
    assert read_header(path).ends_early


@pytest.mark.parametrize("is_frame", [True, False])
@pytest.mark.parametrize("more", [b"\0" * 3, b"\0" * 500])
def test_what_follows_the_end_does_no_harm(is_frame: bool, more: bytes, layouts: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    (layouts.frame if is_frame else layouts.mask)(path)
    path.write_bytes(path.read_bytes() + more)
    assert not read_header(path).ends_early


def test_no_images(tmp_path: Path) -> None:
    for data, reason in ((b"", "it is empty"), (b"no picture", "it is no image")):
        (tmp_path / "a.png").write_bytes(data)
        with pytest.raises(DatasetError, match=rf"a\.png cannot be read: {reason}"):
            read_header(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="No such file"):
        read_header(tmp_path / "b.png")
