"""Deformed masks: each step's reach, the spline's known values, empty and tiny masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.data.deform import MaskDeformation, coarsened, deform_mask, filled_box, thin_plate_field
from tinct.errors import OptionError

NOTHING = MaskDeformation(scale=0.0, shift=0.0, bend=0.0, dilation_px=0)


def disc(size: tuple[int, int] = (80, 100), radius: float = 20) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.asarray((rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2 < radius**2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 30), st.integers(0, 9999))
def test_a_mask_of_any_kind_gives_one_of_the_same_size(
    height: int, width: int, radius: float, seed: int
) -> None:
    mask = disc((height, width), radius)
    before = mask.copy()
    found = deform_mask(mask, np.random.default_rng(seed), MaskDeformation())
    assert found.shape == mask.shape
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(found, deform_mask(mask, np.random.default_rng(seed), MaskDeformation()))
    assert mask.any() or not found.any()


def test_every_step_can_be_left_out() -> None:
    np.testing.assert_array_equal(deform_mask(disc(), np.random.default_rng(0), NOTHING), disc())


def test_the_shift_stays_within_a_tenth_of_the_box() -> None:
    only_shift = MaskDeformation(scale=0.0, bend=0.0, dilation_px=0)
    for seed in range(30):
        found = deform_mask(disc(), np.random.default_rng(seed), only_shift)
        offset = np.argwhere(found).mean(0) - np.argwhere(disc()).mean(0)
        assert np.abs(offset).max() <= 0.1 * 40 + 1


def test_the_size_stays_within_a_twentieth() -> None:
    only_scale = MaskDeformation(shift=0.0, bend=0.0, dilation_px=0)
    ratios = [
        np.sqrt(deform_mask(disc(), np.random.default_rng(s), only_scale).sum() / disc().sum())
        for s in range(30)
    ]
    assert 0.93 <= min(ratios) < 0.98
    assert 1.02 < max(ratios) <= 1.07


def test_bending_changes_the_outline_but_not_the_place() -> None:
    only_bend = MaskDeformation(scale=0.0, shift=0.0, dilation_px=0)
    overlaps = []
    for seed in range(30):
        found = deform_mask(disc(), np.random.default_rng(seed), only_bend)
        overlaps.append((found & disc()).sum() / (found | disc()).sum())
    assert max(overlaps) < 1
    assert np.median(overlaps) > 0.8


def test_a_mask_too_small_to_bend_is_kept() -> None:
    corner = np.zeros((20, 20), bool)
    corner[0, 0] = True  # three neighbours, five control points
    only_bend = MaskDeformation(scale=0.0, shift=0.0, dilation_px=0)
    np.testing.assert_array_equal(deform_mask(corner, np.random.default_rng(0), only_bend), corner)


def test_coarsening_is_a_dilation_by_a_disc() -> None:
    dot = np.zeros((31, 31), bool)
    dot[15, 15] = True
    rows, columns = np.argwhere(coarsened(dot, 5)).T
    reach = np.hypot(rows - 15, columns - 15)
    assert reach.max() == 5
    assert len(rows) == pytest.approx(np.pi * 5.5**2, rel=0.15)
    soft = np.where(dot, 0.7, 0).astype(np.float32)
    np.testing.assert_array_equal(coarsened(soft, 5) > 0, coarsened(dot, 5))
    assert coarsened(soft, 5).max() == np.float32(0.7)


def test_the_box() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2, 3] = mask[7, 9] = True
    box = filled_box(mask)
    assert box.sum() == 6 * 7
    assert box[2:8, 3:10].all()
    assert not filled_box(np.zeros((4, 4), bool)).any()


def test_the_spline_goes_through_its_points_and_keeps_affine_maps() -> None:
    random = np.random.default_rng(2)
    points = np.array([[4, 4], [36, 8], [20, 28], [8, 24], [32, 20]], float)  # on the coarse grid
    values = random.normal(size=(5, 2))
    field = thin_plate_field(points, values, (32, 40))
    at_points = field[points[:, 1].astype(int), points[:, 0].astype(int)]
    np.testing.assert_allclose(at_points, values, atol=1e-3)
    matrix, offset = random.normal(size=(2, 2)), np.array([3.0, -1.0])
    affine = thin_plate_field(points, points @ matrix + offset, (32, 40))
    rows, columns = np.mgrid[:32, :40]
    np.testing.assert_allclose(affine, np.stack([columns, rows], -1) @ matrix + offset, atol=1e-2)


def test_points_on_one_line_are_no_trouble() -> None:
    points = np.array([[5, 5], [10, 5], [15, 5]], float)
    assert np.isfinite(thin_plate_field(points, np.ones((3, 2)), (20, 20))).all()


def test_options_that_make_no_sense() -> None:
    with pytest.raises(OptionError, match="3 control points or more"):
        MaskDeformation(control_points=2)
    with pytest.raises(OptionError, match="nothing lies below 0"):
        MaskDeformation(shift=-0.1)


def test_opencv_agrees_on_the_box() -> None:
    x, y, width, height = cv2.boundingRect(disc().astype(np.uint8))
    assert filled_box(disc()).sum() == width * height
    assert filled_box(disc())[y, x]
