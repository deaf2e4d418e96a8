from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinct.errors import MaskError, OptionError
from tinct.metrics import contour_accuracy, region_similarity
from tinct.metrics.boundary import boundary, tolerance_radius_px
from tinct.metrics.label_maps import score_foreground, score_objects
from tinct.shapes import BinaryMask, LabelMap

IDS = (1, 2, 5, 254)
LABELS = st.sampled_from((0, *IDS, 255))
SIZES = st.tuples(st.integers(1, 30), st.sampled_from([1, 8, 9, 31, 63, 64, 65, 100, 128, 130]))


def painted(size: tuple[int, int]) -> st.SearchStrategy[LabelMap]:
    """Label maps of up to six rectangles, one over the other."""
    rows, columns = st.integers(0, size[0]), st.integers(0, size[1])
    boxes = st.tuples(st.tuples(rows, rows).map(sorted), st.tuples(columns, columns).map(sorted), LABELS)

    def paint(chosen: list[tuple[list[int], list[int], int]]) -> LabelMap:
        labels = np.zeros(size, np.uint8)
        for (top, bottom), (left, right), label in chosen:
            labels[top:bottom, left:right] = label
        return labels

    return st.lists(boxes, max_size=6).map(paint)


MAP_PAIRS = SIZES.flatmap(lambda size: st.tuples(painted(size), painted(size)))
NOISE_PAIRS = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda size: st.tuples(*[arrays(np.uint8, size, elements=LABELS)] * 2)
)


def slow_similarity(prediction: BinaryMask, truth: BinaryMask) -> float:
    union = (prediction | truth).sum()
    return float((prediction & truth).sum() / union) if union else 1.0


def slow_accuracy(prediction: BinaryMask, truth: BinaryMask, radius_px: int) -> float:
    """By dilations of whole frames, as the toolkit does it (the plain loop stands in test_boundary.py)."""
    predicted, annotated = boundary(prediction), boundary(truth)
    if not predicted.any() or not annotated.any():
        return float(predicted.any() == annotated.any())
    offsets = np.arange(-radius_px, radius_px + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius_px**2).astype(np.uint8)
    precision = (predicted & cv2.dilate(annotated, disk)).sum() / predicted.sum()
    recall = (annotated & cv2.dilate(predicted, disk)).sum() / annotated.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@settings(deadline=None, max_examples=150)
@given(st.one_of(MAP_PAIRS, NOISE_PAIRS), st.integers(2, 9))
def test_objects_score_as_their_masks_do(maps: tuple[LabelMap, LabelMap], radius_px: int) -> None:
    prediction, truth = maps
    similarities, accuracies = score_objects(prediction, truth, IDS, bound_th=float(radius_px))
    for object_id, similarity, accuracy in zip(IDS, similarities, accuracies, strict=True):
        masks = prediction == object_id, truth == object_id
        assert similarity == region_similarity(*masks)
        assert accuracy == contour_accuracy(*masks, float(radius_px))
        assert similarity == pytest.approx(slow_similarity(*masks), abs=1e-12)
        assert accuracy == pytest.approx(slow_accuracy(*masks, radius_px), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(st.one_of(MAP_PAIRS, NOISE_PAIRS))
def test_the_foreground_scores_as_one_object(maps: tuple[LabelMap, LabelMap]) -> None:
    prediction, truth = maps
    masks = prediction != 0, truth != 0
    radius_px = tolerance_radius_px(*truth.shape, 0.008)
    similarity, accuracy = score_foreground(prediction, truth)
    assert (similarity, accuracy) == (region_similarity(*masks), contour_accuracy(*masks))
    assert similarity == pytest.approx(slow_similarity(*masks), abs=1e-12)
    assert accuracy == pytest.approx(slow_accuracy(*masks, radius_px), abs=1e-12)


@pytest.mark.parametrize("size", [(480, 854), (480, 832), (1080, 1920)])
def test_objects_of_a_frame_score_as_by_the_toolkits_way(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).random((2, *size)).astype(np.float32)
    common, own = (cv2.GaussianBlur(n, (0, 0), 25) - 0.5 for n in noise)
    levels = np.float32([-0.02, -0.005, 0.005, 0.02]) * 0.5
    truth = np.digitize(common, levels).astype(np.uint8)
    prediction = np.digitize(common + 0.3 * own, levels).astype(np.uint8)
    radius_px = tolerance_radius_px(*size, 0.008)
    scores = score_objects(prediction, truth, [1, 2, 3, 4])
    for column, object_id in enumerate([1, 2, 3, 4]):
        masks = prediction == object_id, truth == object_id
        expected = slow_similarity(*masks), slow_accuracy(*masks, radius_px)
        assert 0 < expected[0] < 1
        assert expected[1] > 0
        assert [s[column] for s in scores] == pytest.approx(expected, abs=1e-12)


def labelled(object_id: int, *box: int) -> LabelMap:
    top, bottom, left, right = box
    labels = np.zeros((120, 160), np.uint8)
    labels[top:bottom, left:right] = object_id
    return labels


def ellipse(y: float, x: float, half_height: float, half_width: float) -> LabelMap:
    rows, columns = np.ogrid[:120, :160]
    inside = ((rows - y) / half_height) ** 2 + ((columns - x) / half_width) ** 2 <= 1
    return inside.astype(np.uint8) * np.uint8(7)


RECTANGLE, EMPTY, FULL = labelled(7, 30, 80, 40, 110), labelled(7, 0, 0, 0, 0), labelled(7, 0, 120, 0, 160)


@pytest.mark.parametrize(
    ("prediction", "truth", "similarity", "accuracy"),
    [
        (RECTANGLE, RECTANGLE, 1, 1),
        (labelled(7, 33, 83, 45, 115), RECTANGLE, 0.774398, 0.041667),
        (labelled(7, 31, 81, 41, 111), RECTANGLE, 0.934236, 1),
        (labelled(7, 30, 55, 40, 110), RECTANGLE, 0.5, 0.581395),
        (EMPTY, RECTANGLE, 0, 0),
        (RECTANGLE, EMPTY, 0, 0),
        (EMPTY, EMPTY, 1, 1),
        (ellipse(62, 84, 27, 48), ellipse(60, 80, 30, 45), 0.846325, 0.496514),
        (FULL, FULL, 1, 1),
        (RECTANGLE, FULL, 0.182292, 0),
        (labelled(7, 60, 120, 100, 160), labelled(7, 60, 120, 100, 160), 1, 1),
    ],
)
def test_agrees_with_the_benchmarks_toolkit(
    prediction: LabelMap, truth: LabelMap, similarity: float, accuracy: float
) -> None:
    similarities, accuracies = score_objects(prediction, truth, [7])
    assert (similarities[0], accuracies[0]) == pytest.approx((similarity, accuracy), abs=1e-6)
    assert score_foreground(prediction, truth) == (similarities[0], accuracies[0])


def test_scores_come_in_the_order_of_the_ids() -> None:
    truth = RECTANGLE + labelled(3, 100, 120, 0, 20)
    similarities, accuracies = score_objects(RECTANGLE, truth, [9, 7, 3])
    np.testing.assert_array_equal(similarities, [1, 1, 0])
    np.testing.assert_array_equal(accuracies, [1, 1, 0])


def test_no_objects_give_no_scores() -> None:
    similarities, accuracies = score_objects(RECTANGLE, RECTANGLE, [])
    assert similarities.shape == accuracies.shape == (0,)


def test_a_single_pixel_is_found_in_each_corner() -> None:
    for y, x in ((0, 0), (0, 159), (119, 0), (119, 159), (60, 63), (60, 64)):
        pixel = labelled(1, y, y + 1, x, x + 1)
        assert score_foreground(pixel, pixel) == (1, 1)
        assert score_foreground(pixel, EMPTY)[0] == 0


def test_void_is_background_for_objects_and_foreground_for_masks_of_0_and_255() -> None:
    void = RECTANGLE | labelled(255, 0, 20, 0, 20)
    assert [s[0] for s in score_objects(RECTANGLE, void, [7])] == [1, 1]
    assert score_foreground(labelled(255, 30, 80, 40, 110), RECTANGLE) == (1, 1)


def test_without_contours_f_is_nan() -> None:
    moved = labelled(7, 30, 55, 40, 110)
    similarities, accuracies = score_objects(moved, RECTANGLE, [7, 8], contours=False)
    np.testing.assert_array_equal(similarities, [0.5, 1])
    np.testing.assert_array_equal(accuracies, [math.nan, math.nan])
    similarity, accuracy = score_foreground(moved, RECTANGLE, contours=False)
    assert similarity == 0.5
    assert math.isnan(accuracy)


def test_label_maps_may_be_read_only_views_with_gaps() -> None:
    rows = np.zeros((2, 120, 161), np.uint8)
    rows[0, :, 1:], rows[1, :, 1:] = labelled(7, 30, 55, 40, 110), RECTANGLE
    rows.flags.writeable = False
    prediction, truth = rows[:, :, 1:]
    assert score_foreground(prediction, truth)[0] == 0.5
    assert score_objects(prediction, truth, [7])[1][0] == pytest.approx(0.581395, abs=1e-6)


@pytest.mark.parametrize("object_id", [0, 255, -1, 256])
def test_an_id_that_no_object_has_is_refused(object_id: int) -> None:
    with pytest.raises(OptionError, match=rf"\[{object_id}\] .* from 1 to 254"):
        score_objects(RECTANGLE, RECTANGLE, [1, object_id])


@pytest.mark.parametrize("bound_th", [-0.1, math.nan, math.inf])
def test_a_meaningless_tolerance_is_refused(bound_th: float) -> None:
    with pytest.raises(OptionError, match="bound_th"):
        score_objects(RECTANGLE, RECTANGLE, [7], bound_th=bound_th)
    with pytest.raises(OptionError, match="bound_th"):
        score_foreground(RECTANGLE, RECTANGLE, bound_th=bound_th)


def test_label_maps_of_two_sizes_are_refused() -> None:
    with pytest.raises(MaskError, match=r"120×160 .* truth of 160×120"):
        score_objects(RECTANGLE, RECTANGLE.T, [7])
    with pytest.raises(MaskError, match=r"120×160 .* truth of 160×120"):
        score_foreground(RECTANGLE, RECTANGLE.T)
