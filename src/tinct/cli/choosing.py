"""The options by which every verb is told which segmenter to use, and what it says of the choice."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinct.networks.flow_choice import FlowChoice
    from tinct.runs.segmenter_config import SegmenterConfig

Method = Annotated[str, typer.Option(help="See `tinct models`.")]
Variant = Annotated[str | None, typer.Option(help="See `tinct models`.")]
Preset = Annotated[
    str, typer.Option(help="default, paper (nothing beyond the paper), fast; of dyenet also advanced.")
]
Weights = Annotated[Path | None, typer.Option(help="A safetensors file instead of the package's.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
FineTune = Annotated[
    str | None,
    typer.Option(
        metavar="auto|none|STEPS|SECONDSs",
        help="How long each object is learnt on the painted frames, such as 200 or 60s (osvos, masktrack, "
        "maskrnn, dyenet); by default as the preset says.",
    ),
]
Flow = Annotated[
    str | None,
    typer.Option(
        metavar="dis|raft-small|raft-large|DIR",
        help="Optical flow (masktrack, maskrnn, dyenet): an estimator, or a folder of "
        "<frame>_<other>.flo files.",
    ),
]
FlowWeights = Annotated[
    Path | None, typer.Option(help="RAFT's weights, where torchvision's cannot be downloaded.")
]
FlowCache = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep computed flow there; runs may share it.")
]

Proposals = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.json|DIR|DETECTOR",
        help="Boxes in which objects may lie (dyenet): a file, frame name to [[x0, y0, x1, y1, score], "
        "...], for a dataset a folder of <sequence>.json, or one of torchvision's detectors; by default the "
        "network's own.",
    ),
]


def flow_choice(flow: str | None, weights: Path | None, cache: Path | None) -> FlowChoice | None:
    """The flow that was asked for; DIS if only its cache was, None for the method's own."""
    if flow is None and weights is None and cache is None:
        return None
    from tinct.networks.flow_choice import FlowChoice

    return FlowChoice(flow or "dis", weights, cache)


def check_explain(method: str, files: Sequence[Path]) -> None:
    """OptionError if an explanation was asked of a method that gives none."""
    if files:
        from tinct import zoo

        zoo.check_explains(method)


def say_whether_it_streams(segmenter: object, method: str) -> None:
    """Tell that masks come all at once, where they do; on stderr, since it is no result."""
    if not getattr(segmenter, "streams", True):
        print(f"tinct: {method} sees the whole video before the first mask comes", file=sys.stderr)


def say_ahead(choice: SegmenterConfig) -> None:
    """Tell how long `--fine-tune auto` will take and what is downloaded; on stderr, since it is no result."""
    from tinct import zoo

    if choice.flow is not None:
        zoo.check_uses_flow(choice.method)
        if choice.flow.download is not None:
            print(f"tinct: downloading RAFT's weights from {choice.flow.download}", file=sys.stderr)
    if choice.fine_tune == "auto" and choice.budget is not None:
        device = zoo.resolve_device(choice.device).type
        print(f"tinct: fine-tuning {choice.budget} per object (auto, on {device})", file=sys.stderr)
