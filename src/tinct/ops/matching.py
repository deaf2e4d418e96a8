"""Embedding matching (FEELVOS, sections 3.3 and 3.4).

Both kinds of matching ask, for every query pixel and every object, how far the nearest pixel of
that object lies in embedding space: `global_matching` among all reference pixels, `local_matching`
among the previous frame's pixels within a window around the query. They return squared Euclidean
distances; `squash` turns these into the paper's distance in [0, 1].

Membership says which pixel belongs to which object, one column per object (background is an
ordinary object). A void pixel has only zeros.

Each has two forms of one result. Where a gradient is asked for: plain differentiable operations.
Otherwise a fast form whose scratch memory is bounded, whatever the size of the reference set:

- A tile of pairs costs one matrix product (`precision.fold_query`) and one reduction.
- The exact minimum sorts the reference pixels by object once (`ReferenceSet`): each object is a run
  of rows, and the cost does not depend on the number of objects.
- The soft minimum takes one exponential per pair, for all objects together, and a product with the
  membership. Its weights 2^(shift - d²/(τ ln 2)) need no running maximum: as d² >= 0 they cannot
  overflow, and the queries for which they underflow (an object further than about 130 τ, or 60 τ in
  bfloat16) are found afterwards and done again stably.
- Local matching cuts the query grid into blocks of 8×8 cells and compares each with the patch that
  its windows reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from tinct.ops.pixel_sets import ReferenceSet
from tinct.ops.precision import (
    Precision,
    comparable,
    exponent_scale,
    exponent_shift,
    fold_query,
    fold_reference,
    least_mass,
    matching_dtype,
    sum_dtype,
    wall,
)
from tinct.ops.windows import BLOCK, blocks_of, from_blocks, near_in_patch, padded, patches_of_column

_QUERY_TILE, _REFERENCE_TILE = 4096, 512
"""Pixels per tile of global matching: 8 MB in float32."""

_ACCELERATOR_TILE = 16
"""Factor by which reference tiles are longer on accelerators, for fewer launches."""

_LOCAL_PAIRS = 3 << 19
"""Pairs that local matching has in memory at a time: 6 MB in float32."""

_HEADROOM = 40.0
"""Soft weights of the differentiable form are at most e^40, so that small memberships do not underflow."""


def squash(squared_distance: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """FEELVOS, equation 1: d(p, q) = 1 - 2 / (1 + exp(||e_p - e_q||²)), in [0, 1]; infinity gives 1."""
    return torch.tanh(squared_distance / 2)


def squared_distances(
    query: Float[Tensor, "*G Q C"], reference: Float[Tensor, "*G R C"]
) -> Float[Tensor, "*G Q R"]:
    """All pairs ||q - r||² = ||q||² + ||r||² - 2 q·r, clamped at 0; in float32 even under autocast.

    The three terms nearly cancel where pixels are near, so none of them may be rounded.
    """
    query, reference = query.to(sum_dtype(query.dtype)), reference.to(sum_dtype(reference.dtype))
    norms = query.square().sum(-1).unsqueeze(-1) + reference.square().sum(-1).unsqueeze(-2)
    with torch.autocast(query.device.type, enabled=False):
        return (norms - 2 * query @ reference.mT).clamp_min(0)


def global_matching(
    query: Float[Tensor, "Q C"],
    reference: Float[Tensor, "R C"],
    membership: Float[Tensor, "R N"],
    *,
    temperature: float | None = None,
    precision: Precision = "float32",
) -> Float[Tensor, "N Q"]:
    """Squared distance from every query pixel to the nearest reference pixel of every object.

    Args:
        query: Embeddings of the current frame's pixels.
        reference: Embeddings of the reference pixels.
        membership: In [0, 1].
        temperature: None for the paper's exact minimum over the pixels whose membership exceeds
            one half. A positive number τ for the soft minimum -τ log Σ_r m_r exp(-d²/τ), which
            passes a gradient to every pixel and becomes the minimum as τ falls to 0. It lies below
            the minimum, and below 0 where many pixels are near.
        precision: Of the fast form; the differentiable one is float32 (float64 for float64).

    Returns:
        [N, Q]; infinity for an object without pixels.

    Raises:
        OptionError: The precision is unknown.
    """
    if _needs_gradient(query, reference, membership):
        distances = squared_distances(query, reference)
        return _nearest(distances, membership.to(distances.dtype), temperature)
    references = reference_set(reference, membership, temperature=temperature, precision=precision)
    return match_reference(references, query)


@torch.no_grad()
def reference_set(
    embedding: Float[Tensor, "R C"],
    membership: Float[Tensor, "R N"],
    *,
    temperature: float | None = None,
    precision: Precision = "float32",
) -> ReferenceSet:
    """Sort, fold and round the pixels; arguments and errors as for `global_matching`."""
    dtype = matching_dtype(precision, embedding)
    runs: list[tuple[int, int]] = []
    if temperature is None:
        owned = [torch.nonzero(column > 0.5)[:, 0] for column in membership.unbind(1)]
        for pixels in owned:
            first = runs[-1][1] if runs else 0
            runs.append((first, first + len(pixels)))
        chosen = torch.cat(owned)
    else:
        chosen = torch.nonzero((membership > 0).any(1))[:, 0]
    rows = fold_reference(embedding[chosen], temperature, dtype)
    weights = membership[chosen].T.to(dtype).contiguous()
    return ReferenceSet(embedding, membership, temperature, rows, tuple(runs), weights)


@torch.no_grad()
def match_reference(reference: ReferenceSet, query: Float[Tensor, "Q C"]) -> Float[Tensor, "N Q"]:
    """As `global_matching`, without a gradient."""
    folded = fold_query(query, reference.temperature, reference.rows.dtype)
    if reference.temperature is None:
        return _least(reference, folded)
    with torch.autocast(query.device.type, enabled=False):
        mass = _mass(reference, folded)
    shift = exponent_shift(reference.temperature, reference.rows.dtype)
    nearest = (shift - mass.log2()) / exponent_scale(reference.temperature)
    starved = (mass < least_mass(mass.dtype)) & (reference.weights > 0).any(1, keepdim=True)
    again = torch.nonzero(starved.any(0))[:, 0]
    longest = max(1, _QUERY_TILE * _REFERENCE_TILE // max(1, len(reference.embedding)))
    for part in (again[span] for span in _spans(0, len(again), longest)):
        distances = squared_distances(query[part], reference.embedding)
        nearest[:, part] = _nearest(distances, reference.membership.to(mass.dtype), reference.temperature)
    return nearest


def _least(reference: ReferenceSet, query: Float[Tensor, "Q K"]) -> Float[Tensor, "N Q"]:
    least = query.new_full((len(reference.runs), len(query)), torch.inf)
    ordered = comparable(least)
    # A query's own norm is the same for all pixels: unless rounding wants a distance, it can wait.
    late = query.dtype == sum_dtype(query.dtype)
    used = query.shape[1] - late
    for columns, scratch in _query_tiles(query):
        tile = query[columns, :used]
        for index, (first, last) in enumerate(reference.runs):
            best = ordered[index, columns]
            for rows in _spans(first, last, _reference_tile(query)):
                pairs = _cut(scratch, len(tile), rows.stop - rows.start)
                torch.mm(tile, reference.rows[rows, :used].T, out=pairs)
                torch.minimum(best, comparable(pairs).amin(1), out=best)
    least = least.to(sum_dtype(query.dtype))
    return (least + query[:, -1] if late else least).clamp_min_(0)


def _mass(reference: ReferenceSet, query: Float[Tensor, "Q K"]) -> Float[Tensor, "N Q"]:
    """Σ_r m_r 2^(shift - d²/(τ ln 2))."""
    mass = query.new_zeros(len(reference.weights), len(query), dtype=sum_dtype(query.dtype))
    for columns, scratch in _query_tiles(query):
        tile = query[columns].T
        for rows in _spans(0, len(reference.rows), _reference_tile(query)):
            pairs = _cut(scratch, rows.stop - rows.start, tile.shape[1])
            torch.mm(reference.rows[rows], tile, out=pairs)
            mass[:, columns] += reference.weights[:, rows] @ pairs.exp2_()
    return mass


def local_matching(
    query: Float[Tensor, "C H W"],
    previous: Float[Tensor, "C H W"],
    membership: Float[Tensor, "N H W"],
    *,
    radius: int,
    temperature: float | None = None,
    precision: Precision = "float32",
) -> Float[Tensor, "N H W"]:
    """Squared distance from every query pixel to each object's nearest previous pixel within a window.

    Args:
        query: Embeddings of the current frame.
        previous: Embeddings of the previous frame, on the same grid.
        membership: The previous frame's masks on that grid, in [0, 1].
        radius: The window's reach k in cells: |dx| <= k and |dy| <= k. Neighbours outside the
            image are excluded.
        temperature: As for `global_matching`.
        precision: As for `global_matching`.

    Returns:
        [N, H, W]; infinity where no pixel of the object lies in the window.

    Raises:
        OptionError: The precision is unknown.
    """
    radius = min(radius, max(query.shape[1:]))
    if not _needs_gradient(query, previous, membership):
        return _local_fast(query, previous, membership, radius, temperature, precision)
    queries, patches, owners, inside = (
        blocks_of(grid.permute(1, 2, 0), reach).flatten(0, 1)
        for grid, reach in (
            (query, 0),
            (previous, radius),
            (membership, radius),
            (torch.ones_like(query[:1]), radius),
        )
    )
    near = near_in_patch(radius, query.device) & (inside.mT > 0)
    distances = squared_distances(queries, patches).masked_fill(~near, torch.inf)
    nearest = _nearest(distances, owners.to(distances.dtype), temperature)
    return from_blocks(nearest, (query.shape[1], query.shape[2]))


@torch.no_grad()
def _local_fast(
    query: Float[Tensor, "C H W"],
    previous: Float[Tensor, "C H W"],
    membership: Float[Tensor, "N H W"],
    radius: int,
    temperature: float | None,
    precision: Precision,
) -> Float[Tensor, "N H W"]:
    """Local matching by columns of blocks: the patches of a column overlap within one copied strip."""
    dtype = matching_dtype(precision, query)
    queries = blocks_of(fold_query(query.permute(1, 2, 0), temperature, dtype), 0)
    rows = padded(fold_reference(previous.permute(1, 2, 0), temperature, dtype), radius)
    owners = padded(membership.permute(1, 2, 0), radius).permute(2, 0, 1).contiguous()
    near = near_in_patch(radius, query.device)
    if temperature is None:
        owners, window = wall(owners > 0.5, dtype), wall(near, dtype)
    else:
        owners = owners.to(dtype)
        window = owners.new_zeros(()).where(near.T.contiguous(), -torch.inf)
    nearest = query.new_empty(*queries.shape[:2], len(owners), BLOCK**2, dtype=sum_dtype(dtype))
    step = max(1, _LOCAL_PAIRS // near.numel())
    count = near.numel() * min(step, len(queries))
    scratch = (queries.new_empty(count), comparable(queries.new_empty(count)))
    for column in range(queries.shape[1]):
        patches = patches_of_column(rows[None], column, radius)[0]
        owned = patches_of_column(owners[..., None], column, radius)[:, :, 0]
        for span in _spans(0, len(queries), step):
            block = (queries[span, column], patches[span], owned[:, span], window)
            if temperature is None:
                nearest[span, column] = _local_least(*block, scratch)
            else:
                nearest[span, column] = _local_soft(*block, scratch[0], temperature)
    return from_blocks(nearest.flatten(0, 1), (query.shape[1], query.shape[2]))


def _local_least(
    queries: Float[Tensor, "B M K"],
    patches: Float[Tensor, "B K P"],
    owners: Shaped[Tensor, "N B P"],
    window: Shaped[Tensor, "M P"],
    scratch: tuple[Tensor, Tensor],
) -> Float[Tensor, "B N M"]:
    """`owners` and `window` are walls: the larger of one and a distance is the distance, or infinity."""
    pairs = torch.bmm(queries, patches, out=_cut(scratch[0], len(queries), *window.shape))
    ordered = comparable(pairs)
    torch.maximum(ordered, window, out=ordered)
    least = pairs.new_full((len(owners), *pairs.shape[:2]), torch.inf)
    for index, has_pixels in enumerate((owners <= 0).any(2).tolist()):
        if any(has_pixels):
            span = slice(has_pixels.index(True), len(has_pixels) - has_pixels[::-1].index(True))
            walled = _cut(scratch[1], *ordered.shape)[span]
            torch.maximum(ordered[span], owners[index, span].unsqueeze(1), out=walled)
            comparable(least[index])[span] = walled.amin(-1)
    return least.transpose(0, 1)


def _local_soft(
    queries: Float[Tensor, "B M K"],
    patches: Float[Tensor, "B K P"],
    owners: Float[Tensor, "N B P"],
    window: Float[Tensor, "P M"],
    scratch: Tensor,
    temperature: float,
) -> Float[Tensor, "B N M"]:
    """As `_local_least`, by sums; pairs lie reference-major, and `window` is added to the exponents."""
    scale, shift = exponent_scale(temperature), exponent_shift(temperature, queries.dtype)
    owners = owners.transpose(0, 1)
    wide = sum_dtype(queries.dtype)

    def exponents() -> Float[Tensor, "B P M"]:
        return torch.bmm(patches.mT, queries.mT, out=_cut(scratch, len(queries), *window.shape))

    with torch.autocast(queries.device.type, enabled=False):
        mass = torch.bmm(owners, exponents().add_(window).exp2_()).to(wide)
    starved = mass < least_mass(mass.dtype)
    if starved.any():
        near = window > -torch.inf
        in_reach = ((owners > 0).to(wide) @ near.to(wide)) > 0
        if (starved & in_reach).any():
            distances = ((shift - exponents().to(wide)) / scale).clamp_min_(0).masked_fill_(~near, torch.inf)
            return _nearest(distances.mT, owners.to(wide).mT, temperature)
    return (shift - mass.log2()) / scale


def _nearest(
    distances: Float[Tensor, "*G Q R"], membership: Float[Tensor, "*G R N"], temperature: float | None
) -> Float[Tensor, "*G N Q"]:
    """The exact or soft minimum over R for every object, differentiable."""
    if temperature is None:
        blocked = torch.zeros_like(membership).masked_fill_(membership <= 0.5, torch.inf)
        return torch.stack([(distances + c.unsqueeze(-2)).amin(-1) for c in blocked.unbind(-1)], -2)
    closest = distances.detach().amin(-1, keepdim=True)
    mass, nearest = _soft_minimum(distances, membership, closest, temperature)
    starved = mass < least_mass(mass.dtype)
    if starved.any():
        blocked = torch.zeros_like(membership).masked_fill_(membership <= 0, torch.inf)
        walled = [distances + column.unsqueeze(-2) for column in blocked.unbind(-1)]
        closest_of = [one.detach().amin(-1, keepdim=True) for one in walled]
        if (starved & torch.cat(closest_of, -1).isfinite()).any():
            # Some object lies so far from its query that its weights vanish beside the closest pixel's.
            parts = zip(walled, membership.unbind(-1), closest_of, strict=True)
            nearest = torch.cat(
                [_soft_minimum(d, m.unsqueeze(-1), c, temperature)[1] for d, m, c in parts], -1
            )
    return nearest.mT


def _soft_minimum(
    distances: Float[Tensor, "*G Q R"],
    membership: Float[Tensor, "*G R N"],
    closest: Float[Tensor, "*G Q 1"],
    temperature: float,
) -> tuple[Float[Tensor, "*G Q N"], Float[Tensor, "*G Q N"]]:
    """Σ_r m_r exp((top - d²)/τ) and top - τ log of it, where top is a little above the closest pixel's d²."""
    top = torch.where(closest.isfinite(), closest, 0) + _HEADROOM * temperature
    with torch.autocast(distances.device.type, enabled=False):
        mass = torch.exp((top - distances) / temperature) @ membership
    empty = mass <= 0
    # Nothing of an empty object may reach the logarithm, not even its gradient, which would be 0/0.
    nearest = top - temperature * torch.where(empty, 1, mass).log()
    return mass, nearest.masked_fill(empty, torch.inf)


def _needs_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _spans(first: int, last: int, longest: int) -> Iterator[slice]:
    """Equal slices of [first, last), none longer than a limit."""
    parts = -(-(last - first) // longest)
    cuts = [first + (last - first) * part // max(1, parts) for part in range(parts + 1)]
    return (slice(*pair) for pair in pairwise(cuts))


def _reference_tile(query: Tensor) -> int:
    return _REFERENCE_TILE if query.device.type == "cpu" else _REFERENCE_TILE * _ACCELERATOR_TILE


def _query_tiles(query: Float[Tensor, "Q K"]) -> Iterator[tuple[slice, Tensor]]:
    """Slices of the query pixels, each with the same scratch for its pairs with a reference tile."""
    scratch = query.new_empty(min(_QUERY_TILE, len(query)) * _reference_tile(query))
    return ((columns, scratch) for columns in _spans(0, len(query), _QUERY_TILE))


def _cut(scratch: Tensor, *shape: int) -> Tensor:
    return scratch[: torch.Size(shape).numel()].view(shape)
