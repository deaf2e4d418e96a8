"""`tinct join`: weights that were trained apart, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinct import zoo
from tinct.cli.application import app
from tinct.errors import OptionError


@app.command()
def join(
    method: Annotated[str, typer.Argument(help="The method, such as dyenet.")],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="VARIANT=FILE...", help="Trained weights, such as resnet101=runs/r/joint.safetensors."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write, FILE.safetensors.")],
) -> None:
    """Join weights that were trained apart: an ensemble's networks, in one file."""
    sha256 = zoo.join_weights(method, parse_files(files), out)
    print(f"{out}: sha256 {sha256}")


def parse_files(texts: list[str]) -> dict[str, Path]:
    """Variant → file, from texts such as "resnet101=r.safetensors".

    Raises:
        OptionError: A text is none, or a variant came twice.
    """
    files: dict[str, Path] = {}
    for text in texts:
        variant, separator, path = text.partition("=")
        if not separator or not variant or not path:
            raise OptionError(f"{text!r} came; give VARIANT=FILE, such as resnet101=r/joint.safetensors.")
        if variant in files:
            raise OptionError(f"Two files of {variant} came; give one of each variant.")
        files[variant] = Path(path)
    return files
