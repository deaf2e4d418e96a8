"""`tinct export-model`: a network as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinct.cli import choosing
from tinct.cli.application import app


@app.command("export-model")
def export_model(
    method: Annotated[str, typer.Argument(help="feelvos, osvos or masktrack.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    preset: choosing.Preset = "default",
    weights: choosing.Weights = None,
    half: Annotated[bool, typer.Option("--half", help="Store weights in half precision.")] = False,
) -> None:
    """Write a compact network as ONNX graphs, with a JSON that says how to use them."""
    from tinct.zoo.export_model import export_model as write

    for path in write(method, to, preset=preset, weights=weights, half=half):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
