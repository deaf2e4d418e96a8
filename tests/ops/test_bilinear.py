"""Fixed bilinear enlargement: the kernel's values, a plain loop as a twin, sizes, what it is next to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tinct.errors import OptionError
from tinct.ops.bilinear import bilinear_kernel, enlarged_by_stride


def test_the_kernel_of_stride_2() -> None:
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    torch.testing.assert_close(bilinear_kernel(2), row[:, None] * row)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
def test_kernels_are_symmetric_and_pass_on_what_they_are_given(stride: int) -> None:
    kernel = bilinear_kernel(stride)
    assert kernel.shape == (2 * stride, 2 * stride)
    torch.testing.assert_close(kernel, kernel.flip(0, 1))
    torch.testing.assert_close(kernel.sum(), torch.tensor(float(stride**2)))


def slowly_enlarged(map_: torch.Tensor, stride: int, size: tuple[int, int]) -> torch.Tensor:
    """Every cell lays its kernel down; then the middle is cut out."""
    h, w = map_.shape
    large = torch.zeros((h + 1) * stride, (w + 1) * stride)
    for i in range(h):
        for j in range(w):
            window = slice(i * stride, (i + 2) * stride), slice(j * stride, (j + 2) * stride)
            large[window] += map_[i, j] * bilinear_kernel(stride)
    top, left = (large.shape[0] - size[0]) // 2, (large.shape[1] - size[1]) // 2
    return large[top : top + size[0], left : left + size[1]]


@pytest.mark.parametrize(("stride", "size"), [(2, (9, 12)), (4, (13, 16)), (8, (21, 40))])
def test_enlargement_is_that_of_its_twin(stride: int, size: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, -(-size[0] // stride), -(-size[1] // stride))
    large = enlarged_by_stride(maps, stride, size)
    assert large.shape == (2, 3, *size)
    torch.testing.assert_close(large[1, 2], slowly_enlarged(maps[1, 2], stride, size))


def test_away_from_the_border_it_is_bilinear_interpolation() -> None:
    maps = torch.randn(1, 1, 5, 6)
    plain = F.interpolate(maps, scale_factor=4, mode="bilinear", align_corners=False)
    inner = slice(2, -2)
    torch.testing.assert_close(
        enlarged_by_stride(maps, 4, (20, 24))[..., inner, inner], plain[..., inner, inner]
    )


def test_gradients() -> None:
    maps = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: enlarged_by_stride(m, 2, (3, 5)), (maps,))


def test_what_cannot_be() -> None:
    with pytest.raises(OptionError, match="strides start at 1"):
        bilinear_kernel(0)
    with pytest.raises(OptionError, match="do not cover"):
        enlarged_by_stride(torch.zeros(1, 1, 2, 2), 2, (9, 4))
