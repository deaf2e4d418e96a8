"""What a figure was measured on: the processor, and its rate of matrix products, the floor of a frame.

python benchmarks/processor.py
"""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path

import numpy as np

FRAME_GFLOP = 13.7
"""Arithmetic of a frame of 768×432 pixels and one object: convolutions and matching, the preset `default`."""

SIDE = 512


def processor_name() -> str:
    """As the processor calls itself, with the widest instructions that it has."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = [line.partition(":")[2].strip() for line in info.read_text().splitlines()]
    name = next((line for line in lines if " " in line and any(c.isalpha() for c in line)), "unknown")
    flags = next((set(line.split()) for line in lines if " sse2 " in f" {line} "), set())
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(wide)})"


def gemm_gflops() -> float:
    """Float32 products of 512×512 matrices by NumPy, per second of processor time; median of 20."""
    one = np.ones((SIDE, SIDE), np.float32)
    out, seconds = np.empty_like(one), []
    for _ in range(20):
        started = time.process_time()
        np.matmul(one, one, out=out)
        seconds.append(time.process_time() - started)
    return 2 * SIDE**3 / statistics.median(seconds) / 1e9


def floor_s(gflops: float) -> float:
    """The time in which a frame's arithmetic could be done at that rate."""
    return FRAME_GFLOP / gflops


if __name__ == "__main__":
    RATE = gemm_gflops()
    print(f"{processor_name()}: {RATE:.0f} GFLOP/s of one thread in float32 products")
    print(f"so a frame takes at least {floor_s(RATE):.3f} s of processor time")
