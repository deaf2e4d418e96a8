from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinct.errors import MaskError
from tinct.io.masks import MAX_OBJECTS, ObjectMasks, check_labels, object_ids_of, voc_palette

LABEL_MAPS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 254)
)


def slow_label_map(masks: ObjectMasks) -> np.ndarray:
    """One pixel after another, as the docstring says it."""
    labels = np.zeros(masks.size, np.uint8)
    for y, x in np.ndindex(*masks.size):
        best = 1 - masks.probs[:, y, x].sum()
        for object_id, probability in zip(masks.object_ids, masks.probs[:, y, x], strict=True):
            if probability > best:
                best, labels[y, x] = probability, object_id
    return labels


def with_values(*values: int, dtype: type = np.uint8) -> np.ndarray:
    return np.array([values], dtype)


@given(LABEL_MAPS)
@settings(max_examples=30, deadline=None)
def test_certain_masks_give_their_label_map_back(labels: np.ndarray) -> None:
    masks = ObjectMasks.from_label_map(labels)
    assert masks.object_ids == tuple(sorted(set(labels.ravel().tolist()) - {0}))
    np.testing.assert_array_equal(masks.label_map, labels)


# Eighths add up exactly, so that ties are ties.
@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.integers(0, 4).map(lambda i: i / 8)))
@settings(max_examples=30, deadline=None)
def test_the_label_map_is_the_most_probable_label(probs: np.ndarray) -> None:
    masks = ObjectMasks((1, 5, 7), probs)
    np.testing.assert_array_equal(masks.label_map, slow_label_map(masks))


def test_a_tie_goes_to_the_background_then_to_the_lower_id() -> None:
    background_ties = ObjectMasks((2,), np.full((1, 1, 1), 0.5, np.float32))
    objects_tie = ObjectMasks((2, 9), np.full((2, 1, 1), 0.5, np.float32))
    assert background_ties.label_map.item() == 0
    assert objects_tie.label_map.item() == 2


def test_no_objects_are_all_background() -> None:
    masks = ObjectMasks((), np.zeros((0, 3, 4), np.float32))
    assert masks.size == (3, 4)
    assert not masks.label_map.any()


def test_void_belongs_to_nobody() -> None:
    labels = with_values(0, 5, 255)
    assert object_ids_of(labels) == (5,)
    np.testing.assert_array_equal(ObjectMasks.from_label_map(labels).probs, [[[0, 1, 0]]])


def test_an_absent_object_that_is_asked_for_has_an_empty_mask() -> None:
    masks = ObjectMasks.from_label_map(with_values(0, 5), (5, 9))
    np.testing.assert_array_equal(masks.probs, [[[0, 1]], [[0, 0]]])


@pytest.mark.parametrize(
    ("ids", "message"),
    [((1,), "1 object ids came with 2"), ((3, 1), "increase"), ((1, 1), "increase"), ((0, 1), "1 and 254")],
)
def test_object_masks_refuse_wrong_ids(ids: tuple[int, ...], message: str) -> None:
    with pytest.raises(MaskError, match=message):
        ObjectMasks(ids, np.zeros((2, 1, 1), np.float32))


def test_the_palette_is_the_one_of_pascal_voc() -> None:
    palette = voc_palette()
    known = {0: (0, 0, 0), 1: (128, 0, 0), 5: (128, 0, 128), 7: (128, 128, 128), 20: (0, 64, 128)}
    assert {i: tuple(palette[i].tolist()) for i in known} == known
    assert tuple(palette[255].tolist()) == (224, 224, 192)
    assert len(np.unique(palette, axis=0)) == 256
    with pytest.raises(ValueError, match="read-only"):
        palette[0, 0] = 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_a_good_label_map_comes_through_as_uint8(dtype: type) -> None:
    checked = check_labels(with_values(0, 1, 7, 255, dtype=dtype), frame_size=(1, 4))
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(checked, [[0, 1, 7, 255]])


def test_a_bool_mask_is_object_1() -> None:
    np.testing.assert_array_equal(check_labels(np.array([[False, True]])), [[0, 1]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), "read_mask"),
        (np.zeros((2, 2, 1), np.uint8), "squeeze"),
        (np.zeros(4, np.uint8), "one id per pixel"),
        (np.zeros((2, 2), np.float32), "probs > 0.5"),
        (np.zeros((2, 2), np.uint8), "no object"),
        (with_values(-1, 1, dtype=np.int32), "from -1 to 1"),
        (with_values(0, 300, dtype=np.int32), "Renumber"),
        (with_values(0, 255), r"than 0 and 255.*labels > 0"),
        (with_values(255, 255), r"than 255.*labels > 0"),
        (np.arange(MAX_OBJECTS + 2)[None], f"{MAX_OBJECTS + 1} objects"),
    ],
)
def test_a_wrong_label_map_is_explained(labels: np.ndarray, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        check_labels(labels)


@pytest.mark.parametrize(
    ("frame_size", "message"),
    [
        ((4, 6), "6×4 pixels.*swapped|swapped"),
        ((12, 8), "nearest neighbour"),
        ((5, 5), "on the frame itself"),
    ],
)
def test_a_mask_of_another_size_says_both_sizes(frame_size: tuple[int, int], message: str) -> None:
    with pytest.raises(MaskError, match=message) as raised:
        check_labels(np.ones((6, 4), np.uint8), frame_size=frame_size, name="first.png")
    assert "first.png is 4×6 pixels" in str(raised.value)
    assert f"{frame_size[1]}×{frame_size[0]}" in str(raised.value)
