"""`tinct export`: a run's masks in the formats of other programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from tinct.cli.application import app
from tinct.errors import OptionError
from tinct.inference.progress_bar import progress_bar


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `tinct segment` wrote.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="palette-png, object-png, soft-png, coco, youtube-vis, overlay, cutout-prores, cutout-png "
            "or exr.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file or folder to write; RUN/exports/FORMAT by default.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="Index of the first frame.")] = 0,
    last: Annotated[
        int | None, typer.Option(min=0, help="Index of the last frame; it is exported too.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="The video, if it is not where it was.")] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=NAME", help="What an object is called, such as 1=dog. May be given several times."
        ),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE", help="Frames per second, such as 25 or 30000/1001; by default the video file's."
        ),
    ] = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Soft edges in cut-outs and EXR; of a run made with --soft.")
    ] = False,
    objects: Annotated[
        str | None, typer.Option(metavar="ID,...", help="The objects to export; all by default.")
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(min=0, help="Number of the first file; else files are named as frames."),
    ] = None,
    steady: Annotated[
        int, typer.Option(metavar="FRAMES", help="Smooth the edge over so many frames before and after.")
    ] = 0,
    fill_holes: Annotated[int, typer.Option(metavar="AREA", help="Fill holes of up to so many pixels.")] = 0,
    remove_specks: Annotated[
        int, typer.Option(metavar="AREA", help="Remove parts of up to so many pixels.")
    ] = 0,
    smooth: Annotated[float, typer.Option(metavar="PX", help="Round off the edge.")] = 0,
    matte: Annotated[
        str, typer.Option(help="Find alpha at the edge by the picture: none, guided or closed-form.")
    ] = "none",
    matte_band: Annotated[
        int, typer.Option(metavar="PX", help="How far from the edge a matte may be soft.")
    ] = 10,
    grow: Annotated[
        int, typer.Option(metavar="PX", help="Move the edge outward; inward with a number below 0.")
    ] = 0,
    feather: Annotated[
        float, typer.Option(metavar="PX", help="Soften the edge, so far to either side of it.")
    ] = 0,
) -> None:
    """Write a run's masks for another program."""
    rate = None if fps is None else parse_rate(fps)
    names = parse_names(name or [])

    from dataclasses import replace

    from tinct.interchange.exports import LabelledVideo, format_of
    from tinct.interchange.exports import export as write
    from tinct.io.video import Video
    from tinct.ops.finishing import Finishing, FinishingRule, matte_named

    one = format_of(to)
    finishing = Finishing(
        steady, fill_holes, remove_specks, smooth, matte_named(matte), matte_band, grow, feather
    )
    source = LabelledVideo.of_run(run, None if video is None else Video.open(video))
    if finishing != Finishing(matte_px=matte_band):
        source = source.finished([FinishingRule(finishing)])
    if objects is not None:
        source = source.only(parse_objects(objects))
    soft = soft or (finishing.softens and one.can_be_soft)
    if rate is not None:
        source = replace(source, rate=rate)
    with progress_bar() as progress:

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress("export", done, total)

        default = run / "exports" / f"{to}{one.suffix or ''}"
        written = write(
            source, to, out or default, first, last, names, soft=soft, start=start, progress=report
        )
    print(f"  {one.name}  {written}")


def parse_names(texts: Sequence[str]) -> dict[int, str]:
    """`1=dog` and the like as {1: "dog"}.

    Raises:
        OptionError: Not of this form, or two names for one object.
    """
    names: dict[int, str] = {}
    for text in texts:
        parts = re.fullmatch(r"(\d{1,3})=(.+)", text, re.ASCII)
        if parts is None:
            raise OptionError(f"--name {text!r} came; give an object's id and its name, such as 1=dog.")
        if int(parts[1]) in names:
            raise OptionError(f"Two names came for object {int(parts[1])}; give one.")
        names[int(parts[1])] = parts[2].strip()
    return names


def parse_objects(text: str) -> list[int]:
    """`1,3` as [1, 3].

    Raises:
        OptionError: Not of this form.
    """
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", text, re.ASCII):
        raise OptionError(f"--objects {text!r} came; give ids with commas between them, such as 1,3.")
    return [int(part) for part in text.split(",")]


def parse_rate(text: str) -> Fraction:
    """Frames per second, exactly: `25`, `23.976` (as 23976/1000) or `24000/1001`.

    Raises:
        OptionError: Not a number above 0 and up to 1000.
    """
    from tinct.interchange.exports import parsed_rate

    return parsed_rate(text, "--fps")
