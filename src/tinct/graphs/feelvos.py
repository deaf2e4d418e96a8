"""FEELVOS's compact network and its matching as graphs, by the nouns of `networks.feelvos`.

Distances are soft minima. Their weights exp(SHIFT - d²/τ) need no running maximum: as d² >= 0 they cannot
overflow, and those that underflow are of distances beyond FAR, where all distances are one to the head
(which is why τ has a least value here).
"""

from __future__ import annotations

import math

import numpy as np

from tinct.graphs.layers import Layers, Weights
from tinct.graphs.writer import Graph
from tinct.networks.feelvos_parts import FAR, FeelvosConfig

TILE = 128
"""Queries that are matched with all reference pixels at a time: 5 MB of pairs for 10,000 of them."""

BLOCK = 8
"""Side in cells of the blocks of local matching (`ops.windows`)."""

SHIFT = 72.0
LEAST_TEMPERATURE = 0.6
"""Below it, weights could underflow within FAR."""

ALL = 2**31


def encode_graph(weights: Weights, *, half: bool = False) -> Graph:
    """A frame's features, embedding and fine features."""
    g = Graph("feelvos_encode", half=half)
    frame = g.input("frame", "uint8", ["height", "width", 3], "RGB, of the working size")
    features, embedding, skip = _encode(g, weights, frame)
    g.output(features, "features", [1, _width(weights, "extractor.smooth_8"), "h", "w"], "for the head")
    channels = _width(weights, "embedding.branch")
    g.output(embedding, "embedding", [1, channels, "h", "w"], "for matching; grid of stride 8")
    g.output(skip, "skip", [1, _width(weights, "extractor.skip"), "h4", "w4"], "of stride 4, for the head")
    return g


def global_graph(temperature: float, channels: int) -> Graph:
    """Global matching (eq. 2)."""
    g = Graph("feelvos_global")
    embedding = _input_embedding(g, "embedding", channels)
    g.output(_global(g, embedding, *_input_reference(g, channels), temperature), "distances", ["L", "h", "w"])
    return g


def local_graph(temperature: float, channels: int, radius: int) -> Graph:
    """Local matching (eq. 5)."""
    g = Graph("feelvos_local")
    embedding = _input_embedding(g, "embedding", channels)
    g.output(
        _local(g, embedding, *_input_previous(g, channels), radius, temperature), "distances", ["L", "h", "w"]
    )
    return g


def match_graph(temperature: float, channels: int, radius: int) -> Graph:
    """Both kinds of matching."""
    g = Graph("feelvos_match")
    embedding = _input_embedding(g, "embedding", channels)
    reference, previous = _input_reference(g, channels), _input_previous(g, channels)
    near = _global(g, embedding, *reference, temperature)
    g.output(near, "global_distances", ["L", "h", "w"], "to the reference pixels of each label")
    near = _local(g, embedding, *previous, radius, temperature)
    g.output(near, "local_distances", ["L", "h", "w"], "to the previous frame's, within the window")
    return g


def head_graph(weights: Weights, config: FeelvosConfig, temperature: float, *, half: bool = False) -> Graph:
    """The head, run once for each object."""
    g = Graph("feelvos_head", half=half)
    features = g.input("features", "float32", [1, config.feature_channels, "h", "w"])
    skip = g.input("skip", "float32", [1, _width(weights, "extractor.skip"), "h4", "w4"])
    maps = [
        g.input(name, "float32", ["L", "h", "w"], "the background's first")
        for name in ("global_distances", "local_distances", "previous_probs")
    ]
    logits = _head(g, weights, config.distance_scale, temperature, features, skip, *maps)
    g.output(logits, "logits", ["L", "h4", "w4"], "of all labels; the background's are 0")
    return g


def step_graph(
    weights: Weights, config: FeelvosConfig, temperature: float, radius: int, *, half: bool = False
) -> Graph:
    """A whole step, its state outside: what is carried from frame to frame comes in and goes out."""
    g, channels = Graph("feelvos_step", half=half), config.embedding_channels
    frame = g.input("frame", "uint8", ["height", "width", 3], "RGB, of the working size")
    reference, previous = _input_reference(g, channels), _input_previous(g, channels)
    features, embedding, skip = _encode(g, weights, frame)
    logits = _head(
        g, weights, config.distance_scale, temperature, features, skip,
        _global(g, embedding, *reference, temperature),
        _local(g, embedding, *previous, radius, temperature), previous[1],
    )  # fmt: skip
    g.output(logits, "logits", ["L", "h4", "w4"], "to be enlarged to the frame; then the softmax over L")
    g.output(embedding, "next_embedding", [1, channels, "h", "w"], "the next step's previous_embedding")
    whole = g.node("Unsqueeze", g.node("Softmax", logits, axis=0), g.constant([0]))
    small = g.node("Squeeze", Layers(g, {}).area_like(whole, embedding), g.constant([0]))
    g.output(small, "next_probs", ["L", "h", "w"], "the next step's previous_probs")
    return g


def _width(weights: Weights, layer: str) -> int:
    return len(weights[f"{layer}.weight"])


def _input_embedding(g: Graph, name: str, channels: int) -> str:
    return g.input(name, "float32", [1, channels, "h", "w"])


def _input_reference(g: Graph, channels: int) -> tuple[str, str]:
    return (
        g.input("reference_embedding", "float32", ["R", channels], "of the reference pixels"),
        g.input("reference_membership", "float32", ["R", "L"], "how much of each belongs to which label"),
    )


def _input_previous(g: Graph, channels: int) -> tuple[str, str]:
    return (
        _input_embedding(g, "previous_embedding", channels),
        g.input("previous_probs", "float32", ["L", "h", "w"], "the previous frame's, mean of each cell"),
    )


def _encode(g: Graph, weights: Weights, frame: str) -> tuple[str, str, str]:
    n = Layers(g, weights)
    maps = n.mobilenet(n.normalised(frame), "extractor.backbone.body")
    stride_4, stride_8, stride_16, stride_32 = maps
    lateral_8, lateral_16, lateral_32 = (
        n.convolution(each, f"extractor.laterals.{i}") for i, each in enumerate(maps[1:])
    )
    merged_16 = n.relu(n.add(lateral_16, n.resized_like(lateral_32, lateral_16)))
    merged_16 = n.convolution(merged_16, "extractor.smooth_16", act="relu")
    merged_8 = n.relu(n.add(lateral_8, n.resized_like(merged_16, lateral_8)))
    features = n.convolution(merged_8, "extractor.smooth_8", act="relu")
    stacked = [n.unit(stride_8), *(n.unit(n.resized_like(each, stride_8)) for each in (stride_16, stride_32))]
    projected = n.convolution(g.node("Concat", *stacked, axis=1), "embedding.projection")
    direction = n.unit(n.add(projected, n.convolution(features, "embedding.branch")))
    length = g.constant(np.exp(np.float32(weights["embedding.log_length"])))
    return features, g.node("Mul", direction, length), n.convolution(stride_4, "extractor.skip", act="relu")


def _head(
    g: Graph, weights: Weights, scale: float, temperature: float,
    features: str, skip: str, global_distances: str, local_distances: str, previous_probs: str,
) -> str:  # fmt: skip
    """Logits [L, h4, w4] of all labels, from distances and probabilities [L, h, w]."""
    n = Layers(g, weights)
    maps = [
        *_distance_maps(g, global_distances, scale, temperature), previous_probs,
        *_distance_maps(g, local_distances, scale, temperature),
    ]  # fmt: skip
    channels = (g.node("Unsqueeze", each, g.constant([1])) for each in maps)
    of_objects = n.cut(g.node("Concat", *channels, axis=1), 1, ALL)
    hidden = _shared_input(n, "head.first", features, of_objects)
    layer = 0
    while f"head.layers.{layer}.0.weight" in weights:
        hidden = n.convolution(hidden, f"head.layers.{layer}.0", act="relu")
        layer += 1
    coarse = n.convolution(hidden, "head.score")
    narrow = n.convolution(hidden, "head.refinement.narrow")
    fine = n.resized_like(g.node("Concat", narrow, coarse, axis=1), skip)
    sharp = _shared_input(n, "head.refinement.first", skip, fine)
    sharp = n.convolution(sharp, "head.refinement.second", act="relu")
    correction = n.convolution(sharp, "head.refinement.score")
    logits = g.node("Squeeze", n.add(n.cut(fine, -1, ALL, axis=1), correction), g.constant([1]))
    background = g.node("Mul", n.cut(logits, 0, 1), g.constant(0.0))
    return g.node("Concat", background, logits, axis=0)


def _shared_input(n: Layers, name: str, features: str, maps: str) -> str:
    return n.relu(
        n.add(n.convolution(maps, f"{name}.on_maps"), n.convolution(features, f"{name}.on_features"))
    )


def _distance_maps(g: Graph, distances: str, scale: float, temperature: float) -> list[str]:
    """Eq. 1 of each label's distance, of the nearest other label's, and who is nearer: each [L, h, w].

    The soft minimum over the others is by sums over those before and those after: no difference is taken.
    """
    own = g.node("Min", distances, g.constant(FAR))
    nearest = g.node("ReduceMin", own, axes=[0], keepdims=1)
    top = g.node("Add", nearest, g.constant(40.0 * temperature))
    weights = g.node("Exp", g.node("Div", g.node("Sub", top, own), g.constant(temperature)))
    sums = [g.node("CumSum", weights, g.constant(0), exclusive=1, reverse=reverse) for reverse in (0, 1)]
    log = g.node("Mul", g.node("Log", g.node("Add", *sums)), g.constant(temperature))
    other = g.node("Sub", top, log)
    nearer = g.node("Sigmoid", g.node("Div", g.node("Sub", other, own), g.constant(temperature)))
    half = g.constant(0.5 / scale)
    return [*(g.node("Tanh", g.node("Mul", each, half)) for each in (own, other)), nearer]


def _points(g: Graph, embedding: str) -> str:
    """An embedding [1, C, h, w] by pixels: [h, w, C]."""
    return g.node("Transpose", g.node("Squeeze", embedding, g.constant([0])), perm=[1, 2, 0])


def _folded(g: Graph, points: str, temperature: float, *, query: bool) -> str:
    """Rows [.., C + 2]; the product of a query's and a reference's is SHIFT - d²/τ (`ops.precision`)."""
    scaled = g.node("Mul", points, g.constant(math.sqrt(1 / temperature)))
    norms = g.node("ReduceSumSquare", scaled, axes=[-1], keepdims=1)
    ones = g.node("Add", g.node("Mul", norms, g.constant(0.0)), g.constant(1.0))
    if query:
        return g.node("Concat", scaled, ones, norms, axis=-1)
    twice = g.node("Mul", scaled, g.constant(2.0))
    return g.node("Concat", twice, g.node("Sub", g.constant(SHIFT), norms), g.node("Neg", ones), axis=-1)


def _distances(g: Graph, mass: str, temperature: float) -> str:
    """τ (SHIFT - log Σ m exp(SHIFT - d²/τ)); infinity where there is no pixel."""
    return g.node("Mul", g.node("Sub", g.constant(SHIFT), g.node("Log", mass)), g.constant(temperature))


def _reshaped(g: Graph, value: str, *sides: str | int) -> str:
    """A value in another shape, some of whose sides are values [1] themselves."""
    parts = [side if isinstance(side, str) else g.constant([side]) for side in sides]
    return g.node("Reshape", value, g.node("Concat", *parts, axis=0))


def _padded(g: Graph, value: str, *ends: str | int) -> str:
    """Zeros before and behind each axis: all numbers of before, then all of behind."""
    parts = [end if isinstance(end, str) else g.constant([end]) for end in ends]
    return g.node("Pad", value, g.node("Concat", *parts, axis=0))


def _up_to_multiple(g: Graph, side: str, of: int) -> str:
    """How much a side lacks to a multiple."""
    return g.node("Mod", g.node("Neg", side), g.constant([of]))


def _global(g: Graph, embedding: str, reference: str, membership: str, temperature: float) -> str:
    """Global matching by tiles of queries: [L, h, w]."""
    n, points = Layers(g, {}), _points(g, embedding)
    shape = g.node("Shape", points)
    query = _folded(g, _reshaped(g, points, -1, n.cut(shape, 2, 3)), temperature, query=True)
    rows = g.node("Transpose", _folded(g, reference, temperature, query=False), perm=[1, 0])
    sides = g.node("Shape", query)
    count, width = n.cut(sides, 0, 1), n.cut(sides, 1, 2)
    tiles = _reshaped(g, _padded(g, query, 0, 0, _up_to_multiple(g, count, TILE), 0), -1, TILE, width)
    body = Graph("tile_of_queries", outer=g)
    tile = body.input("tile", "float32", [TILE, "K"])
    pairs = body.node("Exp", body.node("MatMul", tile, rows))
    body.output(body.node("MatMul", pairs, membership), "tile_mass", [TILE, "L"])
    mass = g.node("Scan", tiles, body=body, num_scan_inputs=1)
    labels = n.cut(g.node("Shape", membership), 1, 2)
    mass = g.node("Slice", _reshaped(g, mass, -1, labels), g.constant([0]), count, g.constant([0]))
    mass = _reshaped(g, g.node("Transpose", mass, perm=[1, 0]), labels, n.cut(shape, 0, 2))
    return _distances(g, mass, temperature)


def _local(g: Graph, embedding: str, previous: str, membership: str, radius: int, temperature: float) -> str:
    """Local matching by rows of blocks, each with the patch that its windows reach: [L, h, w]."""
    n, side = Layers(g, {}), BLOCK + 2 * radius
    query = _folded(g, _points(g, embedding), temperature, query=True)
    shape = g.node("Shape", query)
    height, width, channels = (n.cut(shape, i, i + 1) for i in range(3))
    down, right = (_up_to_multiple(g, each, BLOCK) for each in (height, width))
    rows, columns = (
        g.node("Div", g.node("Add", each, more), g.constant([BLOCK]))
        for each, more in ((height, down), (width, right))
    )
    query = _reshaped(g, _padded(g, query, 0, 0, 0, down, right, 0), rows, BLOCK, columns, BLOCK, channels)
    query = _reshaped(g, g.node("Transpose", query, perm=[0, 2, 1, 3, 4]), rows, columns, BLOCK**2, channels)
    below, beyond = (g.node("Add", each, g.constant([radius])) for each in (down, right))
    around = (radius, radius, 0, below, beyond, 0)
    keys, owners = (
        _reshaped(g, _padded(g, grid, *around), -1, sides)
        for grid, sides in (
            (_folded(g, _points(g, previous), temperature, query=False), channels),
            (g.node("Transpose", membership, perm=[1, 2, 0]), n.cut(g.node("Shape", membership), 0, 1)),
        )
    )
    padded_width = g.node("Add", g.node("Mul", columns, g.constant([BLOCK])), g.constant([2 * radius]))
    indices = _patch_indices(g, rows, columns, padded_width, side)
    mass = g.node("Scan", query, indices, body=_row_of_blocks(g, keys, owners, radius), num_scan_inputs=2)
    labels = n.cut(g.node("Shape", membership), 0, 1)
    mass = _reshaped(g, mass, rows, columns, BLOCK, BLOCK, labels)
    mass = _reshaped(
        g, g.node("Transpose", mass, perm=[4, 0, 2, 1, 3]),
        labels, g.node("Mul", rows, g.constant([BLOCK])), g.node("Mul", columns, g.constant([BLOCK])),
    )  # fmt: skip
    size = g.node("Concat", height, width, axis=0)
    return _distances(g, g.node("Slice", mass, g.constant([0, 0]), size, g.constant([1, 2])), temperature)


def _patch_indices(g: Graph, rows: str, columns: str, width: str, side: int) -> str:
    """Where each block's patch lies in the padded grid: [rows, columns, side²] of flat indices."""

    def firsts(count: str, step: str) -> str:
        numbers = g.node("Range", g.constant(0), g.node("Squeeze", count), g.constant(1))
        return g.node("Mul", numbers, step)

    steps = np.arange(side)
    within = g.node("Add", g.node("Mul", g.constant(steps[:, None]), width), g.constant(steps))
    down = firsts(rows, g.node("Mul", width, g.constant([BLOCK])))
    starts = g.node("Add", _reshaped(g, down, -1, 1), firsts(columns, g.constant([BLOCK])))
    return g.node("Add", _reshaped(g, starts, rows, columns, 1), _reshaped(g, within, 1, 1, -1))


def _row_of_blocks(g: Graph, folded: str, owners: str, radius: int) -> Graph:
    """The body of local matching: queries [columns, 64, K] against their patches."""
    body = Graph("row_of_blocks", outer=g)
    blocks = body.input("row_blocks", "float32", ["columns", BLOCK**2, "K"])
    places = body.input("row_places", "int64", ["columns", "P"])
    patches = body.node("Transpose", body.node("Gather", folded, places, axis=0), perm=[0, 2, 1])
    pairs = body.node("Exp", body.node("MatMul", blocks, patches))
    pairs = body.node("Mul", pairs, body.constant(near_in_patch(radius).astype(np.float32)))
    mass = body.node("MatMul", pairs, body.node("Gather", owners, places, axis=0))
    body.output(mass, "row_mass", ["columns", BLOCK**2, "L"])
    return body


def near_in_patch(radius: int) -> np.ndarray:
    """Flags [64, P]: whether a pixel of a block's patch is in the window of a cell of it."""
    gaps = np.arange(BLOCK + 2 * radius) - np.arange(BLOCK)[:, None] - radius
    near = abs(gaps) <= radius
    return (near[:, None, :, None] & near[None, :, None, :]).reshape(BLOCK**2, -1)
