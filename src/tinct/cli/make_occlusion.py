"""`tinct datasets make-occlusion`: clips in which objects hide and leave and come back."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tinct.cli.measure import datasets_app
from tinct.errors import OptionError
from tinct.inference.progress_bar import progress_bar


@datasets_app.command("make-occlusion")
def make_occlusion(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="The folder for the clips; a DAVIS-2017 root.")
    ],
    stills: Annotated[Path | None, typer.Option(help="Photos with object masks.")] = None,
    data: Annotated[Path | None, typer.Option(help="Videos in the layout of DAVIS-2016.")] = None,
    data_split: Annotated[str, typer.Option(help="The list of DATA to take; none to learn from.")] = "dev",
    split: Annotated[str, typer.Option(help="What the new list is called.")] = "occlusion",
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 30,
    frames: Annotated[str, typer.Option(metavar="LEAST,MOST", help="Of a clip.")] = "40,60",
    size: Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Of a frame, in pixels.")] = "480x854",
    seed: Annotated[int, typer.Option(min=0, help="Other clips.")] = 0,
    training: Annotated[
        bool, typer.Option("--training", help="Take the photos that are not held out: clips to learn from.")
    ] = False,
) -> None:
    """Make clips in which objects hide, leave and come back, with exact truth.

    Photos are those that are held out of training; see the page on evaluation.
    """
    from tinct.data.davis import Davis
    from tinct.data.held_out import held_out
    from tinct.data.occlusion.clips import OcclusionClips
    from tinct.data.occlusion.files import write_occlusion_split
    from tinct.data.occlusion.objects import BackgroundPool, ObjectPool
    from tinct.data.occlusion.plan import OcclusionOptions
    from tinct.data.static_images import StaticImages

    if stills is None and data is None:
        raise OptionError("Clips are made from pictures with masks; give --stills, --data, or both.")
    rows, columns = _two_numbers(size, "x", "--size", "480x854")
    least, most = _two_numbers(frames, ",", "--frames", "40,60")
    photos = None
    if stills is not None:
        photos = StaticImages(stills, without=held_out) if training else StaticImages(stills, only=held_out)
    videos = None if data is None else Davis(data, data_split)
    options = OcclusionOptions(size=(rows, columns), frames=(least, most), seed=seed)
    made = OcclusionClips(ObjectPool(photos, videos), BackgroundPool(photos, videos), options)
    with progress_bar() as progress:
        print(write_occlusion_split(made, root, split, clips, command=_command(), progress=progress))


def _two_numbers(text: str, mark: str, option: str, example: str) -> tuple[int, int]:
    words = text.split(mark)
    if len(words) != 2 or not all(word.strip().isdecimal() for word in words):
        raise OptionError(f"{option} {text!r} came; give two numbers, such as {example}.")
    return int(words[0]), int(words[1])


def _command() -> str:
    """The command line as anyone could repeat it: folders by their last name."""
    return shlex.join(["tinct", *(Path(w).name if "/" in w else w for w in sys.argv[1:])])
