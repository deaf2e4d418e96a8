"""Files wherever fsspec reaches: opened, staged to this machine, and put back, whole or not at all."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from tinct.batch.secrets import redacted
from tinct.errors import OptionError, OutputError, TinctError
from tinct.io.atomic import sweep
from tinct.io.optional import import_optional
from tinct.io.processes import process_tag

TIMEOUT_S = 60.0
"""How long an HTTP server may be silent."""

_PIECE = 2**20
_OBJECT_STORES = ("s3://", "gs://", "gcs://", "az://", "abfs://")
_REFUSED = re.compile(r"\b(401|403)\b|ACCESS_DENIED|AccessDenied|Forbidden|Unauthorized|InvalidAccessKey")


def local_path(url: str) -> Path | None:
    """The path of a file of this machine; None for one elsewhere."""
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return None if "://" in url or "::" in url else Path(url)


def absolute(url: str) -> str:
    """A path seen from the working directory, for processes that have another; an address as it is."""
    here = local_path(url)
    return str(here.absolute()) if here is not None else url


def joined(folder: str, name: str) -> str:
    """A name below a folder; an address or an absolute path stays what it is."""
    if "://" in name or Path(name).is_absolute():
        return name
    return str(Path(folder) / name) if local_path(folder) == Path(folder) else f"{folder.rstrip('/')}/{name}"


def parent_of(url: str) -> str:
    """The folder that a file lies in."""
    here = local_path(url)
    return str(here.parent) if here is not None else url.rpartition("/")[0]


def name_of(url: str) -> str:
    """The last part of a path or address, without a query."""
    here = local_path(url)
    return here.name if here is not None else PurePosixPath(unquote(urlsplit(url).path.rstrip("/"))).name


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


@contextmanager
def reaching(url: str, error: type[TinctError] = OptionError) -> Iterator[None]:
    """Within this block whatever a store raises becomes one line of ours, without credentials."""
    try:
        yield
    except TinctError:
        raise
    except Exception as reason:
        if isinstance(reason, urllib.error.HTTPError):
            reason.close()
        lines = str(reason).strip().splitlines() or [""]
        if isinstance(reason, FileNotFoundError):
            text = "it is not there"
        elif isinstance(reason, PermissionError) or _REFUSED.search(lines[0]):
            text = "access was refused; check the credentials that the store's own settings give"
        elif isinstance(reason, OSError) and reason.strerror:
            text = reason.strerror
        else:
            text = f"{type(reason).__name__}: {lines[0]}"
        raise error(f"{redacted(url)} cannot be reached: {redacted(text)[:300]}.") from None


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it.

    `s3://` and `gs://` are served by pyarrow where fsspec's own packages for them are not installed.

    Raises:
        OptionError: Nothing installed reaches it.
    """
    fsspec = import_optional("fsspec", "batch", "Reading and writing elsewhere")
    with reaching(url):
        try:
            fs, path = fsspec.core.url_to_fs(url)
        except ImportError as reason:
            if not url.startswith(("s3://", "gs://")):
                raise OptionError(f"{redacted(url)} needs another package: {reason}.") from None
            arrow = import_optional("pyarrow.fs", "batch", "Reading and writing elsewhere")
            wrapper = import_optional(
                "fsspec.implementations.arrow", "batch", "Reading and writing elsewhere"
            )
            inner, path = _arrow_filesystem(arrow, url)
            fs = wrapper.ArrowFSWrapper(inner, skip_instance_cache=True)
        return fs, str(path)


def _arrow_filesystem(arrow: Any, url: str) -> tuple[Any, str]:
    """Pyarrow's own file system; of S3, one whose server the environment names, as AWS's tools have it."""
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not url.startswith("s3://") or not server:
        inner, path = arrow.FileSystem.from_uri(url)
        return inner, str(path)
    address = urlsplit(server)
    return (
        arrow.S3FileSystem(endpoint_override=address.netloc, scheme=address.scheme),
        url.removeprefix("s3://"),
    )


@contextmanager
def opened(url: str, mode: str = "rb") -> Iterator[IO[Any]]:
    """A file, open for reading.

    Raises:
        OptionError: It cannot be reached.
    """
    with reaching(url):
        if _is_http(url):
            stream: IO[Any] = urllib.request.urlopen(url, timeout=TIMEOUT_S)
        else:
            fs, path = filesystem(url)
            stream = fs.open(path, "rb")
    with stream:
        yield stream


def read_bytes(url: str) -> bytes | None:
    """The content of a small file; None if it is not there.

    Raises:
        OptionError: The store cannot be reached.
    """
    here = local_path(url)
    if here is not None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return here.read_bytes()
        return None
    fs, path = filesystem(url)
    with reaching(url):
        try:
            return bytes(fs.cat_file(path))
        except FileNotFoundError:
            return None


def version_of(url: str) -> str | None:
    """What a store says of a file's content, which changes with it; None if unknown, as on this machine.

    Raises:
        OptionError: The store cannot be reached, or has no such file.
    """
    if local_path(url) is not None:
        return None
    with reaching(url):
        if _is_http(url):
            request, tag, size = urllib.request.Request(url, method="HEAD"), None, None
            with (
                suppress(urllib.error.HTTPError),  # some servers know no HEAD; reading the file will tell
                urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer,
            ):
                tag, size = answer.headers.get("ETag"), answer.headers.get("Content-Length")
        else:
            fs, path = filesystem(url)
            info = fs.info(path)
            tag, size = info.get("ETag") or info.get("etag"), info.get("size")
    return None if not tag or str(tag).startswith("W/") else f"{tag} {size}"


def staging_folder(folder: Path | None) -> Path:
    """Where copies go: by default a folder of this user's among the system's temporary ones."""
    return folder or Path(tempfile.gettempdir()) / f"tinct-batch-{getpass.getuser()}"


class Staging:
    """Copies of files from elsewhere, on this machine, as long as a video needs them.

    Args:
        folder: Where copies go; the system's folder for temporary files if None.
        most_bytes: What the files of one video may take together.
    """

    def __init__(self, folder: Path | None, most_bytes: int) -> None:
        self.folder = staging_folder(folder)
        self._most, self._left, self._stack = most_bytes, most_bytes, ExitStack()
        self._staged = False

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def fetch(self, url: str) -> Path:
        """The file or folder here: itself, or a copy that goes when this context ends.

        Raises:
            OptionError: It cannot be reached, or is larger than it may be.
            OutputError: The copy cannot be written.
        """
        here = local_path(url)
        if here is not None:
            return here
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._staged:
                sweep(self.folder)  # what processes that died have left; of our own nothing is open yet
            self._staged = True
            prefix = f".staged.{process_tag()}-"
            place = Path(tempfile.mkdtemp(prefix=prefix, suffix=".part", dir=self.folder))
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error.strerror or error}.") from error
        self._stack.callback(shutil.rmtree, place, ignore_errors=True)
        target = place / (name_of(url) or "video")
        if _is_http(url):
            self._copy(url, target)
            return target
        fs, path = filesystem(url)
        with reaching(url):
            files = fs.find(path) if fs.isdir(path) else None
        if files is None:
            self._copy(url, target)
            return target
        target.mkdir()
        root = fs._strip_protocol(path).rstrip("/")
        for file in files:
            inner = target / PurePosixPath(file).relative_to(root)
            inner.parent.mkdir(parents=True, exist_ok=True)
            self._copy(fs.unstrip_protocol(file), inner)
        return target

    def _copy(self, url: str, target: Path) -> None:
        with opened(url) as source, reaching(url), _writing(target), target.open("wb") as copy:
            while piece := source.read(_PIECE):
                self._left -= len(piece)
                if self._left < 0:
                    raise OptionError(
                        f"{redacted(url)} takes more than the {self._most / 1e9:g} GB that the files of one "
                        "video may take on this machine; raise --staging-gb."
                    )
                copy.write(piece)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """An error of this machine's disk, told apart from one of the store."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise OutputError(f"{path} cannot be written: {error.strerror or error}. Free some space.") from error


def put_folder(folder: Path, url: str, last: str) -> None:
    """Copy a folder to a store; the file `last`, which says that all is there, after all others.

    Raises:
        OutputError: The store cannot be reached or written.
    """
    fs, path = filesystem(url)
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    with reaching(url, OutputError):
        if fs.exists(f"{path}/{last}"):
            fs.rm_file(f"{path}/{last}")
        for file in sorted(files, key=lambda file: file.relative_to(folder).as_posix() == last):
            name = f"{path}/{file.relative_to(folder).as_posix()}"
            _make_parent(fs, name, url)
            fs.put_file(str(file), name)


def _make_parent(fs: Any, path: str, url: str) -> None:
    """Make the folder of a file; an object store has none."""
    if not url.startswith(_OBJECT_STORES):
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)


def put_file(file: Path, url: str) -> None:
    """Copy a file to a store.

    Raises:
        OutputError: The store cannot be reached or written.
    """
    fs, path = filesystem(url)
    with reaching(url, OutputError):
        _make_parent(fs, path, url)
        fs.put_file(str(file), path)


def short_name(text: str) -> str:
    """A name for a working folder: the same for the same text."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
