"""Warping and its relatives: known values, a plain-loop twin, gradients, shapes, errors."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.errors import OptionError
from tinct.ops.warp import magnitude, magnitude_image, warp


def constant_flow(dx: float, dy: float, size: tuple[int, int] = (6, 8)) -> torch.Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(1, 2, *size).clone()


def slow_warp(source: torch.Tensor, flow: torch.Tensor, outside: str) -> torch.Tensor:
    """The same as `warp`, pixel by pixel: bilinear weights by hand."""
    B, _, H, W = source.shape
    out = torch.zeros_like(source)
    for b in range(B):
        for y in range(H):
            for x in range(W):
                at_x, at_y = x + float(flow[b, 0, y, x]), y + float(flow[b, 1, y, x])
                if outside == "border":
                    at_x, at_y = min(max(at_x, 0.0), W - 1.0), min(max(at_y, 0.0), H - 1.0)
                x0, y0 = math.floor(at_x), math.floor(at_y)
                for yy in (y0, y0 + 1):
                    for xx in (x0, x0 + 1):
                        if 0 <= yy < H and 0 <= xx < W:
                            weight = (1 - abs(at_x - xx)) * (1 - abs(at_y - yy))
                            out[b, :, y, x] += weight * source[b, :, yy, xx]
    return out


def test_no_flow_changes_nothing() -> None:
    source = torch.rand(2, 3, 6, 8)
    torch.testing.assert_close(warp(source, torch.zeros(2, 2, 6, 8)), source)


def test_the_flow_says_where_to_look() -> None:
    source = torch.zeros(1, 1, 6, 8)
    source[0, 0, 2, 5] = 1
    moved = warp(source, constant_flow(3, 1))
    assert moved[0, 0].nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize(("outside", "expected"), [("zeros", 0.0), ("border", 1.0)])
def test_what_lies_outside(outside: str, expected: float) -> None:
    moved = warp(torch.ones(1, 1, 6, 8), constant_flow(100, 0), outside)
    assert moved.unique().tolist() == [expected]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["zeros", "border"]), st.integers(1, 7), st.integers(1, 7))
def test_like_its_slow_twin(seed: int, outside: str, height: int, width: int) -> None:
    torch.manual_seed(seed)
    source, flow = torch.rand(2, 2, height, width), 3 * torch.randn(2, 2, height, width)
    fast = warp(source, flow, outside)
    torch.testing.assert_close(fast, slow_warp(source, flow, outside), atol=1e-5, rtol=1e-4)


def test_gradients_reach_source_and_flow() -> None:
    torch.manual_seed(1)
    source = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    # Away from whole numbers, where bilinear sampling has a kink.
    flow = (torch.randint(-1, 2, (1, 2, 4, 5)) + 0.3).double().requires_grad_()
    assert torch.autograd.gradcheck(warp, (source, flow))


def test_an_unknown_outside() -> None:
    with pytest.raises(OptionError, match="Did you mean 'zeros'"):
        warp(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4), "zero")


def test_magnitude_and_its_gradient_where_nothing_moves() -> None:
    flow = constant_flow(3, -4).requires_grad_()
    torch.testing.assert_close(magnitude(flow), torch.full((1, 6, 8), 5.0))
    still = torch.zeros(1, 2, 3, 3, requires_grad=True)
    magnitude(still).sum().backward()
    assert torch.isfinite(still.grad).all()


def test_the_magnitude_image_is_scaled_frame_by_frame() -> None:
    flow = torch.cat([constant_flow(3, 4), constant_flow(30, 40), constant_flow(0, 0.1)])
    flow[1, :, 0] = 0
    image = magnitude_image(flow)
    assert image[0].unique().tolist() == [1.0]
    assert image[1].amax() == 1.0
    assert image[1, 0].max() < 1e-6
    assert image[2].max() == pytest.approx(0.1, abs=1e-4)
