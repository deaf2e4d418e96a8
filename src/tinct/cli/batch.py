"""`tinct batch`: the masks of many videos, on this machine or on a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Annotated

import typer

from tinct.cli import choosing
from tinct.cli.application import app, interruptible, say
from tinct.errors import OptionError


@app.command()
def batch(
    manifest: Annotated[
        str,
        typer.Argument(
            help="CSV, JSONL or Parquet with the columns video and masks, points or boxes, or a folder of "
            "videos beside their masks (clip.mp4, clip.png); a path or an address."
        ),
    ],
    out: Annotated[str, typer.Option(help="The folder for the outputs: a path or an address.")],
    to: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT", help="Export each run, too; as of `tinct export`, several times."),
    ] = None,
    method: choosing.Method = "feelvos",
    variant: choosing.Variant = None,
    preset: choosing.Preset = "default",
    weights: choosing.Weights = None,
    device: choosing.Device = "auto",
    fine_tune: choosing.FineTune = None,
    flow: choosing.Flow = None,
    flow_weights: choosing.FlowWeights = None,
    direction: Annotated[str, typer.Option(metavar="forward|backward|both")] = "forward",
    ray: choosing.RayAddress = None,
    cpus_per_video: Annotated[float, typer.Option(help="Processors of each video; a share below 1.")] = 1,
    gpus_per_video: Annotated[float, typer.Option(help="GPUs of each video, such as 0.25.")] = 0,
    max_in_flight: Annotated[
        int | None, typer.Option(min=1, help="Videos at a time; by default what the cluster has room for.")
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a video is tried again whose process or machine died.")
    ] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the batch in --out.")] = False,
    cut_at_prompts: Annotated[
        bool,
        typer.Option(
            "--cut-at-prompts",
            help="Cut each video at its prompts, into parts that are segmented apart; each prompt must show "
            "all objects.",
        ),
    ] = False,
    overlay: Annotated[bool, typer.Option(help="Write each video with the masks drawn in.")] = False,
    soft: Annotated[bool, typer.Option("--soft", help="Keep soft masks too.")] = False,
    staging: Annotated[
        Path | None, typer.Option(help="Each machine's folder for copies of files from elsewhere.")
    ] = None,
    staging_gb: Annotated[
        float, typer.Option(min=0.001, help="What the files of one video may take there.")
    ] = 20,
    progress_json: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Write progress as JSON lines.")
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Ray's dashboard, with --ray local.")
    ] = False,
) -> None:
    """Segment many videos, on all processors of this machine or of a Ray cluster."""
    from tinct.batch.actors import ActorOptions
    from tinct.batch.cluster import ray_cluster
    from tinct.batch.manifest import Manifest
    from tinct.batch.progress import ProgressLine
    from tinct.batch.run import segment_batch
    from tinct.batch.video_job import VideoOptions
    from tinct.inference.directions import check_direction
    from tinct.runs.segmenter_config import SegmenterConfig
    from tinct.zoo.hub import absolute_weights

    actors = ActorOptions(cpus_per_video, gpus_per_video, max_in_flight, retries)
    # Without a GPU of its own a video must not take one that others count on.
    device = "cpu" if device == "auto" and not gpus_per_video else device
    flow_chosen = choosing.flow_choice(flow, flow_weights, None)
    weights = absolute_weights(weights)
    config = SegmenterConfig(method, variant, preset, weights, device, fine_tune, flow_chosen)
    config = replace(config, direction=check_direction(direction))
    threads, most_bytes = max(1, int(cpus_per_video)), int(staging_gb * 1e9)
    options = VideoOptions(out, config, tuple(to or ()), overlay, soft, threads, staging, most_bytes)
    with interruptible(), ExitStack() as stack:
        rows = Manifest.open(manifest, cut=cut_at_prompts)
        if rows.unused:
            say(f"columns that are not used: {', '.join(rows.unused)}")
        if cut_at_prompts:
            say(f"{rows.count} parts, cut at their prompts")
        line = ProgressLine(stack.enter_context(_json_lines(progress_json)))
        stack.enter_context(ray_cluster(ray, dashboard=dashboard))
        stack.callback(line.close)
        report = segment_batch(rows, options, actors, resume=resume, progress=line)
    done = report.progress
    print(f"{done.done - done.failed} of {done.total} videos are complete; {done.skipped} were already")
    print(f"  table  {report.table}")
    print(f"  page   {report.index}")
    if done.failed:
        raise OptionError(
            f"{done.failed} of {done.total} videos have no result; the table says why. Mend them, and give "
            "the same command with --resume."
        )


@contextmanager
def _json_lines(place: str | None) -> Iterator[IO[str] | None]:
    if place is None or place == "-":
        yield None if place is None else sys.stdout
        return
    try:
        with Path(place).open("a", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        if error.filename != place:
            raise
        raise OptionError(f"{place} cannot be written: {error.strerror or error}.") from error
