"""`tinct app`: options, addresses, and a real server on a free port."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="needs the extra [app]")
pytest.importorskip("uvicorn", reason="needs the extra [app]")
pytest.importorskip("python_multipart", reason="needs the extra [app]")

from tinct import cli
from tinct.errors import OptionError, OutputError
from tinct.web import server
from tinct.web.library import Library
from tinct.web.limits import Limits
from tinct.web.server import ServerOptions


def options_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> ServerOptions:
    """What `tinct app words...` would serve."""
    found: list[ServerOptions] = []
    monkeypatch.setattr(server, "serve", lambda options, say: found.append(options))
    monkeypatch.setattr(sys, "argv", ["tinct", "app", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    return found[0]


def test_the_defaults_are_loopback_and_a_folder_in_plain_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    options = options_of(monkeypatch)
    assert (options.host, options.port, options.browser) == ("127.0.0.1", None, True)
    assert options.projects == Path.home() / "tinct-projects"
    assert options.config.method == "feelvos"
    assert options.threads >= 1


def test_every_option_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = options_of(
        monkeypatch,
        *("a.mp4", "b", "--host", "0.0.0.0", "--port", "99", "--projects", str(tmp_path), "--no-browser"),
        *("--method", "osvos", "--preset", "fast", "--threads", "3", "--max-upload", "0.5"),
        *("--max-frames", "10", "--max-pixels", "1000"),
    )
    assert list(options.videos) == [Path("a.mp4"), Path("b")]
    assert (options.host, options.port, options.projects, options.browser) == ("0.0.0.0", 99, tmp_path, False)
    assert (options.config.method, options.config.preset, options.threads) == ("osvos", "fast", 3)
    assert options.limits == Limits(upload_bytes=500_000_000, frames=10, pixels=1000)


def test_the_address_names_the_project_and_carries_the_token_where_one_is_asked() -> None:
    assert server._address("127.0.0.1", 8765, ["a-1"], None) == "http://127.0.0.1:8765/#a-1"
    assert server._address("192.168.0.7", 80, [], "t") == "http://192.168.0.7:80/?token=t"
    assert server._address("::1", 80, [], None) == "http://[::1]:80/"


def test_an_address_that_cannot_be_served_at() -> None:
    with server.listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(OptionError, match="Choose another --port"):
            server.listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(OptionError, match="cannot be served at"):
        server.listen("203.0.113.1", 0)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(OptionError, match=r"pip install 'tinct\[app\]'"):
        server.check_installed()


def test_two_servers_share_a_folder_but_no_project(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "clip" / "0.png")
    first = Library(tmp_path / "projects", Limits())
    first.add_video(tmp_path / "clip")
    first.open_videos()
    for closed in (False, True):
        second = Library(tmp_path / "projects", Limits())
        [listed] = second.summaries()
        assert listed["status"] == ("ready" if closed else "failed")
        assert closed or "is open in another tinct app" in listed["error"]
        second.close()
        first.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be used"):
        Library(tmp_path / "file", Limits())


def test_a_server_listens_says_so_opens_the_page_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import uvicorn

    said: list[str] = []
    opened: list[str] = []
    answers: list[Any] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    main_loop = uvicorn.Server.main_loop

    async def one_call(self: Any) -> None:
        import asyncio

        address = said[0].split()[-1]
        answers.append(await asyncio.to_thread(fetch, address + "api/projects"))
        self.should_exit = True
        await main_loop(self)

    monkeypatch.setattr(uvicorn.Server, "main_loop", one_call)
    worker = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    server.serve(ServerOptions(projects=tmp_path / "p", port=0, command=worker), said.append)
    assert answers == [b"[]"]
    for _ in range(500):
        if opened:
            break
        time.sleep(0.01)
    assert opened == [said[0].split()[-1]]


def fetch(address: str) -> bytes:
    with urllib.request.urlopen(address) as answer:
        body: bytes = answer.read()
    return body


def test_the_server_does_without_torch() -> None:
    program = (
        "import sys, tinct.web.server, tinct.web.app, tinct.web.safety\n"
        "from tinct.web.run_routes import methods\n"
        "from tinct.runs.segmenter_config import SegmenterConfig\n"
        "first = methods(SegmenterConfig('osvos', preset='fast'))[0]\n"
        "assert (first['presets'][0], first['method']) == ('fast', 'osvos')\n"
        "print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
