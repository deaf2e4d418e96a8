"""A method's network as ONNX files, and a JSON that says how they make masks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinct._version import __version__
from tinct.errors import OptionError
from tinct.graphs import feelvos as feelvos_graphs
from tinct.graphs.pyramids import stream_graph
from tinct.graphs.writer import Graph
from tinct.io.atomic import atomic_write
from tinct.io.weights_file import read_weights
from tinct.zoo.build import check_variant, preset_options, resolve_weights

EXPORTED = ("feelvos", "osvos", "masktrack")
"""The methods whose compact networks have graphs."""

COMMON = {
    "frame": "RGB bytes [height, width, 3]. Resize the video's frame by the mean of each area, so that its "
    "shorter side is working_height (at most twice its size) and both sides are multiples of 8. The graphs "
    "normalise.",
    "grids": "h, w are height/8, width/8; h4, w4 are height/4, width/4. Labels L are the background, which "
    "comes first, and the objects.",
    "masks": "Enlarge logits to the video's size by bilinear interpolation with pixel centres aligned "
    "(half_pixel); take the softmax over L. A pixel belongs to the label with the largest one.",
}

FEELVOS_STEPS = {
    "first_frame": "Run encode. Take each label's share of each cell of 8×8 pixels: membership [L, h, w]. "
    "reference_embedding is the embedding by pixels [h·w, C], reference_membership [h·w, L] the same of the "
    "membership; previous_embedding is the embedding, previous_probs the membership.",
    "every_other_frame": "Run step (or encode, match and head one after another). next_embedding and "
    "next_probs are the next frame's previous_embedding and previous_probs.",
    "memory": "After a frame whose index (the first frame's is 0) is a multiple of memory_every, join every "
    "memory_thinning-th pixel of next_embedding to reference_embedding, and of next_probs, multiplied by "
    "memory_weight · memory_thinning, to reference_membership; only the last memory_frames such frames stay.",
    "gate": "Optional: of the label map at stride 4, drop components of an object that lie nowhere within "
    "gate_reach · min(h4, w4) cells of its mask in the frame before, by setting their logits to -20.",
    "correction": "A later annotated frame joins the reference as the first one did; the memory is emptied.",
}

FEELVOS_NUMBERS = (
    "working_height", "local_radius", "soft_minimum", "memory_frames", "memory_every", "memory_thinning",
    "memory_weight", "gate_reach",
)  # fmt: skip


def export_model(
    method: str,
    folder: Path,
    *,
    variant: str | None = None,
    preset: str = "default",
    weights: Path | str | None = None,
    half: bool = False,
) -> list[Path]:
    """Write a network's graphs and `model.json` into a folder.

    Args:
        method: Of `EXPORTED`.
        folder: Made if it is not there; files of these names are replaced.
        variant: None for the method's default; the compact ones have graphs.
        preset: Whose numbers are written, and whose window is built in.
        weights: A safetensors file; None for the one in the package.
        half: Store weights in half precision, as the weights files do; arithmetic stays float32.

    Returns:
        The files.

    Raises:
        OptionError: There is no graph of this method or variant, or the preset is of several runs.
        WeightsError: The weights are missing or not what they should be.
        OutputError: A file cannot be written.
    """
    variant = check_variant(method, variant)
    if method not in EXPORTED or variant != "mobilenetv2":
        raise OptionError(
            f"There is no graph of {method} {variant}; take mobilenetv2 of {', '.join(EXPORTED)}."
        )
    located = resolve_weights(method, variant, weights)
    tensors = read_weights(located.path, method, variant)
    described: dict[str, Any] = {
        "model": f"{method} {variant}", "preset": preset, "tinct": __version__,
        "weights_sha256": located.sha256,
        "steps": dict(COMMON),
    }  # fmt: skip
    if method == "feelvos":
        options = preset_options(method, variant, preset)
        if options.views:
            raise OptionError(
                f"The preset {preset!r} is the mean of several runs of one network, one of them on mirrored "
                "frames; export 'default', and run its graphs on both."
            )
        graphs = _feelvos(tensors, options, half)
        described["numbers"] = {name: getattr(options, name) for name in FEELVOS_NUMBERS}
        described["steps"] |= FEELVOS_STEPS
    else:
        graphs = {"network": stream_graph(method, tensors, half=half)}
    described["graphs"] = {f"{name}.onnx": graph.described for name, graph in graphs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / f"{name}.onnx": graph.model({"tinct": __version__}) for name, graph in graphs.items()}
    files[folder / "model.json"] = (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()
    for file, content in files.items():
        with atomic_write(file) as part:
            part.write_bytes(content)
    return list(files)


def _feelvos(weights: Mapping[str, Any], options: Any, half: bool) -> dict[str, Graph]:
    config, temperature, radius = options.config, options.soft_minimum, options.local_radius
    return {
        "encode": feelvos_graphs.encode_graph(weights, half=half),
        "match": feelvos_graphs.match_graph(temperature, config.embedding_channels, radius),
        "head": feelvos_graphs.head_graph(weights, config, temperature, half=half),
        "step": feelvos_graphs.step_graph(weights, config, temperature, radius, half=half),
    }
