"""What one frame of FEELVOS is made of: processor seconds and arithmetic of each part, beside its floor.

    python benchmarks/frame_parts.py --preset default --objects 1

A generated clip of 854×480 is decoded from H.264, segmented by the backend onnx with one thread, and its
masks are written as PNGs. Seconds are medians over the frames after the warm-up, which fills the memory of
earlier frames. Arithmetic (two operations for each multiplication and addition) is that of the convolutions
and matrix products, counted from the graphs as they are run; a part's floor is the time that it would take at
the rate of NumPy's products on this processor, which are measured before and after.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import onnxruntime

from processor import gemm_gflops, processor_name
from speed import HEIGHT, WIDTH, MovingShapes, in_fresh_process, write_video
from tinct.backends import feelvos_onnx
from tinct.backends.sessions import Session
from tinct.graphs.writer import Graph
from tinct.inference.threads import set_threads
from tinct.io.mask_files import write_mask
from tinct.io.video import Video
from tinct.zoo import build_segmenter

GRAPHS = {"feelvos_encode": "encode", "feelvos_global": "global matching", "feelvos_local": "local matching"}
HEAD, REFINEMENT = "head", "refinement"
FRAME = "whole frame"
PARTS = ("decode", "resize", *GRAPHS.values(), HEAD, REFINEMENT, "enlarge", "write")


class Clock:
    """Processor seconds by part, of every frame."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs within belongs to a part."""
        began = time.process_time()
        yield
        self.seconds[name].append(time.process_time() - began)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose calls belong to a part."""

        def call(*args: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*args, **named)

        return call


class WatchedSession(Session):
    """A session that keeps its graph and what it was run on last.

    Attributes:
        seen: By the name of the graph.
    """

    seen: ClassVar[dict[str, tuple[Graph, dict[str, np.ndarray]]]] = {}
    clock: ClassVar[Clock] = Clock()

    def __init__(self, graph: Graph, *args: Any, **named: Any) -> None:
        super().__init__(graph, *args, **named)
        self._graph = graph

    def __call__(self, **inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs."""
        self.seen[self._graph.name] = self._graph, inputs
        with self.clock.part(GRAPHS.get(self._graph.name, HEAD)):
            return super().__call__(**inputs)


def kernels(graph: Graph, inputs: dict[str, np.ndarray], *, optimised: bool) -> list[dict[str, Any]]:
    """ONNX Runtime's record of one run of a graph: an event for each operation."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.enable_profiling, options.log_severity_level = 1, True, 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/run"
        session = onnxruntime.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])
        session.run(None, {name: np.ascontiguousarray(values) for name, values in inputs.items()})
        events = json.loads(Path(session.end_profiling()).read_text())
    return [event for event in events if event["name"].endswith("_kernel_time")]


def shapes(event: dict[str, Any], key: str) -> list[list[int]]:
    """Of an operation's inputs or outputs."""
    return [next(iter(each.values())) for each in event["args"][key]]


def gflop(event: dict[str, Any]) -> float:
    """Arithmetic of an operation: convolutions and matrix products."""
    takes, gives = shapes(event, "input_type_shape"), shapes(event, "output_type_shape")
    kind = event["args"]["op_name"]
    if kind == "Conv":
        return 2e-9 * math.prod(gives[0]) * math.prod(takes[1][1:])
    if kind == "MatMul":
        return 2e-9 * math.prod(gives[0]) * takes[0][-1]
    return 0.0


def is_fine(event: dict[str, Any], grid: list[int]) -> bool:
    """Whether an operation of the head gives maps of stride 4."""
    return any(shape[-2:] == grid for shape in shapes(event, "output_type_shape"))


def measured(preset: str, objects: int, warm_up: int, frames: int) -> dict[str, Any]:
    """Seconds and GFLOP by part, in this process."""
    set_threads(1)
    clock = WatchedSession.clock
    with tempfile.TemporaryDirectory() as folder, patch.object(feelvos_onnx, "Session", WatchedSession):
        clip = MovingShapes(HEIGHT, WIDTH, objects)
        write_video(Path(folder, "clip.mp4"), clip, warm_up + frames + 1)
        segmenter = build_segmenter("feelvos", preset=preset, device="cpu", backend="onnx")
        rates = [gemm_gflops()]
        watch(segmenter, clock)
        run(segmenter, Video.open(Path(folder, "clip.mp4")), clip.frame(0)[1], Path(folder), clock)
        rates.append(gemm_gflops())
    seconds = {name: statistics.median(each[-frames:]) for name, each in clock.seconds.items()}
    work = {}
    for name, (graph, inputs) in WatchedSession.seen.items():
        events = kernels(graph, inputs, optimised=False)
        if name in GRAPHS:
            work[GRAPHS[name]] = sum(map(gflop, events))
        else:
            grid = list(inputs["skip"].shape[-2:])
            work[REFINEMENT] = sum(gflop(event) for event in events if is_fine(event, grid))
            work[HEAD] = sum(map(gflop, events)) - work[REFINEMENT]
            whole, events = seconds[HEAD], kernels(graph, inputs, optimised=True)
            fine = sum(event["dur"] for event in events if is_fine(event, grid))
            seconds[REFINEMENT] = whole * fine / sum(event["dur"] for event in events)
            seconds[HEAD] = whole - seconds[REFINEMENT]
    return {"gemm_gflops": statistics.mean(rates), "seconds": seconds, "gflop": work}


def watch(segmenter: Any, clock: Clock) -> None:
    """Time the parts of a step that no session runs."""
    from tinct.methods import feelvos

    feelvos.working_frame = clock.timed("resize", feelvos.working_frame)
    segmenter.backend.probs = clock.timed("enlarge", segmenter.backend.probs)


def run(segmenter: Any, video: Video, labels: np.ndarray, folder: Path, clock: Clock) -> None:
    """Segment a video and write its masks."""
    frames, state = iter(video), None
    for index in range(len(video)):
        with clock.part(FRAME):
            with clock.part("decode"):
                frame = next(frames)
            if state is None:
                state = segmenter.start(frame, labels)
                continue
            state, masks = segmenter.step(state, frame)
            with clock.part("enlarge, labels"):
                found = masks.label_map
            with clock.part("write"):
                write_mask(folder / f"{index:05}.png", found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument(
        "--warm-up", type=int, default=30, help="frames before the clock counts (default: 30)"
    )
    parser.add_argument("--frames", type=int, default=30, help="frames that count (default: 30)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    found = in_fresh_process(measured, chosen.preset, chosen.objects, chosen.warm_up, chosen.frames)
    rate, seconds, work = found["gemm_gflops"], found["seconds"], found["gflop"]
    seconds["enlarge"] += seconds.pop("enlarge, labels")
    print(
        f"{processor_name()}: {rate:.0f} GFLOP/s in float32 products; onnxruntime {onnxruntime.__version__}"
    )
    print(f"| part | seconds | GFLOP | floor, seconds | ratio |\n|{'---|' * 5}")
    rows = [(name, seconds[name], work.get(name, 0.0)) for name in PARTS]
    rest = seconds[FRAME] - sum(row[1] for row in rows)
    rows += [("all else", rest, 0.0), (f"**{FRAME}**", seconds[FRAME], sum(work.values()))]
    for name, spent, done in rows:
        floor = done / rate
        figures = (f"{done:.2f}", f"{floor:.3f}", f"{spent / floor:.2f}") if done else ("", "", "")
        print(f"| {name} | {spent:.3f} | {' | '.join(figures)} |")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({**found, "processor": processor_name()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
