"""Uploaded files: streamed to disk within limits, under clean names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tinct.errors import OutputError
from tinct.web.http_errors import CallError, TooMuchError
from tinct.web.limits import in_units

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FILE_NAME = 100
"""Maximum length of a file name, with its suffix."""

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def clean_name(name: str, default: str = "video") -> str:
    """A recognisable file name that is safe on any system.

    Folders, control characters and characters that shells or file systems interpret are dropped.

    Example:
        >>> clean_name("../../etc/pass wd.mp4")
        'pass wd.mp4'
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    allowed = re.sub(r"[^\w .,()+=-]", "_", "".join(c for c in last if c.isprintable()))
    stem, dot, ending = allowed.strip(" .").rpartition(".")
    if not dot:
        stem, ending = ending, ""
    stem = stem.strip(" ._-") or default
    if stem.lower().partition(".")[0] in _RESERVED:
        stem = f"{stem}_"
    ending = re.sub(r"[^A-Za-z0-9]", "", ending)[:8]
    return stem[: MAX_FILE_NAME - 9] + (f".{ending}" if ending else "")


def _decoded(name: str) -> str:
    """A file's name in a form, in which browsers write quotes and line ends as in URLs, and no others."""
    for escaped, character in (("%22", '"'), ("%0D", " "), ("%0A", " ")):
        name = name.replace(escaped, character)
    return name


def slug(name: str) -> str:
    """A name for URLs: lower-case letters, digits and hyphens.

    Example:
        >>> slug("Ünder the Sea (2).MP4")
        'under-the-sea-2-mp4'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "video"


@dataclass
class Upload:
    """A received form: its files on disk, and its other fields.

    Attributes:
        files: In the order of the form.
        fields: Texts by field name.
    """

    files: list[Path] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    def only_file(self) -> Path:
        """The only file; CallError if there is none, or several."""
        if len(self.files) != 1:
            raise CallError(f"{len(self.files)} files came; expected one, in the field `file`.")
        return self.files[0]


async def receive(
    content_type: str, chunks: AsyncIterator[bytes], folder: Path, max_bytes: int, max_files: int
) -> Upload:
    """Receive a multipart form into a folder.

    Args:
        content_type: The header; it holds the boundary.
        chunks: The body.
        folder: Where the files go.
        max_bytes: Limit of the size of the body.
        max_files: Limit of the number of files.

    Returns:
        The upload; at least one file, none of them empty.

    Raises:
        TooMuchError: The body or the number of files exceeds its limit.
        CallError: The body is no complete multipart form, or has no file or an empty one.
        OutputError: The disk is full.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header
    from starlette.concurrency import run_in_threadpool

    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise CallError(
            f"A body of the type {content_type or 'unknown'!r} came; expected multipart/form-data."
        )
    parts = _Parts(folder, max_files)
    parser = MultipartParser(options[b"boundary"], parts.callbacks())
    received = 0
    try:
        async for chunk in chunks:
            received += len(chunk)
            if received > max_bytes:
                raise TooMuchError(
                    f"The upload is larger than {in_units(max_bytes)}, the most that this server takes. "
                    "Cut or shrink the video, or start `tinct app` with a larger --max-upload."
                )
            await run_in_threadpool(parser.write, chunk)  # the disk may be slow
        await run_in_threadpool(parser.finalize)
    except FormParserError as error:
        raise CallError(f"The upload is no whole multipart form ({error}); send it again.") from error
    except OSError as error:
        raise OutputError(
            f"The upload cannot be written to {folder}: {error.strerror}. Free some space and send it again."
        ) from error
    finally:
        parts.close()
    if not parts.ended:
        raise CallError("The upload was cut short; send it again.")
    return _check_files(parts.upload)


def _check_files(upload: Upload) -> Upload:
    if not upload.files:
        raise CallError("No file came; choose a video, or the images that are its frames.")
    for path in upload.files:
        if not path.stat().st_size:
            raise CallError(f"{path.name} is empty (0 bytes); check the file, and send it again.")
    return upload


class _Parts:
    """Callbacks of the multipart parser: files are written while they are received."""

    def __init__(self, folder: Path, max_files: int) -> None:
        self.upload = Upload()
        self.ended = False
        self._folder, self._max_files = folder, max_files
        self._header, self._value = b"", b""
        self._headers: dict[str, bytes] = {}
        self._field = ""
        self._text = bytearray()
        self._file: IO[bytes] | None = None

    def callbacks(self) -> MultipartCallbacks:
        """The callbacks by their names in the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_header,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._write,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers.clear()
        self._field = ""
        self._text.clear()

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value
        self._header, self._value = b"", b""

    def _open(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get("content-disposition", b""))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            return
        if len(self.upload.files) >= self._max_files:
            raise TooMuchError(
                f"More than {self._max_files} files came; this server takes no more in one video."
            )
        name = clean_name(_decoded(options[b"filename"].decode("utf-8", "replace")))
        path = self._folder / name
        try:
            self._file = path.open("xb")
        except FileExistsError as error:
            raise CallError(f"Two files of the name {name} came; give each its own name.") from error
        self.upload.files.append(path)

    def _write(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
        elif len(self._text) + end - start > 2**16:
            raise CallError(f"The field {self._field!r} is longer than 64 KiB; expected a few words.")
        else:
            self._text += data[start:end]

    def _end(self) -> None:
        if self._file is None:
            self.upload.fields[self._field] = self._text.decode("utf-8", "replace")
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()

    def _finish(self) -> None:
        self.ended = True
