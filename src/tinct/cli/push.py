"""`tinct push`: weights and their model card to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinct.cli.application import app


@app.command()
def push(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="RUN-OR-WEIGHTS", help="What `tinct train` wrote, or a file of weights of tinct."
        ),
    ],
    repo: Annotated[str, typer.Argument(metavar="USER/REPO", help="On the hub; made if it is not there.")],
    licence: Annotated[str, typer.Option(help="Of the weights, as the hub names it.")] = "apache-2.0",
    private: Annotated[bool, typer.Option("--private", help="Make the repository a private one.")] = False,
    dry_run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write what would be uploaded there, and upload nothing."),
    ] = None,
) -> None:
    """Upload weights with their model card, for `--weights hf://USER/REPO`."""
    import tempfile

    from tinct.zoo.cards import lay_out
    from tinct.zoo.hub import push_folder

    with tempfile.TemporaryDirectory() as scratch:
        folder = dry_run or Path(scratch)
        sha256 = lay_out(weights, folder, repo, licence)
        if dry_run is None:
            address = push_folder(folder, repo, f"Weights with the SHA-256 {sha256[:12]}", private=private)
            print(f"{address}\n  use     --weights hf://{repo}")
        else:
            print(f"{dry_run}: {', '.join(sorted(path.name for path in dry_run.iterdir()))}")
    print(f"  sha256  {sha256}")
