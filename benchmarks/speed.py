"""Seconds per 854×480 frame and peak memory, for 1, 3 and 6 objects and for the fast preset.

    python benchmarks/speed.py --json speed.json

The clip is generated: textured shapes that move over a textured ground. Each row runs in a process
of its own; the figures are medians of `step` over the frames after the warm-up, which is long
enough to fill the memory of earlier frames.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from processor import floor_s, gemm_gflops, processor_name

HEIGHT, WIDTH = 480, 854


class MovingShapes:
    """A clip of any length: ellipses with their own texture, each on its own round over the ground.

    Args:
        height: In pixels.
        width: In pixels.
        objects: How many shapes, with the ids 1, 2, ...
        seed: Of the textures.
    """

    def __init__(self, height: int, width: int, objects: int, seed: int = 0) -> None:
        self.size = height, width
        self.objects = objects
        self.axes_px = max(3, round(0.8 * min(height, width / objects) / 3)), max(3, round(height / 7))
        rng = np.random.default_rng(seed)
        self._ground = texture(rng, height, width)
        reach = 2 * max(self.axes_px) + 1
        self._coats = [texture(rng, reach, reach) for _ in range(objects)]

    def frame(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame `index`: uint8 RGB [H, W, 3] and label map [H, W]."""
        height, width = self.size
        image, labels = self._ground.copy(), np.zeros(self.size, np.uint8)
        for number, coat in enumerate(self._coats):
            phase = index / 15 + number
            x = round(width * (number + 0.5) / self.objects + 0.05 * width * math.sin(phase))
            y = round(height * (0.5 + 0.2 * math.cos(1.3 * phase)))
            shape = np.zeros(self.size, np.uint8)
            cv2.ellipse(shape, (x, y), self.axes_px, 20 * math.sin(phase), 0, 360, 1, -1)
            rows, columns = np.nonzero(shape)
            half = coat.shape[0] // 2
            image[rows, columns] = coat[(rows - y + half) % len(coat), (columns - x + half) % len(coat)]
            labels[rows, columns] = number + 1
        return image, labels


def write_video(path: Path, clip: MovingShapes, frames: int) -> None:
    """The clip's first frames as H.264."""
    from tinct.io.video_writer import VideoWriter

    with VideoWriter(path, Fraction(25), clip.size) as writer:
        for index in range(frames):
            writer.write(clip.frame(index)[0])


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Blotches of random colours with fine grain: uint8 [height, width, 3]."""
    coarse = rng.uniform(30, 225, (max(2, height // 40), max(2, width // 40), 3))
    blotches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(blotches + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Row:
    """What one row of the table measures."""

    preset: str
    objects: int
    threads: int
    warm_up: int
    frames: int
    method: str
    variant: str | None
    weights: str | None
    device: str
    fine_tune: str | None = None
    backend: str = "auto"


ROWS = (("default", 1, 1), ("default", 3, 1), ("default", 6, 1), ("fast", 1, 2))
"""(preset, objects, threads)."""


def measure(row: Row) -> dict[str, Any]:
    """Run one row in this process."""
    from tinct.inference.segmenter import check_masks
    from tinct.inference.threads import set_threads
    from tinct.runs.run_file import environment
    from tinct.zoo import build_segmenter

    set_threads(row.threads)
    segmenter: Any = build_segmenter(
        row.method, row.variant, row.preset, row.weights, row.device,
        fine_tune=row.fine_tune, backend=row.backend,
    )  # fmt: skip
    clip = MovingShapes(HEIGHT, WIDTH, row.objects)
    state = segmenter.start(*clip.frame(0))
    wall_s, cpu_s = [], []
    for index in range(1, row.warm_up + row.frames + 1):
        frame, labels = clip.frame(index)
        wall, cpu = time.perf_counter(), time.process_time()
        state, masks = segmenter.step(state, frame)
        found = masks.label_map
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
        check_masks(masks, index, clip.size)
    wall_s, cpu_s = wall_s[row.warm_up :], cpu_s[row.warm_up :]
    return {
        **asdict(row),
        "weights": row.weights and Path(row.weights).name,
        "wall_s_median": statistics.median(wall_s),
        "wall_s_min": min(wall_s),
        "cpu_s_median": statistics.median(cpu_s),
        "peak_memory_mib": peak_memory_mib(),
        "last_frame_accuracy": float((found == labels).mean()),
        "versions": environment(row.device)["versions"],
    }


def peak_memory_mib() -> float:
    """The most memory that this process has had resident, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike getrusage's figure, this one does not begin at the parent's.
        line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def in_fresh_process(function: Any, *arguments: Any) -> Any:
    """Call a function in a new interpreter, so that nothing of earlier rows is counted."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", default="feelvos")
    parser.add_argument("--variant", help="default: the method's own")
    parser.add_argument("--weights", help="a weights file in place of the package's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backend", default="auto", help="auto, torch or onnx")
    parser.add_argument(
        "--fine-tune", help="of a method that does: 3 steps cost little, and frames then as much as after 300"
    )
    parser.add_argument(
        "--warm-up", type=int, default=30, help="frames before the clock counts (default: 30)"
    )
    parser.add_argument("--frames", type=int, default=30, help="frames that count (default: 30)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    return parser.parse_args()


def main() -> None:
    """Print the table row by row, then what six objects cost against one."""
    options = arguments()
    gflops = in_fresh_process(gemm_gflops)
    print(f"{processor_name()}: {gflops:.0f} GFLOP/s in float32 products")
    print(f"seconds per {WIDTH}×{HEIGHT} frame, median of {options.frames} after {options.warm_up}")
    print(f"{'preset':<10}{'objects':>8}{'threads':>8}{'wall s':>10}{'min':>10}{'cpu s':>10}{'peak MiB':>10}")
    rows = []
    for preset, objects, threads in ROWS:
        row = Row(
            preset,
            objects,
            threads,
            options.warm_up,
            options.frames,
            options.method,
            options.variant,
            options.weights,
            options.device,
            options.fine_tune,
            options.backend,
        )
        figures = in_fresh_process(measure, row)
        rows.append(figures)
        seconds = "".join(f"{figures[key]:>10.4f}" for key in ("wall_s_median", "wall_s_min", "cpu_s_median"))
        print(f"{preset:<10}{objects:>8}{threads:>8}{seconds}{figures['peak_memory_mib']:>10.0f}", flush=True)
    floor = rows[0]["cpu_s_median"] / floor_s(gflops)
    print(f"1 object costs {floor:.2f} times what its arithmetic alone would at the rate of those products")
    ratio = rows[2]["cpu_s_median"] / rows[0]["cpu_s_median"]
    print(f"6 objects cost {ratio:.2f} times 1 object (processor time)")
    if options.json is not None:
        report = {"rows": rows, "six_objects_to_one": ratio, "python": platform.python_version()}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
