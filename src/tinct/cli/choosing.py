"""The options that say which segmenter is wanted, made from the zoo's records; what a verb says at first."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinct import zoo

if TYPE_CHECKING:
    from tinct.networks.flow_choice import FlowChoice
    from tinct.runs.segmenter_config import SegmenterConfig


def those_where(capability: str) -> str:
    """The methods for which a field of their record is true, for a help text: "masktrack, maskrnn"."""
    return ", ".join(zoo.methods_where(capability))


def presets_help() -> str:
    """The presets of all methods, then those that only some have."""
    said = {"paper": "paper (nothing beyond the paper)"}
    common = ", ".join(said.get(preset, preset) for preset in zoo.PRESETS)
    more = [
        f"; of {name} also {', '.join(own)}"
        for name, record in zoo.METHODS.items()
        if (own := [preset for preset in record.presets if preset not in zoo.PRESETS])
    ]
    return f"{common}{''.join(more)}."


Method = Annotated[str, typer.Option(help=f"{', '.join(zoo.METHODS)}; see `tinct models`.")]
Variant = Annotated[str | None, typer.Option(help="See `tinct models`.")]
Preset = Annotated[str, typer.Option(help=presets_help())]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|DIR|hf://USER/REPO",
        help="A safetensors file or a repository of the Hugging Face hub (also hf://USER/REPO@REVISION) "
        "instead of the package's; for SAM 2 and its kin also a folder or USER/REPO.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Backend = Annotated[
    str,
    typer.Option(help="auto, torch, or onnx (ONNX Runtime on the processor; no torch is needed)."),
]
FineTune = Annotated[
    str | None,
    typer.Option(
        metavar="auto|none|STEPS|SECONDSs",
        help="How long each object is learnt on the annotated frames, such as 200 or 60s "
        f"({those_where('fine_tunes')}); by default as the preset says.",
    ),
]
Flow = Annotated[
    str | None,
    typer.Option(
        metavar="dis|raft-small|raft-large|DIR",
        help=f"Optical flow ({those_where('uses_flow')}): an estimator, or a folder of "
        "<frame>_<other>.flo files.",
    ),
]
FlowWeights = Annotated[
    Path | None, typer.Option(help="RAFT's weights, where torchvision's cannot be downloaded.")
]
FlowCache = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Cache computed flow there; runs may share it.")
]
Proposals = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.json|DIR|DETECTOR",
        help=f"Boxes in which objects may lie ({those_where('uses_proposals')}): a file, frame name to "
        "[[x0, y0, x1, y1, score], ...], for a dataset a folder of <sequence>.json, or one of torchvision's "
        "detectors; by default the network's own.",
    ),
]
Explain = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE.png|FILE.json",
        help=f"Write why each object was found or lost ({those_where('explains')}): a timeline, or every "
        "decision. May be given twice.",
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; all of them by default.")]
WorkerThreads = Annotated[int | None, typer.Option(min=1, help="Processor threads of each worker.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that share the sequences.")]

RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="local|ADDRESS",
        help="`local` starts Ray on this machine; an address (or RAY_ADDRESS) joins a cluster.",
    ),
]


def flow_choice(flow: str | None, weights: Path | None, cache: Path | None) -> FlowChoice | None:
    """The flow that was asked for; DIS if only its cache was, None for the method's own."""
    if flow is None and weights is None and cache is None:
        return None
    from tinct.networks.flow_choice import FlowChoice

    return FlowChoice(flow or "dis", weights, cache)


def say_whether_it_streams(segmenter: object, method: str) -> None:
    """Say that masks come all at once, where they do; on stderr, since it is no result."""
    if not getattr(segmenter, "streams", True):
        print(f"tinct: {method} sees the whole video before the first mask comes", file=sys.stderr)


def say_which_weights(described: Mapping[str, Any]) -> None:
    """Say which weights of the hub were taken, with their hash; on stderr, since it is no result."""
    if "weights" in described:
        sha256 = described["weights_sha256"][:12]
        print(f"tinct: weights {described['weights']}, sha256 {sha256}", file=sys.stderr)


def say_ahead(config: SegmenterConfig) -> None:
    """Say how long `--fine-tune auto` will take and what is downloaded; on stderr, since it is no result."""
    if config.flow is not None:
        zoo.check_capability(config.method, "uses_flow")
        if config.flow.download is not None:
            print(f"tinct: downloading RAFT's weights from {config.flow.download}", file=sys.stderr)
    if config.fine_tune == "auto" and config.budget is not None:
        device = zoo.resolve_device(config.device).type
        print(f"tinct: fine-tuning {config.budget} per object (auto, on {device})", file=sys.stderr)
