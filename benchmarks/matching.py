"""Speed and accuracy of the matching kernels.

    python benchmarks/matching.py                 a table
    python benchmarks/matching.py --json          the same as JSON
    python benchmarks/matching.py --threads 2 --quick

Times are the process's CPU time per call after a warm-up (on one thread that is how long a call
takes on a quiet machine), as median and minimum. Embeddings are random directions; labels are
rectangles over a background, as objects are. Errors are of squared distances, against float64.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from tinct.ops.matching import global_matching, local_matching, match_reference, reference_set
from tinct.ops.precision import Precision, bfloat16_is_faster

PAPER_GRID, PAPER_CHANNELS, PAPER_RADIUS = (120, 214), 100, 15
COMPACT_GRID, COMPACT_CHANNELS, COMPACT_RADIUS = (45, 80), 64, 9


@dataclass(frozen=True)
class Row:
    """One line of the table: CPU seconds per call, and the bar that the project set itself, if any."""

    name: str
    precision: str
    median_s: float
    minimum_s: float
    calls: int
    bar_s: float | None = None
    aim_s: float | None = None


@dataclass(frozen=True)
class Error:
    """How far squared distances are from float64's, over random pixels."""

    name: str
    precision: str
    largest: float
    mean: float
    typical_distance: float


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description="Speed and accuracy of the matching kernels.")
    parser.add_argument("--threads", type=int, default=1, help="threads of a matrix product (1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps; other than cpu is wall time (cpu)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.add_argument("--quick", action="store_true", help="fewer calls")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    with torch.no_grad():
        rows = [*paper_rows(device, quick=options.quick), *compact_rows(device, quick=options.quick)]
        errors = measure_errors(device)
    about = {
        "processor": platform.processor() or platform.machine(),
        "device": str(device),
        "torch": torch.__version__,
        "threads": options.threads,
        "bfloat16_is_faster": bfloat16_is_faster(device.type),
    }
    if options.json:
        found = {"about": about, "rows": [asdict(r) for r in rows], "errors": [asdict(e) for e in errors]}
        print(json.dumps(found, indent=2))
    else:
        print_tables(about, rows, errors)


def paper_rows(device: torch.device, *, quick: bool) -> list[Row]:
    """Stride 4 of a 480p frame, 100-d, three objects and background."""
    query, previous, owners = scene(PAPER_GRID, PAPER_CHANNELS, objects=3, device=device)
    pixels, references, membership = query.flatten(1).T, previous.flatten(1).T, owners.flatten(1).T
    rows = []
    for precision, bar, aim in (("float32", 1.4, None), ("bfloat16", None, 0.6)):
        rows.append(
            measured(
                "global, 25,680 against 25,680 pixels, 100-d, 3 objects, exact",
                lambda p=precision: global_matching(pixels, references, membership, precision=p),
                Row("", precision, 0, 0, 3 if quick else 7, bar, aim),
            )
        )
    for temperature in (None, 1.0):
        for precision in ("float32", "bfloat16"):
            rows.append(
                measured(
                    f"local, 120×214, 100-d, window 31×31, 3 objects, {kind(temperature)}",
                    lambda p=precision, t=temperature: local_matching(
                        query, previous, owners, radius=PAPER_RADIUS, temperature=t, precision=p
                    ),
                    Row("", precision, 0, 0, 5 if quick else 15, 0.40, 0.15),
                )
            )
    return rows


def compact_rows(device: torch.device, *, quick: bool) -> list[Row]:
    """Stride 8 of a 360p frame, 64-d, one and six objects and background, with prepared references."""
    combinations = product((1, 6), (None, 1.0), ("float32", "bfloat16"))
    return [
        row
        for objects, temperature, precision in combinations
        for row in compact_scene(objects, temperature, precision, device, calls=7 if quick else 25)
    ]


def compact_scene(
    objects: int, temperature: float | None, precision: Precision, device: torch.device, *, calls: int
) -> Iterator[Row]:
    """Global matching with one and with six frames, and local matching."""
    query, previous, owners = scene(COMPACT_GRID, COMPACT_CHANNELS, objects=objects, device=device)
    pixels, references, membership = query.flatten(1).T, previous.flatten(1).T, owners.flatten(1).T
    blank = Row("", precision, 0, 0, calls)
    what = f"objects: {objects}, {kind(temperature)}"
    for frames in (1, 6):
        prepared = reference_set(
            references.repeat(frames, 1), membership.repeat(frames, 1),
            temperature=temperature, precision=precision,
        )  # fmt: skip
        name = f"global, 3,600 against {3600 * frames:,} pixels, 64-d, {what}"
        yield measured(name, partial(match_reference, prepared, pixels), blank)
    local = partial(
        local_matching, query, previous, owners,
        radius=COMPACT_RADIUS, temperature=temperature, precision=precision,
    )  # fmt: skip
    yield measured(f"local, 45×80, 64-d, window 19×19, {what}", local, blank)


def scene(
    grid: tuple[int, int], channels: int, *, objects: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Two frames of unit embeddings, the second near the first, and the second's masks, background first."""
    previous = F.normalize(torch.randn(channels, *grid), dim=0)
    query = F.normalize(previous + 0.3 * F.normalize(torch.randn(channels, *grid), dim=0), dim=0)
    labels = torch.zeros(grid, dtype=torch.long)
    width = grid[1] // (objects + 1)
    for index in range(objects):
        left = width // 2 + index * width
        labels[grid[0] // 4 : 3 * grid[0] // 4, left : left + 3 * width // 4] = index + 1
    owners = F.one_hot(labels, objects + 1).permute(2, 0, 1).float()
    return query.to(device), previous.to(device), owners.to(device)


def measured(name: str, call: Callable[[], Tensor], blank: Row) -> Row:
    """`blank` with the times of so many calls."""
    first = call()
    on_processor = first.device.type == "cpu"
    seconds = []
    for _ in range(blank.calls):
        started = time.process_time() if on_processor else time.perf_counter()
        result = call()
        if not on_processor:
            result.sum().item()
        seconds.append((time.process_time() if on_processor else time.perf_counter()) - started)
    return Row(
        name, blank.precision, statistics.median(seconds), min(seconds), blank.calls, blank.bar_s, blank.aim_s
    )


def measure_errors(device: torch.device) -> list[Error]:
    """Both precisions, exact and soft, on unit embeddings, on those of length² 10, and on normal ones."""
    errors = []
    for name, length in (("unit", 1.0), ("length² 10", 10**0.5), ("normal, 64-d", None)):
        for temperature in (None, 1.0):
            query = torch.randn(2000, 64, device=device)
            references = torch.randn(4000, 64, device=device)
            if length is not None:
                query, references = F.normalize(query) * length, F.normalize(references) * length
            query[:500] = references[:500] + 0.02 * torch.randn(500, 64, device=device)
            membership = F.one_hot(torch.arange(4000, device=device) % 3, 3).float()
            double = [t.cpu().double() for t in (query, references, membership)]
            truth = global_matching(*double, temperature=temperature)
            for precision in ("float32", "bfloat16"):
                found = global_matching(
                    query, references, membership, temperature=temperature, precision=precision
                )
                off = (found.cpu().double() - truth).abs()
                errors.append(
                    Error(
                        f"{name}, {kind(temperature)}", precision, float(off.max()), float(off.mean()),
                        float(truth.abs().median()),
                    )
                )  # fmt: skip
    return errors


def kind(temperature: float | None) -> str:
    """What a temperature means, for a row's name."""
    return "exact" if temperature is None else f"soft (τ = {temperature:g})"


def print_tables(about: dict[str, object], rows: list[Row], errors: list[Error]) -> None:
    """For people; a bar that is missed says so."""
    print(", ".join(f"{key}: {value}" for key, value in about.items()))
    print(f"\n{'':78} {'precision':9} {'median':>9} {'minimum':>9}")
    for row in rows:
        goals = [f"{word} {s} s" for word, s in (("bar", row.bar_s), ("aim", row.aim_s)) if s is not None]
        missed = "  MISSED" if row.bar_s is not None and row.median_s > row.bar_s else ""
        times = f"{row.median_s * 1e3:7.1f}ms {row.minimum_s * 1e3:7.1f}ms"
        print(f"{row.name:78} {row.precision:9} {times}  {', '.join(goals)}{missed}")
    print(f"\n{'errors of squared distances':40} {'precision':9} {'largest':>9} {'mean':>9} {'median d²':>9}")
    for e in errors:
        print(f"{e.name:40} {e.precision:9} {e.largest:9.2g} {e.mean:9.2g} {e.typical_distance:9.2g}")


if __name__ == "__main__":
    main()
