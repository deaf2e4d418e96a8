"""`tinct segment`: the masks of a video from that of its first frame."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinct.cli import choosing
from tinct.cli.application import app
from tinct.cli.progress import progress_bar
from tinct.errors import OptionError

if TYPE_CHECKING:
    from tinct.evaluation.predict import RunReport
    from tinct.shapes import LabelMap
    from tinct.video import Video


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
    method: choosing.Method = "feelvos",
    variant: choosing.Variant = None,
    preset: choosing.Preset = "default",
    weights: choosing.Weights = None,
    device: choosing.Device = "auto",
    fine_tune: choosing.FineTune = None,
    flow: choosing.Flow = None,
    flow_weights: choosing.FlowWeights = None,
    flow_cache: choosing.FlowCache = None,
    proposals: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.json|DETECTOR",
            help="Boxes in which objects may lie (dyenet): a file, frame name to [[x0, y0, x1, y1, score], "
            "...], or one of torchvision's detectors; by default the network's own.",
        ),
    ] = None,
    explain: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.png|FILE.json",
            help="Write why each object was found or lost (dyenet): a timeline, or every decision. May be "
            "given twice.",
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="forward|backward|both",
            help="From each mask to the frames after it (by default), to those before it, or to both: then "
            "each frame is taken from the nearest mask.",
        ),
    ] = None,
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways",
            help="The same as --direction both.",
        ),
    ] = False,
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
    if both_ways and direction not in (None, "both"):
        raise OptionError(f"--both-ways came with --direction {direction}; give one of the two.")

    from tinct.directions import check_direction
    from tinct.evaluation.choice import SegmenterChoice
    from tinct.evaluation.explanation import check_explanations, write_explanation
    from tinct.evaluation.predict import RunInterrupted, segment_to_folder
    from tinct.loop_news import loop_told_to
    from tinct.video import Video

    files = explain or []
    choosing.check_explain(method, files)
    check_explanations(files)

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    clip = Video.open(video)
    prompts = _read_prompts(clip, prompt_files, repair_mask)
    choice = SegmenterChoice(
        method,
        variant,
        preset,
        weights,
        device,
        fine_tune,
        choosing.flow_choice(flow, flow_weights, flow_cache),
        check_direction("both" if both_ways else direction or "forward"),
        proposals=proposals,
    )
    choosing.say_ahead(choice)
    segmenter, info = choice.build(clip, prompts=prompts), choice.described()
    choosing.say_whether_it_streams(segmenter, method)

    def explained(account: Mapping[str, Any]) -> None:
        for file in files:
            write_explanation(account, file)

    try:
        with progress_bar() as progress, loop_told_to(explanation=explained):
            report = segment_to_folder(
                segmenter,
                clip,
                prompts,
                out,
                backward=choice.direction == "backward",
                resume=resume,
                overlay=overlay,
                info={**info, "video": video.resolve().name},
                progress=progress,
            )
    except RunInterrupted as interruption:
        print(f"tinct: {interruption}", file=sys.stderr)
        raise typer.Exit(130) from None
    _summarise(report)
    for file in files if report.seconds_per_frame is not None else []:
        print(f"  why      {file}")


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
