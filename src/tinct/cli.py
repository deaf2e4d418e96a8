"""The command line: `tinct segment`, `tinct models`, `tinct train`.

Verbs are plain functions that import what they need when they run: `tinct --help` loads neither
torch nor numpy.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import tinct
from tinct.errors import OptionError, TinctError

if TYPE_CHECKING:
    from tinct.evaluation.predict import Progress, RunReport
    from tinct.segmenter import StreamingSegmenter, VideoSegmenter
    from tinct.shapes import LabelMap
    from tinct.video import Video

# No rich help: plain help is drawn in a third of the time, and reads well everywhere.
app = typer.Typer(
    name="tinct",
    help="Paint one frame, and every frame of the video is coloured.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)


def _show_version(wanted: bool) -> bool:
    if wanted:
        print(f"tinct {tinct.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (or set TINCT_DEBUG=1).")
    ] = False,
) -> None:
    if debug:
        os.environ["TINCT_DEBUG"] = "1"


@app.command()
def segment(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of frames.")],
    mask: Annotated[
        list[str],
        typer.Option(
            metavar="[INDEX:]PNG",
            help="The painted mask of the first frame, or INDEX:PNG for that of another frame (the first "
            "is 0). May be given several times.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for masks/, overlay.mp4 and run.json.")],
    method: Annotated[str, typer.Option(help="See `tinct models`.")] = "feelvos",
    variant: Annotated[str | None, typer.Option(help="See `tinct models`.")] = None,
    preset: Annotated[
        str, typer.Option(help="default, paper (nothing beyond the paper) or fast.")
    ] = "default",
    weights: Annotated[Path | None, typer.Option(help="A safetensors file instead of the package's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    repair_mask: Annotated[
        bool,
        typer.Option("--repair-mask", help="Take stray colours of blurred edges for the nearest object."),
    ] = False,
    overlay: Annotated[bool, typer.Option(help="Make the film with the masks drawn in.")] = True,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; all of them by default.")
    ] = None,
) -> None:
    """Segment a video from the mask of its first frame."""
    prompt_files = dict(parse_mask(text) for text in mask)
    if len(prompt_files) < len(mask):
        raise OptionError("Two masks came for the same frame; give one mask per frame.")

    from tinct.evaluation.predict import RunInterrupted, segment_to_folder
    from tinct.video import Video

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    clip = Video.open(video)
    prompts = _read_prompts(clip, prompt_files, repair_mask)
    segmenter, info = _build(method, variant, preset, weights, device)
    try:
        with _progress_bar() as progress:
            report = segment_to_folder(
                segmenter,
                clip,
                prompts,
                out,
                resume=resume,
                overlay=overlay,
                info={**info, "video": video.resolve().name},
                progress=progress,
            )
    except RunInterrupted as interruption:
        print(f"tinct: {interruption}", file=sys.stderr)
        raise typer.Exit(130) from None
    _summarise(report)


def parse_mask(text: str) -> tuple[int, Path]:
    """`INDEX:PNG` or `PNG` (frame 0); only digits before the first colon count as an index.

    A file whose own name begins with digits and a colon is given as `./3:a.png`.
    """
    index = re.match(r"(\d+):(.+)", text, re.ASCII)
    return (int(index[1]), Path(index[2])) if index else (0, Path(text))


def _read_prompts(video: Video, files: Mapping[int, Path], repair: bool) -> dict[int, LabelMap]:
    from tinct.mask_files import read_mask

    return {
        index: read_mask(path, frame_size=video.size, repair=repair) for index, path in sorted(files.items())
    }


def _build(
    method: str, variant: str | None, preset: str, weights: Path | None, device: str
) -> tuple[StreamingSegmenter[Any] | VideoSegmenter, dict[str, Any]]:
    """The segmenter, and what `run.json` says of it."""
    from tinct import zoo

    variant = zoo.check_variant(method, variant)
    segmenter = zoo.build_segmenter(method, variant, preset, weights, device)
    return segmenter, {
        "method": method,
        "variant": variant,
        "preset": preset,
        "weights_sha256": zoo.resolve_weights(method, variant, weights)[1],
    }


@contextmanager
def _progress_bar() -> Iterator[Progress | None]:
    """A bar on stderr with frames per second and the time left; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    tasks: dict[str, Any] = {}

    def progress(stage: str, done: int, frames: int) -> None:
        if stage not in tasks:
            # A resumed run starts part of the way along; the part before it took no time.
            tasks[stage] = bar.add_task(stage, total=frames, completed=done, rate="")
            return
        speed = bar.tasks[tasks[stage]].speed
        bar.update(tasks[stage], completed=done, rate=f"{speed:.1f} fps" if speed else "")

    with bar:
        yield progress


def _summarise(report: RunReport) -> None:
    objects = ", ".join(str(i) for i in report.object_ids)
    print(f"{report.frames} masks of object{'s' if len(report.object_ids) != 1 else ''} {objects}")
    if report.seconds_per_frame is None:
        print("  every mask was there already")
    else:
        speed = 1 / report.seconds_per_frame if report.seconds_per_frame else float("inf")
        print(f"  {report.seconds_per_frame:.3f} s per frame ({speed:.1f} fps)")
    print(f"  masks    {report.masks_folder}")
    if report.overlay is not None:
        print(f"  overlay  {report.overlay}")


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """List methods, variants, weights and scores."""
    rows = list_models()
    if as_json:
        import json

        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "variant", "weights", "scores (ours)", "scores (the paper's)")
    for row in rows:
        file = row["weights"]
        known = f"{file['megabytes']} MB, {file['sha256'][:8]}" if file else "not in the package"
        name = f"{row['variant']} (default)" if row["default"] else row["variant"]
        table.add_row(row["method"], name, known, _lines(row["scores"]), _lines(row["paper_scores"]))
    Console().print(table)


def list_models() -> list[dict[str, Any]]:
    """One row per method and variant, as `tinct models --json` prints them."""
    from dataclasses import asdict

    from tinct import zoo

    rows: list[dict[str, Any]] = []
    for method, record in zoo.METHODS.items():
        for variant, description in record.variants.items():
            card = zoo.weights_record(method, variant)
            file = None
            if card is not None:
                size = round(card.path.stat().st_size / 1e6, 1) if card.path.exists() else None
                file = {"file": card.file, "sha256": card.sha256, "megabytes": size}
            row: dict[str, Any] = {
                "method": method,
                "variant": variant,
                "description": description,
                "title": record.title,
            }
            row |= {
                "default": variant == record.default_variant,
                "presets": list(zoo.PRESETS),
                "weights": file,
            }
            row["scores"] = {name: asdict(score) for name, score in (card.scores if card else {}).items()}
            papers = record.paper_scores if variant == record.paper_variant else {}
            row["paper_scores"] = {name: asdict(score) for name, score in papers.items()}
            rows.append(row)
    return rows


def _lines(scores: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(f"{name} {score['value']:.3f}" for name, score in scores.items())


train_app = typer.Typer(help="Train a method by its recipe.", no_args_is_help=True)
app.add_typer(train_app, name="train")


@train_app.callback()
def _train() -> None:
    """Keep `tinct train METHOD` a group of verbs, even while there is one method."""


@train_app.command("feelvos")
def train_feelvos(
    data: Annotated[Path, typer.Option(help="Data in the layout of DAVIS.")],
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    split: Annotated[str, typer.Option(help="The list to train on.")] = "train",
    year: Annotated[str, typer.Option(help="Of the lists, as in ImageSets/2016.")] = "2016",
    stills: Annotated[
        Path | None, typer.Option(help="Photos with object masks, for the first stage.")
    ] = None,
    variant: Annotated[str, typer.Option(help="See `tinct models`.")] = "mobilenetv2",
    steps: Annotated[
        str | None, typer.Option(metavar="NAME=COUNT,...", help="Steps of stages: stills=1200,video=1900.")
    ] = None,
    dev: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Measure J and F on it at the end of every stage.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    init: Annotated[Path | None, typer.Option(help="Start from these weights, not from ImageNet's.")] = None,
    imagenet: Annotated[
        str, typer.Option(help="auto, hub, registry, or a file with ImageNet weights.")
    ] = "auto",
    mixed_precision: Annotated[str, typer.Option(help="auto, no, bf16 or fp16.")] = "auto",
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Stay on the processor even where there is a GPU.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make clips.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads of the network.")] = None,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
    stop_after: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="End this slice after 30m, 1.5h, ...; then --resume."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train FEELVOS; the result is OUT/video.safetensors, for `tinct segment --weights`."""
    from tinct.training.arguments import parse_duration, parse_steps
    from tinct.training.interruption import TrainingInterrupted
    from tinct.training.options import LoopOptions
    from tinct.training.progress import shown_progress
    from tinct.training.recipes import feelvos

    options = LoopOptions(
        out,
        "feelvos",
        variant,
        seed=seed,
        mixed_precision=mixed_precision,
        cpu=cpu,
        workers=workers,
        save_every=save_every,
        stop_after_s=None if stop_after is None else parse_duration(stop_after),
        resume=resume,
    )
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    try:
        with shown_progress() as progress:
            outcome = feelvos.train_feelvos(
                feelvos.Data(data, split, stills, year),
                options,
                steps=None if steps is None else parse_steps(steps),
                imagenet=imagenet,
                weights=init,
                dev=dev,
                progress=progress,
            )
    except TrainingInterrupted as interruption:
        print(f"tinct: {interruption}", file=sys.stderr)
        raise typer.Exit(128 + interruption.signal_number) from None
    print(outcome.summary(out))


def main() -> None:
    """The entry point: runs a verb, and turns what went wrong into a message and an exit code.

    Exit codes: 0 done, 1 an error of tinct's own, 2 a command that cannot be understood, 130 Ctrl-C.
    """
    try:
        app()
    except TinctError as error:
        if os.environ.get("TINCT_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        print(f"tinct: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("tinct: interrupted.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
