"""Embedding matching (FEELVOS, sections 3.3 and 3.4).

Both kinds of matching ask, for every query pixel and every object, how far the nearest pixel of
that object lies in embedding space: `global_matching` among all reference pixels, `local_matching`
among the previous frame's pixels within a window around the query. They return squared Euclidean
distances; `squash` turns these into the paper's distance in [0, 1].

Membership says which pixel belongs to which object, one column per object (background is an
ordinary object). A pixel that belongs to nobody (void) has only zeros.

Each has two forms of one result. Where a gradient is asked for: plain differentiable operations.
Otherwise a fast form whose scratch memory is bounded, whatever the size of the reference set:

- A tile of pairs costs one matrix product (`precision.fold_query`) and one reduction.
- The exact minimum sorts the reference pixels by object once (`ReferenceSet`): each object is a run
  of rows, and the cost does not depend on the number of objects.
- The soft minimum takes one exponential per pair, for all objects together, and a product with the
  membership. Its weights 2^(shift - d²/(τ ln 2)) need no running maximum: as d² >= 0 they cannot
  overflow, and the queries for which they underflow (an object further than about 130 τ) are found
  afterwards and done again stably.
- Local matching cuts the query grid into blocks of 8×8 cells and compares each with the patch that
  its windows reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from tinct.ops.precision import (
    SHIFT,
    Precision,
    comparable,
    exponent_scale,
    fold_query,
    fold_reference,
    folded_shift,
    least_mass,
    matching_dtype,
    sum_dtype,
    wall,
)

_BLOCK = 8
"""Side of local matching's query blocks in cells: larger ones waste pairs, smaller ones waste products."""

_QUERY_TILE, _REFERENCE_TILE = 4096, 512
"""Pixels per tile of global matching: 8 MB in float32."""

_ACCELERATOR_TILE = 16
"""Accelerators take reference tiles so many times longer, for fewer launches."""

_LOCAL_PAIRS = 3 << 19
"""Pairs that local matching holds at a time: 6 MB in float32."""

_HEADROOM = 40.0
"""Soft weights of the differentiable form are at most e^40, so that small memberships do not underflow."""


def squash(squared_distance: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """FEELVOS, equation 1: d(p, q) = 1 - 2 / (1 + exp(||e_p - e_q||²)), in [0, 1]; infinity gives 1."""
    return torch.tanh(squared_distance / 2)


def squared_distances(
    query: Float[Tensor, "*G Q C"], reference: Float[Tensor, "*G R C"]
) -> Float[Tensor, "*G Q R"]:
    """All pairs ||q - r||² = ||q||² + ||r||² - 2 q·r, clamped at 0."""
    norms = query.square().sum(-1).unsqueeze(-1) + reference.square().sum(-1).unsqueeze(-2)
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
        OptionError: No such precision.
    """
    if not _needs_gradient(query, reference, membership):
        return ReferenceSet.of(reference, membership, temperature=temperature, precision=precision).match(
            query
        )
    with torch.autocast(query.device.type, enabled=False):
        wide = sum_dtype(query.dtype)
        distances = squared_distances(query.to(wide), reference.to(wide))
        return _nearest(distances, membership.to(wide), temperature)


@dataclass(frozen=True)
class ReferenceSet:
    """Reference pixels made ready for global matching: made once, matched with many frames.

    Attributes:
        embedding: [R, C], as given.
        membership: [R, N], as given.
        temperature: As for `global_matching`.
        rows: [R', K], folded embeddings: sorted by object for the exact minimum (a pixel of two
            objects comes twice), those of any object for the soft one.
        runs: For the exact minimum, each object's first row and the one after its last.
        weights: [N, R'], for the soft minimum: the membership of the rows.
    """

    embedding: Tensor
    membership: Tensor
    temperature: float | None
    rows: Tensor
    runs: tuple[tuple[int, int], ...]
    weights: Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls,
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
        weights = membership[chosen].T.to(sum_dtype(dtype)).contiguous()
        return cls(embedding, membership, temperature, rows, tuple(runs), weights)

    @torch.no_grad()
    def match(self, query: Float[Tensor, "Q C"]) -> Float[Tensor, "N Q"]:
        """As `global_matching`, without a gradient."""
        folded = fold_query(query, self.temperature, self.rows.dtype)
        if self.temperature is None:
            return self._least(folded)
        mass = self._mass(folded)
        nearest = (SHIFT - mass.log2()) / exponent_scale(self.temperature)
        starved = (mass < least_mass(mass.dtype)) & (self.weights > 0).any(1, keepdim=True)
        again = torch.nonzero(starved.any(0))[:, 0]
        longest = max(1, _QUERY_TILE * _REFERENCE_TILE // max(1, len(self.embedding)))
        for part in (again[span] for span in _spans(0, len(again), longest)):
            distances = squared_distances(query[part].to(mass.dtype), self.embedding.to(mass.dtype))
            nearest[:, part] = _nearest(distances, self.membership.to(mass.dtype), self.temperature)
        return nearest

    def _least(self, query: Float[Tensor, "Q K"]) -> Float[Tensor, "N Q"]:
        least = query.new_full((len(self.runs), len(query)), torch.inf)
        ordered = comparable(least)
        for columns, scratch in _query_tiles(query):
            tile = query[columns]
            for index, (first, last) in enumerate(self.runs):
                best = ordered[index, columns]
                for rows in _spans(first, last, _reference_tile(query)):
                    pairs = _cut(scratch, len(tile), rows.stop - rows.start)
                    torch.mm(tile, self.rows[rows].T, out=pairs)
                    torch.minimum(best, comparable(pairs).amin(1), out=best)
        return least.to(self.weights.dtype).clamp_min_(0)

    def _mass(self, query: Float[Tensor, "Q K"]) -> Float[Tensor, "N Q"]:
        """Σ_r m_r 2^(shift - d²/(τ ln 2))."""
        mass = self.weights.new_zeros(len(self.weights), len(query))
        wide = mass.new_empty(0)
        for columns, scratch in _query_tiles(query):
            tile = query[columns].T
            for rows in _spans(0, len(self.rows), _reference_tile(query)):
                pairs = _cut(scratch, rows.stop - rows.start, tile.shape[1])
                torch.mm(self.rows[rows], tile, out=pairs)
                if pairs.dtype != mass.dtype:
                    wide = wide if len(wide) else torch.empty_like(scratch, dtype=mass.dtype)
                    pairs = _cut(wide, *pairs.shape).copy_(pairs).add_(SHIFT)
                mass[:, columns].addmm_(self.weights[:, rows], pairs.exp2_())
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
        OptionError: No such precision.
    """
    radius = min(radius, max(query.shape[1:]))
    if not _needs_gradient(query, previous, membership):
        return _Windows.of(query, previous, membership, radius, temperature, precision).match()
    with torch.autocast(query.device.type, enabled=False):
        wide = sum_dtype(query.dtype)
        queries, patches, owners = (
            _blocks(grid.to(wide).permute(1, 2, 0), reach).flatten(0, 1)
            for grid, reach in ((query, 0), (previous, radius), (membership, radius))
        )
        inside = _blocks(torch.ones_like(query[0, :, :, None]), radius)[..., 0].flatten(0, 1) > 0
        apart = ~(_near(radius, query.device) & inside.unsqueeze(1))
        distances = squared_distances(queries, patches).masked_fill(apart, torch.inf)
        return _from_blocks(_nearest(distances, owners, temperature), (query.shape[1], query.shape[2]))


@dataclass(frozen=True)
class _Windows:
    """Local matching without a gradient: query blocks, and strips of the previous frame, 8 columns apart.

    A block's patch is a contiguous run of its strip, so that no patch is ever copied.

    Attributes:
        queries: [rows of blocks, columns of blocks, M, K], folded.
        previous: [H', W', K], folded and padded.
        membership: [H', W', N], padded.
        near: [M, P], which pixel of the patch lies in whose window.
    """

    size: tuple[int, int]
    radius: int
    temperature: float | None
    queries: Tensor
    previous: Tensor
    membership: Tensor
    near: Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls, query: Tensor, previous: Tensor, membership: Tensor, radius: int, temperature: float | None,
        precision: Precision,
    ) -> _Windows:  # fmt: skip
        dtype = matching_dtype(precision, query)
        queries = fold_query(query.permute(1, 2, 0), temperature, dtype)
        rows = fold_reference(previous.permute(1, 2, 0), temperature, dtype)
        owners = membership.permute(1, 2, 0).to(sum_dtype(dtype))
        return cls(
            (query.shape[1], query.shape[2]), radius, temperature, _blocks(queries, 0),
            _padded(rows, radius), _padded(owners, radius), _near(radius, query.device),
        )  # fmt: skip

    @torch.no_grad()
    def match(self) -> Float[Tensor, "N H W"]:
        blocks, columns = self.queries.shape[:2]
        nearest = self.membership.new_empty(blocks, columns, self.membership.shape[-1], _BLOCK**2)
        scratch = self.queries.new_empty(2, max(_LOCAL_PAIRS, self.near.numel()))
        step = max(1, _LOCAL_PAIRS // self.near.numel())
        reduce = self._least if self.temperature is None else self._soft
        for column in range(columns):
            patches = self._strip(self.previous, column)
            owners = self._strip(self.membership, column)
            for rows in _spans(0, blocks, step):
                queries = self.queries[rows, column]
                nearest[rows, column] = reduce(queries, patches[rows], owners[rows], scratch)
        return _from_blocks(nearest.flatten(0, 1), self.size)

    def _strip(self, grid: Shaped[Tensor, "H W K"], column: int) -> Shaped[Tensor, "B K P"]:
        """The patches of a column of blocks: overlapping views of one copy."""
        width = _BLOCK + 2 * self.radius
        strip = grid[:, column * _BLOCK : column * _BLOCK + width].reshape(-1, grid.shape[-1])
        return strip.unfold(0, width * width, _BLOCK * width)

    def _least(self, queries: Tensor, patches: Tensor, owners: Tensor, scratch: Tensor) -> Tensor:
        """[B, M, K] against [B, K, P] with owners [B, N, P] -> [B, N, M]."""
        shape = (len(queries), len(self.near), patches.shape[-1])
        pairs = torch.bmm(queries, patches, out=_cut(scratch[0], *shape))
        ordered = comparable(pairs)
        # The larger of a distance and the wall is the distance, clamped at 0, or infinity.
        torch.maximum(ordered, wall(self.near, pairs.dtype), out=ordered)
        walls = wall(owners > 0.5, pairs.dtype).unbind(1)
        least = pairs.new_full((owners.shape[1], *shape[:2]), torch.inf)
        for index, held in enumerate((owners > 0.5).any(2).T.tolist()):
            if any(held):
                rows = slice(held.index(True), len(held) - held[::-1].index(True))
                walled = comparable(_cut(scratch[1], *shape)[rows])
                torch.maximum(ordered[rows], walls[index][rows].unsqueeze(1), out=walled)
                comparable(least[index])[rows] = walled.amin(-1)
        return least.transpose(0, 1)

    def _soft(self, queries: Tensor, patches: Tensor, owners: Tensor, scratch: Tensor) -> Tensor:
        """As `_least`, by sums of powers of two; pairs lie reference-major, as the sums want them."""
        shape = (len(queries), patches.shape[-1], len(self.near))
        assert self.temperature is not None
        folded = folded_shift(self.temperature, queries.dtype)
        pairs = torch.bmm(patches.mT, queries.mT, out=_cut(scratch[0], *shape))
        if pairs.dtype != owners.dtype:
            pairs = pairs.to(owners.dtype)
        walls = owners.new_full((1,), SHIFT - folded).where(self.near.T, -torch.inf)
        mass = torch.bmm(owners, (pairs + walls).exp2_())
        scale = exponent_scale(self.temperature)
        starved = mass < least_mass(mass.dtype)
        if (
            starved.any()
            and (starved & (((owners > 0).to(mass.dtype) @ self.near.T.to(mass.dtype)) > 0)).any()
        ):
            distances = ((folded - pairs) / scale).masked_fill_(~self.near.T, torch.inf).clamp_min_(0)
            return _nearest(distances.mT, owners.mT, self.temperature)
        return (SHIFT - mass.log2()) / scale


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
    mass = torch.exp((top - distances) / temperature) @ membership
    empty = mass <= 0
    # Nothing of an empty object may reach the logarithm, not even its gradient, which would be 0/0.
    nearest = top - temperature * torch.where(empty, 1, mass).log()
    return mass, nearest.masked_fill(empty, torch.inf)


def _needs_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _spans(first: int, last: int, longest: int) -> Iterator[slice]:
    """Equal slices of [first, last), none longer than so much."""
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


def _near(radius: int, device: torch.device) -> Bool[Tensor, "M P"]:
    """Which pixel of a patch lies in the window of which cell of its block."""
    near = (
        torch.arange(_BLOCK + 2 * radius, device=device)
        - torch.arange(_BLOCK, device=device)[:, None]
        - radius
    ).abs() <= radius
    return (near[:, None, :, None] & near[None, :, None, :]).flatten(2).flatten(0, 1)


def _padded(grid: Shaped[Tensor, "H W K"], reach: int) -> Shaped[Tensor, "H2 W2 K"]:
    """Zeros around: `reach` on every side, and what whole blocks need."""
    below, right = -grid.shape[0] % _BLOCK + reach, -grid.shape[1] % _BLOCK + reach
    return F.pad(grid, (0, 0, reach, right, reach, below))


def _blocks(grid: Shaped[Tensor, "H W K"], reach: int) -> Shaped[Tensor, "rows columns P K"]:
    """Every block of cells, with `reach` cells more on every side."""
    side = _BLOCK + 2 * reach
    blocks = _padded(grid, reach).unfold(0, side, _BLOCK).unfold(1, side, _BLOCK)
    return blocks.permute(0, 1, 3, 4, 2).flatten(2, 3)


def _from_blocks(blocks: Shaped[Tensor, "G N M"], size: tuple[int, int]) -> Shaped[Tensor, "N H W"]:
    """Blocks, row by row, put together; what pads them is cut off."""
    rows, columns = -(-size[0] // _BLOCK), -(-size[1] // _BLOCK)
    grid = blocks.reshape(rows, columns, -1, _BLOCK, _BLOCK)
    return grid.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)[:, : size[0], : size[1]]
