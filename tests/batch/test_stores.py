from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tinct.batch.stores import (
    Staging,
    absolute,
    joined,
    local_path,
    name_of,
    put_folder,
    read_bytes,
    version_of,
)
from tinct.errors import OptionError, OutputError

fsspec = pytest.importorskip("fsspec")


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("ETag", '"one"')
        super().end_headers()

    def do_GET(self) -> None:
        if self.path.startswith("/private"):
            self.send_error(403)
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of an HTTP server of `tmp_path`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{one.server_address[1]}"
        one.shutdown()
        thread.join()


def test_paths_and_addresses_are_told_apart() -> None:
    assert local_path("a/b.mp4") == Path("a/b.mp4")
    assert local_path("file:///a%20b/c.mp4") == Path("/a b/c.mp4")
    assert local_path("s3://bucket/c.mp4") is None
    assert joined("s3://bucket/clips", "c.mp4") == "s3://bucket/clips/c.mp4"
    assert joined("/clips", "c.mp4") == "/clips/c.mp4"
    assert joined("/clips", "gs://b/c.mp4") == "gs://b/c.mp4"
    assert name_of("https://host/a/c%20d.mp4?x=1") == "c d.mp4"
    assert absolute("clips") == str(Path.cwd() / "clips")


def test_a_file_of_a_web_server_is_staged_and_goes(tmp_path: Path, server: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"film" * 1000)
    with Staging(tmp_path / "cache", 10_000) as staging:
        copy = staging.fetch(f"{server}/clip.mp4")
        assert (copy.name, copy.read_bytes()) == ("clip.mp4", b"film" * 1000)
    assert not any((tmp_path / "cache").iterdir())
    assert version_of(f"{server}/clip.mp4") == '"one" 4000'


def test_files_of_one_video_may_take_so_much(tmp_path: Path, server: str) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"film" * 1000)
    with (
        Staging(tmp_path / "cache", 3999) as staging,
        pytest.raises(OptionError, match=r"more than the 3\.999e-06 GB.*--staging-gb"),
    ):
        staging.fetch(f"{server}/clip.mp4")
    assert not any((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("path", "reason"),
    [("none.mp4", "HTTP Error 404"), ("private/a.mp4?token=hunter22", "access was refused")],
)
def test_what_a_server_refuses_is_one_line_without_credentials(
    tmp_path: Path, server: str, path: str, reason: str
) -> None:
    with Staging(tmp_path / "cache", 10) as staging, pytest.raises(OptionError, match=reason) as error:
        staging.fetch(f"{server}/{path}")
    assert "hunter22" not in str(error.value)
    assert error.value.__cause__ is None


# Python leaves the socket of a connection that was refused to its collector of garbage.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with Staging(tmp_path, 10) as staging, pytest.raises(OptionError, match="cannot be reached"):
        staging.fetch("http://127.0.0.1:9/clip.mp4")


def test_a_store_without_its_package_says_so() -> None:
    with pytest.raises(OptionError, match="nowhere://bucket/x cannot be reached"):
        read_bytes("nowhere://bucket/x")


def test_a_folder_of_frames_is_staged_and_an_output_put(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for index in range(3):
        memory.pipe(f"/bucket/clip/{index}.png", bytes([index]))
    with Staging(tmp_path / "cache", 100) as staging:
        frames = staging.fetch("memory://bucket/clip")
        assert {path.name: path.read_bytes() for path in frames.iterdir()} == {
            "0.png": b"\0",
            "1.png": b"\1",
            "2.png": b"\2",
        }
    run = tmp_path / "run"
    (run / "masks").mkdir(parents=True)
    for name in ("masks/0.png", "result.json", ".lock"):
        (run / name).write_text(name)
    put_folder(run, "memory://bucket/out/clip", "result.json")
    assert memory.find("/bucket/out") == ["/bucket/out/clip/masks/0.png", "/bucket/out/clip/result.json"]
    assert read_bytes("memory://bucket/out/clip/result.json") == b"result.json"
    assert read_bytes("memory://bucket/out/other/result.json") is None


def test_an_upload_that_fails_leaves_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/half/clip/result.json", b"of an earlier call")
    run = tmp_path / "run"
    run.mkdir()
    (run / "result.json").touch()
    (run / "z.png").touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("secret_key=hunter22 is wrong")

    monkeypatch.setattr(type(memory), "put_file", refuse)
    with pytest.raises(OutputError, match="access was refused; check the credentials") as error:
        put_folder(run, "memory://half/clip", "result.json")
    assert "hunter22" not in str(error.value)
    assert not memory.exists("/half/clip/result.json")
