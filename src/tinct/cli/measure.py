"""`tinct score`, `evaluate`, `report`, `compare`, `pack` and `datasets check`: what masks are worth."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinct.cli import choosing
from tinct.cli.application import app, interruptible
from tinct.data.lists import DATASETS
from tinct.errors import OptionError, OutputError, WorkerError
from tinct.inference.progress_bar import ProgressBar, progress_bar

if TYPE_CHECKING:
    from tinct.evaluation.results import Scores

Metrics = Annotated[
    str | None,
    typer.Option(metavar="J,F,T", help="Region, contour, temporal stability; default: the protocol's."),
]
Split = Annotated[str | None, typer.Option(help="Only the sequences of this list of the dataset.")]
Resolution = Annotated[str, typer.Option(help="Of DAVIS: 480p, 1080p or Full-Resolution.")]
Sequences = Annotated[str | None, typer.Option(metavar="NAME,...", help="Only these sequences.")]
MaxFrames = Annotated[
    int | None,
    typer.Option(min=3, help="For a trial: only this number of frames from each sequence's beginning."),
]
BoundTh = Annotated[
    float, typer.Option(help="Tolerance of F: a fraction of the diagonal, from 1 on in pixels.")
]
PerFrame = Annotated[bool, typer.Option("--per-frame", help="Keep every frame's values in the JSON.")]
Csv = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write the two CSV files of the DAVIS-2017 toolkit.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the table in Markdown, times 100.")]
Dataset = Annotated[str, typer.Option(help=f"{', '.join(DATASETS)}; also the protocol.")]
Compat = Annotated[
    str | None,
    typer.Option(metavar="TOOLKIT", help="Reproduce davis2017-evaluation, davis-2016-matlab, -python."),
]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Score what is there, and say what is not.")
]


@app.command()
def score(
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="The masks: a folder of PNGs per sequence.")],
    gt: Annotated[
        Path, typer.Argument(metavar="GT", help="The truth: the dataset's root, or its annotations.")
    ],
    protocol: Annotated[str, typer.Option(help="davis-2016, davis-2017, youtube-vos, segtrack-v2 or plain.")],
    metrics: Metrics = None,
    split: Split = None,
    sequences: Sequences = None,
    bound_th: BoundTh = 0.008,
    compat: Compat = None,
    allow_missing: AllowMissing = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    resolution: Annotated[
        str | None,
        typer.Option(help="Of a DAVIS root: 480p, 1080p or Full-Resolution; default: what is there."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON.")
    ] = None,
    per_frame: PerFrame = False,
    csv: Csv = None,
    markdown: Markdown = False,
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write the report, one page with pictures.")
    ] = None,
) -> None:
    """Score masks against a truth: J, F and T."""
    from tinct.evaluation.score import score_folders, scoring_rules

    rules = scoring_rules(protocol, listed(metrics), bound_th, compat)
    _check_targets(rules.measures, json_file, per_frame, csv, report)
    died: WorkerError | None = None
    try:
        with progress_bar() as progress:
            scores = score_folders(
                pred,
                gt,
                rules,
                split=split,
                sequences=listed(sequences),
                allow_missing=allow_missing,
                resolution=resolution,
                workers=workers,
                progress=_of_stage(progress, "score"),
            )
    except WorkerError as error:
        if error.finished is None:
            raise
        died, scores = error, error.finished
    # The table first: what cannot be written must not cost a long score.
    _show(scores, markdown)
    _write_outputs(scores, json_file, per_frame, csv)
    if report is not None:
        from tinct.evaluation.report import write_report

        write_report(scores, report, predictions=pred, truth=gt, split=split)
    if died is not None:
        raise died


@app.command()
def evaluate(
    dataset: Dataset,
    root: Annotated[Path, typer.Option(help="The dataset, in its official layout.")],
    out: Annotated[Path, typer.Option(help="The folder for one run per sequence, and scores.json.")],
    split: Annotated[str | None, typer.Option(help="Its list; default: val, of youtube-vos valid.")] = None,
    method: choosing.Method = "feelvos",
    variant: choosing.Variant = None,
    preset: choosing.Preset = "default",
    weights: choosing.Weights = None,
    device: choosing.Device = "auto",
    backend: choosing.Backend = "auto",
    fine_tune: choosing.FineTune = None,
    flow: choosing.Flow = None,
    flow_weights: choosing.FlowWeights = None,
    flow_cache: choosing.FlowCache = None,
    proposals: choosing.Proposals = None,
    threads: choosing.WorkerThreads = None,
    workers: choosing.Workers = 1,
    ray: choosing.RayAddress = None,
    resolution: Resolution = "480p",
    sequences: Sequences = None,
    max_frames: MaxFrames = None,
    metrics: Metrics = None,
    bound_th: BoundTh = 0.008,
    csv: Csv = None,
    markdown: Markdown = False,
    report: Annotated[bool, typer.Option(help="Write OUT/report.html.")] = True,
) -> None:
    """Segment every sequence of a dataset, then score; run it again to go on where it stopped."""
    from tinct.evaluation.dataset_split import DatasetSplit
    from tinct.evaluation.evaluate import evaluate as evaluate_dataset
    from tinct.runs.segmenter_config import SegmenterConfig
    from tinct.zoo.hub import absolute_weights

    split = split or ("valid" if dataset == "youtube-vos" else "val")
    if ray is not None:  # other processes have other working directories
        root, weights = root.absolute(), absolute_weights(weights)
    data = DatasetSplit(dataset, root, split, resolution, listed(sequences), max_frames)
    flow_chosen = choosing.flow_choice(flow, flow_weights, flow_cache)
    config = SegmenterConfig(method, variant, preset, weights, device, fine_tune, flow_chosen)
    config = replace(config, proposals=proposals, backend=backend)
    choosing.say_ahead(config)
    rules: dict[str, Any] = {"metrics": listed(metrics), "bound_th": bound_th}
    with interruptible(), progress_bar() as progress:
        evaluation = evaluate_dataset(
            data, config, out, **rules, threads=threads, workers=workers, progress=progress, ray=ray
        )
    scores = evaluation.scores
    if scores is None:
        print(evaluation.note)
        return
    _show(scores, markdown)
    print(f"  scores  {out / 'scores.json'}")
    _write_outputs(scores, None, False, csv)
    if report:
        from tinct.evaluation.report import write_report

        truth, frames = evaluation.truth, evaluation.frames
        write_report(scores, out / "report.html", predictions=out, truth=truth, frames=frames)


@app.command()
def report(
    scores_file: Annotated[
        Path, typer.Argument(metavar="SCORES", help="JSON of `tinct score` or `evaluate`.")
    ],
    out: Annotated[Path, typer.Option(metavar="HTML", help="The page.")],
    pred: Annotated[Path | None, typer.Option(help="The masks, for pictures of the worst frames.")] = None,
    gt: Annotated[Path | None, typer.Option(help="The truth, for those pictures.")] = None,
    frames: Annotated[
        Path | None, typer.Option(help="The frames, if they do not lie beside the truth.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the plots as PNG too.")] = None,
    title: Annotated[str | None, typer.Option(help="The page's title.")] = None,
) -> None:
    """Make a page of scores: tables, curves, the worst frames, scores by attribute."""
    from tinct.data.attributes import find_attributes
    from tinct.evaluation.report import write_plots, write_report
    from tinct.evaluation.results import read_scores

    if out.exists() and out.samefile(scores_file):
        raise OptionError(f"{out} came as the scores and as the page to write; give the page another name.")
    scores = read_scores(scores_file)
    attributes = find_attributes(gt) if gt is not None else None
    write_report(scores, out, title=title, predictions=pred, truth=gt, frames=frames, attributes=attributes)
    print(out)
    for path in write_plots(scores, plots, attributes=attributes) if plots is not None else ():
        print(path)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="JSON of `tinct score` or `evaluate`.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The other; the difference is B - A.")],
    measure: Annotated[str, typer.Option(help="JF, J, F or T.")] = "JF",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison as JSON.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it in Markdown.")] = False,
) -> None:
    """Say how far two results differ, with a 95 % interval, and which sequences moved."""
    from tinct.evaluation import compare as comparing
    from tinct.evaluation.results import read_scores

    names = (str(a), str(b))
    comparison = comparing.compare(read_scores(a), read_scores(b), measure=measure, names=names)
    if json_file is not None:
        _write_json(json_file, comparing.comparison_json(comparison))
    if markdown:
        print(comparing.comparison_markdown(comparison))
    else:
        console().print(comparing.comparison_table(comparison))


@app.command()
def pack(
    pred: Annotated[Path, typer.Argument(metavar="PRED", help="The masks: a folder of PNGs per sequence.")],
    out: Annotated[Path, typer.Option(metavar="ZIP", help="The file for the server.")],
    dataset: Annotated[str, typer.Option(help="davis-2017 or youtube-vos.")],
    root: Annotated[
        Path | None, typer.Option(help="The dataset, to check names, sizes and ids against.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Its list, such as test-dev or valid.")] = None,
) -> None:
    """Check masks and write the zip that the benchmarks' servers take."""
    from tinct.evaluation.pack import pack as write_pack

    with progress_bar() as progress:
        packed = write_pack(pred, dataset, out, root=root, split=split, progress=_of_stage(progress, "pack"))
    for line in packed.lines:
        print(line)


datasets_app = typer.Typer(help="Look after datasets.", no_args_is_help=True)
app.add_typer(datasets_app, name="datasets")


@datasets_app.callback()
def _datasets() -> None:
    """Keep `tinct datasets check` two words."""


@datasets_app.command("check")
def check_dataset(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="davis-2016, davis-2017, youtube-vos, segtrack-v2 or plain.")
    ],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The dataset's folder.")],
    split: Split = None,
    resolution: Resolution = "480p",
    masks: Annotated[Path | None, typer.Option(help="Of plain: the folder of the masks.")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Decode every file, not only its head and its end.")
    ] = False,
    all_findings: Annotated[
        bool, typer.Option("--all", help="Name every file, not only the first ones.")
    ] = False,
) -> None:
    """Say what is missing, truncated, or of a wrong size or palette."""
    from tinct.data.check import check_dataset as check

    options: dict[str, Any] = {"split": split, "resolution": resolution, "masks": masks, "deep": deep}
    with progress_bar() as progress:
        found = check(name, root, **options, progress=_of_stage(progress, "check"))
    print("\n".join(found.lines) if all_findings else found.summary)
    if not found.ok:
        raise typer.Exit(1)


def listed(text: str | None) -> list[str] | None:
    """`a,b` as a list; None stays None."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise OptionError(f"{text!r} names nothing; give names separated by commas.")
    return names


def _of_stage(progress: ProgressBar | None, stage: str) -> Callable[[object, int, int], None] | None:
    """The bar as a callback after single sequences."""
    if progress is None:
        return None
    return lambda _, done, of: progress(stage, done, of)


def _check_targets(
    measures: Sequence[str], json_file: Path | None, per_frame: bool, csv: Path | None, report: Path | None
) -> None:
    """Find out before a long score what could not be written after it."""
    if per_frame and json_file is None:
        raise OptionError("--per-frame came without --json; the values of single frames go into that file.")
    for option, path in (("--json", json_file), ("--report", report)):
        if path is not None and not path.resolve().parent.is_dir():
            raise OutputError(f"There is no folder {path.parent} for {option} {path.name}; make it first.")
        if path is not None and os.path.isdir(path):  # unlike Path's, False for a name that is too long
            raise OutputError(f"{option} {path} is a folder; give the name of a file.")
    if csv is not None and csv.exists() and not csv.is_dir():
        raise OutputError(f"--csv {csv} is a file; give a folder for the two tables.")
    if csv is not None and not {"J", "F"} <= set(measures):
        raise OptionError(
            f"--csv was asked for, but only {', '.join(measures)} would be scored; the official tables "
            "hold J and F. Add --metrics J,F."
        )


def _write_outputs(scores: Scores, json_file: Path | None, per_frame: bool, csv: Path | None) -> None:
    if json_file is not None:
        from tinct.evaluation.results import write_scores

        write_scores(json_file, scores, per_frame=per_frame)
    if csv is not None:
        from tinct.evaluation.tables import write_csv

        write_csv(scores, csv, scores.settings.get("split") or "all")


def _write_json(path: Path, content: Any) -> None:
    from tinct.io.atomic import atomic_write

    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _show(scores: Scores, markdown: bool) -> None:
    from tinct.evaluation.tables import console_table, markdown_table, rule_lines

    if markdown:
        print(markdown_table(scores))
        return
    console().print(console_table(scores))
    for line in rule_lines(scores):
        print(line)


def console() -> Any:
    """A console as wide as the terminal, or wide enough for every column where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)
