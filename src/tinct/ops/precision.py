"""The number format of matching: exact float32, or bfloat16 where it is faster.

`fold_query` and `fold_reference` write squared distances as one matrix product,
[q, 1, |q|²]·[-2r, |r|², 1] = ||q - r||². In bfloat16 the embeddings are rounded first; the norms,
computed from the rounded values in float32, take two bfloat16 columns each (16 bits). The product
accumulates in float32 and is rounded once, as a distance: the error is relative to d², and the
norms do not cancel into noise, as they would if the inner product were rounded.

Errors of squared distances in bfloat16 against float64, largest and mean over 2,000 queries, 4,000
random 64-d pixels of three objects (`benchmarks/matching.py`; in float32 they are below 1e-4):

| embeddings | median d² | exact minimum | soft minimum, τ = 1 |
|---|---|---|---|
| of length 1 | 1.2 | 0.0062, 0.0018 | 0.0036, 0.0007 |
| of length² 10 | 12 | 0.052, 0.015 | 0.030, 0.0053 |
| normal, length² about 64 | 71 | 0.40, 0.11 | 0.20, 0.0012 (most done again in float32) |
"""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from tinct.errors import OptionError, near_match

Precision = Literal["float32", "bfloat16", "auto"]
"""float32 is exact; bfloat16 halves the work of processors that have it; auto asks `bfloat16_is_faster`."""

PRECISIONS = ("float32", "bfloat16", "auto")


def matching_dtype(precision: str, embedding: Float[Tensor, "..."]) -> torch.dtype:
    """The dtype in which to compare embeddings; float64 stays float64 where no bfloat16 is wanted.

    Raises:
        OptionError: The precision is unknown.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"Unknown precision {precision!r}. {near_match(precision, PRECISIONS)}")
    if precision == "bfloat16" or (precision == "auto" and bfloat16_is_faster(embedding.device.type)):
        return torch.bfloat16
    return sum_dtype(embedding.dtype)


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for itself, float32 for everything narrower."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@lru_cache(maxsize=8)
def bfloat16_is_faster(device_type: str) -> bool:
    """Whether a bfloat16 matrix product of matching's size is clearly faster on this kind of device.

    On a processor the product is timed once per process (a few milliseconds), and bfloat16 must be a quarter
    faster, because it costs accuracy. For CUDA devices the capability decides; others use float32.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device_type != "cpu":
        return False
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return _product_seconds(torch.bfloat16) * 1.25 < _product_seconds(torch.float32)


def _product_seconds(dtype: torch.dtype) -> float:
    """The best of a few runs, so that a busy machine does not decide."""
    left, right = torch.ones(512, 96, dtype=dtype), torch.ones(96, 512, dtype=dtype)
    product = torch.empty(512, 512, dtype=dtype)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        torch.mm(left, right, out=product)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def exponent_scale(temperature: float | None) -> float:
    """1 for exact distances; 1/(τ ln 2) for the soft minimum, whose weights are powers of two."""
    return 1.0 if temperature is None else 1 / (temperature * math.log(2))


def exponent_shift(temperature: float | None, dtype: torch.dtype) -> float:
    """The offset of a soft weight's exponent, by which weights of far pixels do not underflow.

    2^105 times 4 million pixels still fits in float32. In bfloat16, whose rounding is relative, the
    exponent must stay a distance: nothing is added.
    """
    return 0.0 if temperature is None or dtype == torch.bfloat16 else 105.0


def fold_query(
    points: Float[Tensor, "*G C"], temperature: float | None, dtype: torch.dtype
) -> Float[Tensor, "*G K"]:
    """Rows whose product with `fold_reference`'s is d², or a soft weight's exponent: shift - d²/(τ ln 2)."""
    rounded, norms = _rounded(points, temperature, dtype)
    return torch.cat([rounded, *(torch.ones_like(column) for column in norms), *norms], -1)


def fold_reference(
    points: Float[Tensor, "*G C"], temperature: float | None, dtype: torch.dtype
) -> Float[Tensor, "*G K"]:
    """The other factor of `fold_query`'s."""
    rounded, norms = _rounded(points, temperature, dtype)
    ones = [torch.ones_like(column) for column in norms]
    norms[0] = norms[0] - exponent_shift(temperature, dtype)
    folded = torch.cat([-2 * rounded, *norms, *ones], -1)
    return folded if temperature is None else folded.neg_()


def _rounded(
    points: Float[Tensor, "*G C"], temperature: float | None, dtype: torch.dtype
) -> tuple[Float[Tensor, "*G C"], list[Float[Tensor, "*G 1"]]]:
    """Points scaled and rounded, and the columns that add up to their squared norms."""
    wide = sum_dtype(dtype)
    rounded = (points.to(wide) * math.sqrt(exponent_scale(temperature))).to(dtype)
    norms = rounded.to(wide).square().sum(-1, keepdim=True)
    if dtype == wide:
        return rounded, [norms]
    high = norms.to(dtype)
    return rounded, [high, (norms - high.to(wide)).to(dtype)]


def least_mass(dtype: torch.dtype) -> float:
    """Below this, part of a sum of weights may have underflowed."""
    return torch.finfo(dtype).tiny * 1e12


def comparable(distances: Float[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """bfloat16 as int16, in the same order from -0.0 up, and several times faster to compare.

    A negative distance (a rounded 0) becomes a very negative integer, and 0 by the clamp that follows.
    """
    return distances.view(torch.int16) if distances.dtype == torch.bfloat16 else distances


def wall(inside: Bool[Tensor, "..."], dtype: torch.dtype) -> Shaped[Tensor, "..."]:
    """-0.0 inside, infinity outside, comparable."""
    low = torch.full((), -0.0, dtype=dtype, device=inside.device)
    return comparable(low.where(inside, torch.inf))
