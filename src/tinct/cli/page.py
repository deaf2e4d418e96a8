"""`tinct app`: the page on which people paint, watch, correct and export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinct.cli import choosing
from tinct.cli.application import app


@app.command("app")
def serve_page(
    video: Annotated[
        list[Path] | None,
        typer.Argument(help="Videos, folders of frames or projects (.tinct); the page opens others too."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="The address to serve at. Beyond this machine, the page asks for a secret token."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port; 8765, or a free one, by default.")
    ] = None,
    projects: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the work is kept; tinct-projects in your home by default."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    method: choosing.Method = "feelvos",
    preset: choosing.Preset = "default",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads for computing; all but one by default.")
    ] = None,
    max_upload: Annotated[
        float, typer.Option(min=0.001, metavar="GB", help="The largest upload, in gigabytes.")
    ] = 4.0,
    max_frames: Annotated[int, typer.Option(min=1, help="The longest video, in frames.")] = 100_000,
    max_pixels: Annotated[int, typer.Option(min=1, help="The largest frame, in pixels.")] = 40_000_000,
) -> None:
    """Open the page: paint, watch, correct, export."""
    from tinct import zoo
    from tinct.runs.segmenter_config import SegmenterConfig
    from tinct.web.limits import Limits
    from tinct.web.server import ServerOptions, default_folder, default_threads, serve

    zoo.method_record(method)
    limits = Limits(upload_bytes=int(max_upload * 10**9), frames=max_frames, pixels=max_pixels)
    options = ServerOptions(
        videos=video or (),
        host=host,
        port=port,
        browser=browser,
        config=SegmenterConfig(method, preset=preset),
        limits=limits,
        projects=projects or default_folder(),
        threads=threads or default_threads(),
    )
    serve(options, lambda line: print(line, flush=True))
