from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.web.http_errors import TooMuchError
from tinct.web.uploads import MAX_FILE_NAME, Upload, clean_name, receive, slug


@given(st.text(max_size=300))
def test_a_cleaned_name_is_one_plain_part_of_a_path(name: str) -> None:
    clean = clean_name(name)
    assert Path(clean).name == clean
    assert clean.isprintable()
    assert not clean.startswith(".")
    assert not set(clean) & set('/\\:*?"<>|\x00')
    assert 0 < len(clean) <= MAX_FILE_NAME
    assert clean == clean.strip(" .")
    assert clean_name(clean) == clean


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("clip.mp4", "clip.mp4"),
        ("Ünder the sea (2).MOV", "Ünder the sea (2).MOV"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.avi", "a.avi"),
        ("con.mp4", "con_.mp4"),
        ("", "video"),
        ("...", "video"),
        ("a;rm -rf $HOME.mp4", "a_rm -rf _HOME.mp4"),
    ],
)
def test_names_that_came(name: str, clean: str) -> None:
    assert clean_name(name) == clean


@given(st.text(max_size=100))
def test_a_slug_needs_no_escape(name: str) -> None:
    assert slug(name) == "".join(c for c in slug(name) if c in "abcdefghijklmnopqrstuvwxyz0123456789-") != ""


async def _chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def received(body: bytes, folder: Path, size: int, most_bytes: int = 10**6, most_files: int = 9) -> Upload:
    kind = "multipart/form-data; boundary=XX"

    def run() -> Upload:
        return asyncio.run(receive(kind, _chunks(body, size), folder, most_bytes, most_files))

    # In a thread of its own: the browser's tests leave a loop that runs in this one.
    with ThreadPoolExecutor(1) as one:
        return one.submit(run).result()


BODY = (
    b'--XX\r\nContent-Disposition: form-data; name="frame"\r\n\r\n12\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a b.bin"\r\n\r\n'
    + bytes(range(256))
    * 3
    + b"\r\n--XX\r\n"
    b'Content-Disposition: form-data; name="file"; filename="c.bin"\r\n\r\nhello\r\n--XX--\r\n'
)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_form_arrives_whole_however_it_is_cut(tmp_path: Path, size: int) -> None:
    upload = received(BODY, tmp_path, size)
    assert upload.fields == {"frame": "12"}
    assert [path.name for path in upload.files] == ["a b.bin", "c.bin"]
    assert upload.files[0].read_bytes() == bytes(range(256)) * 3
    assert upload.files[1].read_bytes() == b"hello"


def test_limits_are_kept_while_the_body_comes(tmp_path: Path) -> None:
    with pytest.raises(TooMuchError, match="More than 1 files"):
        received(BODY, tmp_path, 100, most_files=1)
    (tmp_path / "again").mkdir()
    with pytest.raises(TooMuchError, match="larger than 300 bytes"):
        received(BODY, tmp_path / "again", 100, most_bytes=300)


def test_quotes_of_browsers_are_decoded(tmp_path: Path) -> None:
    head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="my %22best%22 100%.mp4"\r\n\r\n'
    upload = received(head + b"film\r\n--XX--\r\n", tmp_path, 50)
    assert upload.only_file().name == "my _best_ 100.mp4"
