"""The server: starts, prints its address, opens it in a browser, and ends at Ctrl-C."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinct.errors import OptionError, TinctError
from tinct.io.optional import import_optional
from tinct.runs.segmenter_config import SegmenterConfig
from tinct.web.limits import Limits

if TYPE_CHECKING:
    from tinct.web.frames import FrameCache
    from tinct.web.project import Project
    from tinct.web.services import Services

DEFAULT_PORT = 8765
"""The port that is tried first; if it is taken and no port was given, a free one is used."""


def default_folder() -> Path:
    """The default folder of projects, visible since it holds people's work."""
    return Path.home() / "tinct-projects"


def default_threads() -> int:
    """All processor threads but one, which keeps the page responsive."""
    return max(1, (os.cpu_count() or 2) - 1)


@dataclass(frozen=True)
class ServerOptions:
    """How a server is started.

    Attributes:
        videos: Files and folders of frames that are opened at the start, and never changed.
        projects: The folder of projects.
        host: The address to bind to; beyond loopback a token is required.
        port: The port to listen on; None for `DEFAULT_PORT` or a free one.
        browser: Whether to open the page.
        config: The segmenter that is loaded at the start, and the default of runs.
        limits: Limits of videos and uploads.
        threads: Processor threads for computing; by default all but one.
        command: The command line of the worker; None for tinct's own.
        promptable: What answers clicks, as in `Services`.
    """

    videos: Sequence[Path] = ()
    projects: Path = field(default_factory=default_folder)
    host: str = "127.0.0.1"
    port: int | None = None
    browser: bool = True
    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    limits: Limits = field(default_factory=Limits)
    threads: int = field(default_factory=default_threads)
    command: Sequence[str] | None = None
    promptable: str | None = None


def serve(options: ServerOptions, say: Callable[[str], None] = print) -> None:
    """Serve until Ctrl-C.

    Args:
        options: How the server is started.
        say: Called with the address as soon as the page can be opened.

    Raises:
        OptionError: Starlette or uvicorn are missing, or the address cannot be bound to.
        OutputError: The folder of projects cannot be used, or another server uses it.
    """
    check_installed()
    from tinct.web.events import Events
    from tinct.web.frames import FrameCache
    from tinct.web.library import Library
    from tinct.web.runner import Runner
    from tinct.web.services import Services
    from tinct.web.worker_process import worker_command
    from tinct.web.writer_locks import WriterLocks

    library = Library(options.projects, options.limits)
    first = [library.add_video(path) for path in options.videos]
    listening = listen(options.host, options.port)
    events = Events()
    command = list(options.command or worker_command(options.config))
    frames = FrameCache(options.limits.frame_cache_bytes)
    runner = Runner(command, options.threads, events, partial(_prefetch_near, frames))
    runner.worker.start()  # networks load while the page opens
    services = Services(
        options.limits, library, runner, events, WriterLocks(events), frames, options.promptable
    )
    try:
        threading.Thread(target=library.open_videos, name="opening videos", daemon=True).start()
        _run(options, services, listening, first, say)
    finally:
        runner.close()
        library.close()


def _prefetch_near(frames: FrameCache, project: Project, index: int) -> None:
    with suppress(TinctError):  # a missing video is reported when a frame is requested
        frames.prefetch(project.id, project.video, index)


def check_installed() -> None:
    """OptionError if the extra `[app]` is not installed."""
    for module in ("starlette", "uvicorn", "python_multipart"):
        import_optional(module, "app", "`tinct app`")


def listen(host: str, port: int | None) -> socket.socket:
    """Bind a socket.

    Raises:
        OptionError: The address is not one of this machine, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = [DEFAULT_PORT, 0] if port is None else [port]
    for number in wanted:
        listening = socket.socket(family, socket.SOCK_STREAM)
        if os.name != "nt":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host.strip("[]"), number))
        except (OSError, OverflowError) as error:
            listening.close()
            reason = getattr(error, "strerror", None) or error
            if number == wanted[-1]:
                raise OptionError(
                    f"The page cannot be served at {host}:{number}: {reason}. Choose another --port, or a "
                    "--host that is an address of this machine."
                ) from error
        else:
            return listening
    raise AssertionError


def _run(
    options: ServerOptions,
    services: Services,
    listening: socket.socket,
    first: Sequence[str],
    say: Callable[[str], None],
) -> None:
    import uvicorn

    from tinct.web.app import make_app
    from tinct.web.safety import Guard, is_loopback, known_hosts

    token = None if is_loopback(options.host) else secrets.token_urlsafe(24)
    app = Guard(make_app(services, options.config), known_hosts(options.host), token)
    address = _address(options.host, listening.getsockname()[1], first, token)

    class Server(uvicorn.Server):
        """Calls `say` when it listens, and closes open streams at its end."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            say(f"tinct: the page is at {address}")
            if options.browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            services.events.close()
            await super().shutdown(sockets)

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        lifespan="off",
        ws="none",
    )
    Server(config).run(sockets=[listening])


def _address(host: str, port: int, first: Sequence[str], token: str | None) -> str:
    """The URL to open; a server on all interfaces is called by this machine's name."""
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    name = f"[{name}]" if ":" in name else name
    query = "" if token is None else f"?token={token}"
    return f"http://{name}:{port}/{query}" + (f"#{first[0]}" if first else "")
