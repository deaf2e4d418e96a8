"""`tinct compare-methods`: several methods over one clip, side by side on a page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tinct.cli import choosing
from tinct.cli.application import app
from tinct.cli.segment import parse_mask
from tinct.errors import OptionError


@app.command("compare-methods")
def compare_methods(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A video file, or a folder of frames.")],
    mask: Annotated[
        list[str], typer.Argument(metavar="MASK...", help="Painted masks, as for `tinct segment --mask`.")
    ],
    methods: Annotated[
        str, typer.Option(metavar="METHOD[:VARIANT],...", help="Such as feelvos,sam2:large,edgetam.")
    ],
    out: Annotated[Path, typer.Option(help="The folder for methods.html and a run folder of each method.")],
    preset: choosing.Preset = "default",
    device: choosing.Device = "auto",
    threads: choosing.Threads = None,
) -> None:
    """Run several methods over one clip, and make a page: masks, seconds, memory, agreement."""
    from tinct.evaluation.side_by_side import MethodRun, finished_run, parse_methods, write_page
    from tinct.io.video import Video

    chosen = parse_methods(methods)
    options = ["--preset", preset, "--device", device, "--no-overlay", "--resume"]
    options += [] if threads is None else ["--threads", str(threads)]
    options += [word for file in mask for word in ("--mask", file)]
    video = Video.open(clip)
    runs: list[MethodRun] = []
    for method, variant in chosen:
        folder = out / f"{method}_{variant}"
        words = ["segment", str(clip), *options, "--method", method, "--variant", variant]
        print(f"tinct: {method} {variant}", file=sys.stderr)
        failure = run_apart([*words, "--out", str(folder)])
        if failure:
            print(f"tinct: {method} {variant}: {failure}", file=sys.stderr)
        runs.append(
            MethodRun(method, variant, folder, failure) if failure else finished_run(method, variant, folder)
        )
    out.mkdir(parents=True, exist_ok=True)
    annotated = {parse_mask(file)[0] for file in mask}
    write_page(out / "methods.html", video, annotated, runs)
    for run in runs:
        seconds = "no masks" if run.failure else f"{run.seconds_per_frame or 0:.3f} s a frame"
        print(f"{run.name:<24}{seconds}")
    print(f"  page  {out / 'methods.html'}")
    if all(run.failure for run in runs):
        raise OptionError(f"No method gave masks; {runs[0].name}: {runs[0].failure}")


def run_apart(words: Sequence[str]) -> str:
    """Run a verb in a process of its own, so that its memory is its own; what went wrong, or nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tinct", *words], stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    said = next((line for line in lines if "error: " in line), lines[-1])
    return said.partition("error: ")[2] or said
