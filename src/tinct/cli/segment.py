"""`tinct segment`: the masks of a video from that of its first frame, or from clicks."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinct import zoo
from tinct.cli import choosing
from tinct.cli.application import app, interruptible
from tinct.errors import FrameIndexError, OptionError
from tinct.inference.progress_bar import progress_bar

if TYPE_CHECKING:
    from tinct.inference.promptable import FramePrompt
    from tinct.io.video import Video
    from tinct.runs.segment_to_folder import FolderOptions, RunReport
    from tinct.runs.segmenter_config import SegmenterConfig
    from tinct.shapes import LabelMap


Masks = Annotated[
    list[str],
    typer.Option(
        metavar="[INDEX:]FILE",
        help="The painted mask of the first frame, or INDEX:FILE for that of another frame (the first is 0): "
        "a PNG, COCO JSON, LabelMe JSON or CVAT XML (or its ZIP). The last three know their frames "
        "themselves, and a PNG that is called like a frame is of that frame. May be given several times.",
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar="INDEX:ID:X,Y[,-]",
        help="A click on object ID of frame INDEX, in pixels; with ,- one beside it. May be given several "
        "times, and with --mask.",
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="INDEX:ID:X0,Y0,X1,Y1",
        help="A box around object ID of frame INDEX, in pixels. May be given several times, and with points.",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        metavar="START:STOP",
        help="Only the frames from START up to, not including, STOP, such as 10:200, 10: or :200 (the first "
        "frame is 0). Masks keep the frames' own names and numbers.",
    ),
]
Way = Annotated[
    str,
    typer.Option(
        metavar="forward|backward|both",
        help="From each mask to the frames after it, to those before it, or to both: then each frame is "
        "made from the masks before and after it.",
    ),
]
RepairMask = Annotated[
    bool,
    typer.Option("--repair-mask", help="Take stray colours of blurred edges for the nearest object."),
]
LevelsOption = Annotated[
    str | None,
    typer.Option(
        "--levels",
        metavar="LOW:HIGH",
        help="Of frames in image files, the values that become black and white, such as 0:4095. Without it, "
        "8 bits stay as they are, and deeper frames are scaled alike by the smallest of 8, 10, 12, 14 and 16 "
        "bits that holds their values; fractions (floats) always need it.",
    ),
]
Soft = Annotated[
    bool, typer.Option("--soft", help="Keep soft masks too (soft/, 16-bit PNGs), for `tinct export`.")
]


@app.command()
def segment(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of frames.")],
    out: Annotated[Path, typer.Option(help="The folder for masks/, overlay.mp4 and run.json.")],
    mask: Masks = [],  # noqa: B006 (typer reads it, nobody changes it)
    point: Points = None,
    box: Boxes = None,
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
    explain: choosing.Explain = None,
    frames: Frames = None,
    levels: LevelsOption = None,
    direction: Way = "forward",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    repair_mask: RepairMask = False,
    overlay: Annotated[bool, typer.Option(help="Write the video with the masks drawn in.")] = True,
    soft: Soft = False,
    threads: choosing.Threads = None,
) -> None:
    """Segment a video from the mask of its first frame, or from clicks on its objects."""
    prompt_files = [parse_prompt(text) for text in mask]
    check_one_per_frame([(index, path.name) for index, path in prompt_files])

    from tinct.inference.directions import check_direction
    from tinct.inference.prompting import parse_prompts
    from tinct.runs.frame_range import FrameRange
    from tinct.runs.run_folder import check_apart
    from tinct.runs.segment_to_folder import FolderOptions
    from tinct.runs.segmenter_config import SegmenterConfig
    from tinct.runs.traces import check_explanations

    clicks = parse_prompts(point or (), box or ())
    if not (prompt_files or clicks):
        raise OptionError("Nothing says what to segment; give --mask FILE, --point INDEX:ID:X,Y or --box.")
    files = explain or []
    if files:
        zoo.check_capability(method, "explains")
    check_explanations(files)
    from tinct.inference.threads import set_threads

    set_threads(threads)
    flow_chosen = choosing.flow_choice(flow, flow_weights, flow_cache)
    config = SegmenterConfig(method, variant, preset, weights, device, fine_tune, flow_chosen)
    config = replace(config, direction=check_direction(direction), proposals=proposals, backend=backend)
    options = FolderOptions(config.direction == "backward", resume, overlay, soft)
    with interruptible():
        whole, info = _opened(video, levels)
        check_apart(out, whole)
        prompts, names = _read_prompts(whole, prompt_files, repair_mask)
        prompts = _with_clicks(whole, prompts, clicks, config)
        clip = whole
        if frames is not None:
            span = FrameRange.parse(frames, len(whole))
            clip, prompts = whole[span.start : span.stop], span.prompts(prompts)
            info["frame_range"] = str(span)
        report = _run(config, clip, prompts, out, options, files, info, _notes(whole, out, names))
    _summarise(report)
    for file in files if report.seconds_per_frame is not None else []:
        print(f"  why      {file}")


def _opened(path: Path, levels: str | None) -> tuple[Video, dict[str, str]]:
    """The video, and what `run.json` says of the video; what a person should know of it is printed."""
    from tinct.io.levels import Levels
    from tinct.io.video import Video

    scale = None if levels is None else Levels.parse(levels)
    video = Video.open(path, scale)
    for remark in video.remarks:
        print(f"tinct: {remark}; --levels LOW:HIGH says otherwise", file=sys.stderr)
    return video, {"video": path.resolve().name} | ({} if scale is None else {"levels": str(scale)})


def _run(
    config: SegmenterConfig,
    clip: Video,
    prompts: Mapping[int, LabelMap],
    out: Path,
    options: FolderOptions,
    explanations: Sequence[Path],
    info: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> RunReport:
    """Build the segmenter and run it into the folder.

    Args:
        config: Which segmenter.
        clip: The frames.
        prompts: Of frames of the clip.
        out: The run folder.
        options: How the run fills the folder.
        explanations: Files for the trace of the method's decisions.
        info: As for `segment_to_folder`, beside what the segmenter is.
        notes: As for `segment_to_folder`.
    """
    from tinct.inference.callbacks import callbacks
    from tinct.runs.segment_to_folder import segment_to_folder
    from tinct.runs.traces import remarks_of, write_explanation

    choosing.say_ahead(config)
    segmenter = config.build(clip, prompts=prompts)
    info = {**config.described(), **info}
    choosing.say_which_weights(info)
    choosing.say_whether_it_streams(segmenter, config.method)

    def explained(trace: Mapping[str, Any]) -> None:
        for remark in remarks_of(trace):
            print(f"tinct: {remark}", file=sys.stderr)
        for file in explanations:
            write_explanation(trace, file)

    with progress_bar() as progress, callbacks(explanation=explained):
        return segment_to_folder(
            segmenter, clip, prompts, out, options, info=info, notes=notes, progress=progress
        )


def parse_mask(text: str) -> tuple[int, Path]:
    """`INDEX:PNG` or `PNG` (frame 0); only digits before the first colon count as an index.

    A file whose own name begins with digits and a colon is given as `./3:a.png`.
    """
    index = re.match(r"(\d+):(.+)", text, re.ASCII)
    return (int(index[1]), Path(index[2])) if index else (0, Path(text))


def parse_prompt(text: str) -> tuple[int | None, Path]:
    """As `parse_mask`, but None where no index is given: then the file says of which frame it is."""
    index, path = parse_mask(text)
    return (None if str(path) == str(Path(text)) else index), path


def check_one_per_frame(files: Iterable[tuple[int | None, str]]) -> None:
    """OptionError if a frame comes twice; a file whose frame is not known yet has None."""
    known: dict[int, str] = {}
    for index, name in files:
        if index in known:
            raise OptionError(
                f"{known[index]} and {name} are masks of the same frame, {index}; give one mask per "
                "frame. If one is of another frame, say so: INDEX:FILE."
            )
        if index is not None:
            known[index] = name


def _read_prompts(
    video: Video, files: Sequence[tuple[int | None, Path]], repair: bool
) -> tuple[dict[int, LabelMap], dict[int, str]]:
    """The annotated frames of all files, and the names of their objects: one label is one object in all.

    Which file was taken for which frame is printed.
    """
    from tinct.interchange.imports import read_annotations
    from tinct.io.masks import object_ids_of

    prompts: dict[int, LabelMap] = {}
    names: dict[int, str] = {}
    known: dict[int, str] = {}
    sources: list[tuple[int, str]] = []
    for index, path in files:
        if index is not None and index >= len(video):
            raise FrameIndexError(
                f"{path.name} was given for frame {index}; the video has the frames 0 to {len(video) - 1}."
            )
        read = read_annotations(path, video, frame=index, known=known, repair=repair)
        for frame, labels in read.prompts.items():
            _print_prompt(path.name, frame, video, labels)
        sources += [(frame, path.name) for frame in read.prompts]
        check_one_per_frame(sources)
        prompts |= read.prompts
        names |= read.names
        ids = (i for labels in read.prompts.values() for i in object_ids_of(labels))
        known |= {i: names.get(i, "") for i in ids}
    return prompts, names


def _with_clicks(
    video: Video, prompts: dict[int, LabelMap], clicks: Mapping[int, FramePrompt], config: SegmenterConfig
) -> dict[int, LabelMap]:
    """The annotated frames, and on frames with points or boxes the masks that these ask for."""
    from tinct.inference.prompting import prompted_labels

    if not clicks:
        return prompts
    segmenter = zoo.promptable_beside(config.method, config.variant, config.weights, config.device)
    for index, prompt in clicks.items():
        if index >= len(video):
            raise FrameIndexError(
                f"A point or box was given for frame {index}; the video has the frames 0 to {len(video) - 1}."
            )
        labels = prompted_labels(segmenter, video[index], prompt, prompts.get(index))
        ids = ", ".join(str(i) for i in sorted(prompt.objects))
        _print_prompt(f"{segmenter!r}, object {ids}", index, video, labels)
        prompts = {**prompts, index: labels}
    return dict(sorted(prompts.items()))


def _print_prompt(name: str, frame: int, video: Video, labels: LabelMap) -> None:
    from tinct.shapes import VOID

    undecided = int((labels == VOID).sum())
    more = f", {undecided} pixels undecided (255)" if undecided else ""
    print(f"tinct: {name} → frame {frame} ({video.names[frame]}){more}", file=sys.stderr)


def _notes(video: Video, out: Path, names: Mapping[int, str]) -> dict[str, Any]:
    """What `tinct export` will want to know: where the video is, seen from the run, its rate, and names."""
    notes: dict[str, Any] = {"object_names": {str(i): name for i, name in names.items()}} if names else {}
    if video.rate is not None:
        notes["frame_rate"] = str(video.rate)
    if video.path is not None:
        # On another drive (Windows) nothing leads from here to there.
        with suppress(ValueError):
            notes["video_path"] = Path(os.path.relpath(video.path.resolve(), out.resolve())).as_posix()
    return notes


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
