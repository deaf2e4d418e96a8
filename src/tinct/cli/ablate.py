"""`tinct ablate`: what each part of a method is worth, beside what its paper says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tinct.cli import choosing
from tinct.cli.application import app, interruptible
from tinct.cli.measure import MaxFrames, Resolution, Sequences, console, listed
from tinct.errors import OptionError
from tinct.inference.progress_bar import progress_bar

RowWeights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[ROW=]FILE",
        help="Weights for all rows that need no others, or of one row that does. May be given several times.",
    ),
]


@app.command()
def ablate(
    method: Annotated[str, typer.Argument(help=f"One of {choosing.those_where('has_ablation')}.")],
    data: Annotated[Path, typer.Option(help="The dataset, in its official layout.")],
    out: Annotated[Path, typer.Option(help="The folder for one evaluation per row, and the table.")],
    split: Annotated[str, typer.Option(help="A list of the dataset.")] = "val",
    dataset: Annotated[
        str, typer.Option(help="davis-2016, davis-2017, youtube-vos or segtrack-v2.")
    ] = "davis-2016",
    rows: Annotated[str | None, typer.Option(metavar="NAME,...", help="Only these rows.")] = None,
    weights: RowWeights = None,
    variant: choosing.Variant = None,
    preset: Annotated[
        str | None,
        typer.Option(help="From which the rows start; paper where the variant has it, else default."),
    ] = None,
    device: choosing.Device = "auto",
    fine_tune: choosing.FineTune = None,
    flow: choosing.Flow = None,
    flow_weights: choosing.FlowWeights = None,
    flow_cache: choosing.FlowCache = None,
    threads: choosing.WorkerThreads = None,
    workers: choosing.Workers = 1,
    resolution: Resolution = "480p",
    sequences: Sequences = None,
    max_frames: MaxFrames = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table in Markdown.")] = False,
) -> None:
    """Run a paper's ablation row by row, ours beside the paper's; run it again to go on."""
    from tinct.evaluation import ablation_tables
    from tinct.evaluation.ablate import Setup
    from tinct.evaluation.ablate import ablate as run_rows
    from tinct.evaluation.ablation_rows import ablation_of
    from tinct.evaluation.dataset_split import DatasetSplit
    from tinct.runs.segmenter_config import SegmenterConfig
    from tinct.zoo import check_variant, method_record

    ablation_of(method)
    if preset is None:
        presets = method_record(method).presets_of(check_variant(method, variant))
        preset = "paper" if "paper" in presets else "default"
    for_all, of_rows = parse_weights(weights or ())
    flow_chosen = choosing.flow_choice(flow, flow_weights, flow_cache)
    config = SegmenterConfig(method, variant, preset, for_all, device, fine_tune, flow_chosen)
    choosing.say_ahead(config)
    dataset_split = DatasetSplit(dataset, data, split, resolution, listed(sequences), max_frames)
    setup = Setup(dataset_split, config, of_rows, threads=threads, workers=workers)
    with interruptible(), progress_bar() as progress:
        ablation = run_rows(setup, out, rows=listed(rows), on_row=_say_row, progress=progress)
    written = ablation_tables.write_ablation(ablation, out)
    if markdown:
        print(ablation_tables.ablation_markdown(ablation))
    else:
        console().print(ablation_tables.ablation_console(ablation))
        print("\n".join(ablation_tables.ablation_lines(ablation)))
    for path in written:
        print(f"  {path}")


def parse_weights(texts: Sequence[str]) -> tuple[Path | None, dict[str, Path]]:
    """`FILE` for all rows and `ROW=FILE` for one; a file whose name has a = in it is given as `./a=b`.

    Raises:
        OptionError: Two files for the same row.
    """
    for_all: list[Path] = []
    of_rows: dict[str, Path] = {}
    for text in texts:
        row, equals, file = text.partition("=")
        if not equals or "/" in row or "." in row:
            for_all.append(Path(text))
        elif row in of_rows:
            raise OptionError(f"Two files of weights came for the row {row!r}; give one.")
        else:
            of_rows[row] = Path(file)
    if len(for_all) > 1:
        raise OptionError(
            f"{for_all[0]} and {for_all[1]} came as weights for all rows; give one, or ROW=FILE."
        )
    return (for_all[0] if for_all else None), of_rows


def _say_row(name: str, place: int, of: int) -> None:
    print(f"tinct: row {place} of {of}: {name}", file=sys.stderr)
