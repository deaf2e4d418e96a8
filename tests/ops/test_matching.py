"""The kernels against plain loops over pixels, in float64."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tinct.errors import OptionError
from tinct.ops import matching, precision
from tinct.ops.matching import (
    global_matching,
    local_matching,
    match_reference,
    reference_set,
    squared_distances,
    squash,
)
from tinct.ops.precision import bfloat16_is_faster, fold_query, fold_reference, matching_dtype

TEMPERATURES = (None, 1.0, 0.05)


# Slow twins ---------------------------------------------------------------------------------------


def slow_nearest(distances: np.ndarray, membership: np.ndarray, temperature: float | None) -> float:
    """One pixel and one object: `distances` to some pixels, and their membership."""
    if temperature is None:
        return min((float(d) for d, m in zip(distances, membership, strict=True) if m > 0.5), default=np.inf)
    held = [(float(d), float(m)) for d, m in zip(distances, membership, strict=True) if m > 0]
    if not held:
        return np.inf
    least = min(d for d, _ in held)
    return least - temperature * np.log(sum(m * np.exp((least - d) / temperature) for d, m in held))


def slow_global(
    query: Tensor, reference: Tensor, membership: Tensor, temperature: float | None
) -> np.ndarray:
    q, r, m = (t.detach().double().numpy() for t in (query, reference, membership))
    found = np.zeros((m.shape[1], len(q)))
    for pixel in range(len(q)):
        distances = np.array([((q[pixel] - other) ** 2).sum() for other in r])
        for index in range(m.shape[1]):
            found[index, pixel] = slow_nearest(distances, m[:, index], temperature)
    return found


def slow_local(
    query: Tensor, previous: Tensor, membership: Tensor, radius: int, temperature: float | None
) -> np.ndarray:
    q, p, m = (t.detach().double().numpy() for t in (query, previous, membership))
    _, H, W = q.shape
    found = np.zeros((len(m), H, W))
    for y in range(H):
        for x in range(W):
            rows = slice(max(0, y - radius), y + radius + 1)
            columns = slice(max(0, x - radius), x + radius + 1)
            window = p[:, rows, columns].reshape(len(p), -1)
            distances = ((q[:, y, x, None] - window) ** 2).sum(0)
            for index in range(len(m)):
                found[index, y, x] = slow_nearest(distances, m[index, rows, columns].reshape(-1), temperature)
    return found


def pixels(seed: int, count: int, channels: int) -> Tensor:
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))


def owners(seed: int, count: int, objects: int) -> Tensor:
    """Soft and overlapping; void pixels belong to nobody."""
    generator = torch.Generator().manual_seed(seed)
    membership = torch.rand(count, objects, generator=generator)
    membership[torch.rand(count, objects, generator=generator) < 0.4] = 0
    membership[torch.rand(count, generator=generator) < 0.2] = 0
    return membership


def assert_equal(found: Tensor, expected: np.ndarray, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(found.detach().double().numpy(), expected, rtol=tolerance, atol=tolerance)


# Known values -------------------------------------------------------------------------------------


def test_squash_is_equation_1() -> None:
    squared = torch.tensor([0.0, 0.3, 2.0, torch.inf], dtype=torch.float64)
    assert_equal(squash(squared), 1 - 2 / (1 + np.exp(squared.numpy())), 1e-12)


def test_squared_distances_keep_their_precision_under_autocast() -> None:
    query = 5 + 0.1 * pixels(0, 20, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = squared_distances(query, query.flip(0))
        nearest = global_matching(query.requires_grad_(), query.flip(0), torch.ones(20, 1), temperature=1.0)
    expected = (query.detach().double()[:, None] - query.detach().double().flip(0)).square().sum(-1).numpy()
    assert_equal(found, expected, 1e-3)
    assert_equal(nearest, slow_global(query, query.flip(0), torch.ones(20, 1), 1.0), 1e-3)


def test_the_fast_forms_keep_their_precision_under_autocast() -> None:
    query, previous = (pixels(i, 60, 4).T.reshape(4, 6, 10) for i in range(2))
    membership = owners(2, 60, 2).T.reshape(2, 6, 10)
    flat = query.flatten(1).T, previous.flatten(1).T, membership.flatten(1).T
    for temperature in TEMPERATURES:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            everywhere = global_matching(*flat, temperature=temperature)
            nearby = local_matching(query, previous, membership, radius=2, temperature=temperature)
        assert_equal(everywhere, slow_global(*flat, temperature))
        assert_equal(nearby, slow_local(query, previous, membership, 2, temperature))


def test_global_matching_of_known_pixels() -> None:
    query = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    reference = torch.tensor([[0.0, 1.0], [3.0, 4.0], [9.0, 9.0]])
    membership = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert_equal(global_matching(query, reference, membership), np.array([[1.0, 18.0], [25.0, 0.0]]), 1e-6)


# Against the twins --------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("gradient", [False, True])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 999), Q=st.integers(1, 9), R=st.integers(1, 12), N=st.integers(1, 4))
def test_global_matching_equals_the_loop(
    temperature: float | None, gradient: bool, seed: int, Q: int, R: int, N: int
) -> None:
    query, reference, membership = pixels(seed, Q, 5), pixels(seed + 1, R, 5), owners(seed, R, N)
    expected = slow_global(query, reference, membership, temperature)
    found = global_matching(query.requires_grad_(gradient), reference, membership, temperature=temperature)
    assert_equal(found, expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("gradient", [False, True])
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 999), H=st.integers(1, 10), W=st.integers(1, 19),
    radius=st.sampled_from([0, 1, 2, 30]), N=st.integers(1, 3),
)  # fmt: skip
def test_local_matching_equals_the_loop(
    temperature: float | None, gradient: bool, seed: int, H: int, W: int, radius: int, N: int
) -> None:
    query, previous = (pixels(seed + i, H * W, 3).T.reshape(3, H, W) for i in range(2))
    membership = owners(seed, H * W, N).T.reshape(N, H, W)
    expected = slow_local(query, previous, membership, radius, temperature)
    found = local_matching(
        query.requires_grad_(gradient), previous, membership, radius=radius, temperature=temperature
    )
    assert_equal(found, expected)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_tiles_of_any_size_give_the_same(
    monkeypatch: pytest.MonkeyPatch, temperature: float | None, kind: Literal["float32", "bfloat16"]
) -> None:
    query, reference, membership = pixels(0, 11, 6), pixels(1, 23, 6), owners(2, 23, 3)
    grids = pixels(3, 20 * 9, 6).T.reshape(6, 20, 9), pixels(4, 20 * 9, 6).T.reshape(6, 20, 9)
    masks = owners(5, 20 * 9, 3).T.reshape(3, 20, 9)

    def both() -> tuple[Tensor, Tensor]:
        return (
            global_matching(query, reference, membership, temperature=temperature, precision=kind),
            local_matching(*grids, masks, radius=2, temperature=temperature, precision=kind),
        )

    whole = both()
    monkeypatch.setattr(matching, "_QUERY_TILE", 5)
    monkeypatch.setattr(matching, "_REFERENCE_TILE", 4)
    monkeypatch.setattr(matching, "_LOCAL_PAIRS", 1)
    tolerance = 1e-2 if kind == "bfloat16" and temperature is not None else 1e-5  # sums are rounded by tile
    for tiled, expected in zip(both(), whole, strict=True):
        torch.testing.assert_close(tiled, expected, rtol=tolerance, atol=tolerance)


def test_float64_stays_float64() -> None:
    query, reference, membership = (
        pixels(0, 6, 4).double(),
        pixels(1, 9, 4).double(),
        owners(2, 9, 2).double(),
    )
    for temperature in TEMPERATURES:
        found = global_matching(query, reference, membership, temperature=temperature)
        assert found.dtype == torch.float64
        assert_equal(found, slow_global(query, reference, membership, temperature), 1e-10)


# Objects ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_an_object_does_not_depend_on_the_others(temperature: float | None) -> None:
    query, reference, membership = pixels(0, 30, 6), pixels(1, 40, 6), owners(2, 40, 5)
    together = global_matching(query, reference, membership, temperature=temperature)
    for index in range(5):
        alone = global_matching(query, reference, membership[:, index : index + 1], temperature=temperature)
        torch.testing.assert_close(alone[0], together[index], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("gradient", [False, True])
def test_an_object_without_pixels_is_infinitely_far(
    temperature: float | None, kind: Literal["float32", "bfloat16"], gradient: bool
) -> None:
    query, reference, membership = pixels(0, 12, 4), pixels(1, 12, 4), torch.zeros(12, 2)
    membership[:, 0] = 1
    query.requires_grad_(gradient)
    nowhere = global_matching(query, reference, membership, temperature=temperature, precision=kind)
    assert nowhere[0].isfinite().all()
    assert (nowhere[1] == torch.inf).all()
    grid = query.T.reshape(4, 3, 4)
    local = local_matching(
        grid, reference.T.reshape(4, 3, 4), membership.T.reshape(2, 3, 4),
        radius=1, temperature=temperature, precision=kind,
    )  # fmt: skip
    assert local[0].isfinite().all()
    assert (local[1] == torch.inf).all()


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("gradient", [False, True])
def test_the_soft_minimum_of_a_far_object_does_not_underflow(
    gradient: bool, kind: Literal["float32", "bfloat16"]
) -> None:
    """At this temperature the far object's weights are e^-10000 beside the near one's."""
    query, reference = torch.zeros(64, 2), torch.zeros(64, 2)
    reference[32:, 0] = 10.0
    membership = torch.zeros(64, 2)
    membership[:32, 0] = membership[32:, 1] = 1
    query.requires_grad_(gradient)
    options = {"temperature": 0.01, "precision": kind}
    found = global_matching(query, reference, membership, **options)
    assert_equal(found, slow_global(query, reference, membership, 0.01))
    grids = query.T.reshape(2, 8, 8), reference.T.reshape(2, 8, 8), membership.T.reshape(2, 8, 8)
    local = local_matching(*grids, radius=5, **options)
    assert_equal(local, slow_local(*grids, 5, 0.01), 2e-3 if kind == "bfloat16" else 2e-5)


@pytest.mark.parametrize("gradient", [False, True])
def test_the_soft_minimum_becomes_the_exact_one(gradient: bool) -> None:
    query, reference = pixels(0, 25, 4), pixels(1, 30, 4)
    membership = (owners(2, 30, 3) > 0.5).float()
    exact = global_matching(query, reference, membership)
    gaps = []
    for temperature in (1.0, 0.1, 0.01, 0.001):
        soft = global_matching(query.requires_grad_(gradient), reference, membership, temperature=temperature)
        gaps.append(float((soft - exact).detach().abs().max()))
        assert gaps[-1] <= temperature * np.log(30) + 1e-5
    assert gaps == sorted(gaps, reverse=True)


def test_references_made_once_match_many_frames() -> None:
    reference, membership = pixels(1, 40, 6), owners(2, 40, 3)
    for temperature in TEMPERATURES:
        references = reference_set(reference, membership, temperature=temperature)
        for seed in range(3):
            query = pixels(10 + seed, 7 + seed, 6)
            direct = global_matching(query, reference, membership, temperature=temperature)
            torch.testing.assert_close(match_reference(references, query), direct, rtol=0, atol=0)


def test_no_reference_pixel_at_all() -> None:
    for temperature in TEMPERATURES:
        found = global_matching(
            pixels(0, 5, 3), torch.zeros(0, 3), torch.zeros(0, 2), temperature=temperature
        )
        assert found.shape == (2, 5)
        assert (found == torch.inf).all()


# Gradients ----------------------------------------------------------------------------------------


def test_gradient_of_global_matching() -> None:
    query, reference = pixels(0, 4, 3).double().requires_grad_(), pixels(1, 5, 3).double().requires_grad_()
    membership = (0.1 + 0.8 * torch.rand(5, 2)).double().requires_grad_()
    for temperature in (0.7, 0.002):
        torch.autograd.gradcheck(
            lambda q, r, m, t=temperature: global_matching(q, r, m, temperature=t),
            (query, reference, membership), eps=1e-6, atol=1e-4,
        )  # fmt: skip


def test_gradient_of_local_matching() -> None:
    grids = [pixels(i, 12, 2).T.reshape(2, 3, 4).double().requires_grad_() for i in range(2)]
    membership = (0.1 + 0.8 * torch.rand(2, 3, 4)).double().requires_grad_()
    torch.autograd.gradcheck(
        lambda q, p, m: local_matching(q, p, m, radius=1, temperature=0.7),
        (*grids, membership), fast_mode=True,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_an_absent_object_leaves_gradients_finite(temperature: float | None) -> None:
    query = pixels(0, 60, 3).T.reshape(3, 6, 10).requires_grad_()
    previous = pixels(1, 60, 3).T.reshape(3, 6, 10).requires_grad_()
    membership = torch.zeros(3, 6, 10)
    membership[0] = 1
    membership[1, :, 0] = 1
    membership.requires_grad_()
    squash(local_matching(query, previous, membership, radius=2, temperature=temperature)).sum().backward()
    assert query.grad is not None
    assert query.grad.isfinite().all()
    assert query.grad.abs().sum() > 0
    assert previous.grad is not None
    assert previous.grad.isfinite().all()
    if temperature is not None:
        assert membership.grad is not None
        assert membership.grad.isfinite().all()


# bfloat16 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [None, 1.0])
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 999), length=st.sampled_from([0.3, 1.0, 3.0, 10.0]), offset=st.sampled_from([0, 5])
)
def test_bfloat16_error_is_bounded(temperature: float | None, seed: int, length: float, offset: int) -> None:
    """Each embedding is off by 2^-9 of its length at most, the distance's rounding and the sum by as much.

    A hard minimum moves by no more than the pair that gives it; a soft one by no more than any pair.
    """
    query, reference = (length * (pixels(seed + i, 20, 16) + offset) for i in range(2))
    query[:5] = reference[:5]
    membership = owners(seed, 20, 2).round()
    exact = global_matching(query, reference, membership, temperature=temperature)
    found = global_matching(query, reference, membership, temperature=temperature, precision="bfloat16")
    reach = 2**-8 * (query.norm(dim=1).max() + reference.norm(dim=1).max())
    furthest = squared_distances(query, reference).amax(dim=1)
    squared = exact.abs() if temperature is None else furthest.expand_as(exact)
    bound = 2 * squared.sqrt() * reach + reach**2 + 2**-8 * squared + 1e-4
    seen = exact.isfinite()
    assert (found.isfinite() == seen).all()
    assert ((found - exact).abs()[seen] <= bound[seen]).all()


def test_bfloat16_does_not_cancel_near_a_far_origin() -> None:
    """Rounding the inner product would be off by 2^-9 · 64 · 400 = 50 here."""
    reference = (20 + 0.25 * torch.randint(-2, 3, (40, 64))).float()
    query = reference.flip(0) + 0.25
    expected = slow_global(query, reference, torch.ones(40, 1), None)
    found = global_matching(query, reference, torch.ones(40, 1), precision="bfloat16")
    assert_equal(found, expected, 0.26)


def test_folding_writes_distances_as_a_product() -> None:
    query, reference = pixels(0, 5, 7), pixels(1, 6, 7)
    expected = squared_distances(query, reference)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.float32, 1e-5), (torch.bfloat16, 0.2)):
        found = fold_query(query, None, dtype) @ fold_reference(reference, None, dtype).mT
        torch.testing.assert_close(found.float(), expected, rtol=tolerance / 4, atol=tolerance)


# Precision ----------------------------------------------------------------------------------------


def test_unknown_precision_names_the_near_one() -> None:
    with pytest.raises(OptionError, match="Did you mean 'bfloat16'"):
        matching_dtype("bfloat", torch.zeros(1))


@pytest.mark.parametrize(("faster", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_follows_the_measurement(
    monkeypatch: pytest.MonkeyPatch, faster: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "bfloat16_is_faster", lambda device_type: faster)
    assert matching_dtype("auto", torch.zeros(1)) == expected


@pytest.mark.parametrize(("gain", "expected"), [(0.5, True), (0.95, False), (2.0, False)])
def test_bfloat16_must_win_clearly(monkeypatch: pytest.MonkeyPatch, gain: float, expected: bool) -> None:
    monkeypatch.setattr(precision, "_product_seconds", lambda dtype: gain if dtype == torch.bfloat16 else 1.0)
    bfloat16_is_faster.cache_clear()
    try:
        assert bfloat16_is_faster("cpu") is expected
        assert bfloat16_is_faster("xpu") is False
    finally:
        bfloat16_is_faster.cache_clear()


def test_the_processor_can_be_asked() -> None:
    bfloat16_is_faster.cache_clear()
    assert bfloat16_is_faster("cpu") in (True, False)
