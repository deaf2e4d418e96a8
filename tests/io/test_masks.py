from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tinct.errors import MaskError, UnknownObjectError
from tinct.io.masks import (
    MAX_OBJECTS,
    ObjectMasks,
    as_binary_mask,
    as_label_map,
    check_labels,
    object_ids_of,
    voc_palette,
)

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
        (np.full((2, 2, 3), 9, np.uint8), "read_mask"),
        (np.ones((2, 4, 4), np.bool_), r"one mask per object.*np\.arange\(1, len\(masks\) \+ 1\)"),
        (np.zeros(4, np.uint8), "one id per pixel"),
        (np.full((2, 2), 0.7, np.float32), "probs > 0.5"),
        (np.array([[0, np.nan]]), "probs > 0.5"),
        (np.array([[1e9, 1]]), "Renumber"),
        (np.array([[1j]]), "complex"),
        ("first.png", r"tinct\.read_mask\('first.png'\)"),
        (Path("first.png"), "tinct.read_mask"),
        ([[0, 1], [1]], "cannot be read as an array"),
        (None, "type object"),
        (Image.new("RGB", (4, 2), "red"), "read_mask"),
        (np.zeros((2, 2), np.uint8), "no object"),
        (with_values(-1, 1, dtype=np.int32), "from -1 to 1"),
        (with_values(0, 300, dtype=np.int32), "Renumber"),
        (with_values(0, 255), r"than 0 and 255.*labels > 0"),
        (with_values(255, 255), r"than 255.*labels > 0"),
        (np.arange(MAX_OBJECTS + 2)[None], f"{MAX_OBJECTS + 1} objects, .*in several runs"),
    ],
)
def test_a_wrong_label_map_is_explained(labels: Any, message: str) -> None:
    with pytest.raises(MaskError, match=f"(?i){message}"):
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


IDS = np.array([[0, 1, 5], [5, 0, 255]])


def palette_picture() -> Image.Image:
    picture = Image.fromarray(IDS.astype(np.uint8))
    picture.putpalette(voc_palette()[::-1].tobytes())  # the stored values count, not their colours
    return picture


@pytest.mark.parametrize(
    "mask",
    [
        *(IDS.astype(dtype) for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64)),
        IDS.astype(np.float32),
        IDS[None],
        IDS[..., None],
        np.asfortranarray(IDS),
        torch.from_numpy(IDS),
        torch.from_numpy(IDS)[None],
        torch.from_numpy(IDS).bfloat16(),
        torch.from_numpy(IDS).float().requires_grad_(),
        Image.fromarray(IDS.astype(np.uint8)),
        palette_picture(),
        Image.fromarray(IDS.astype(np.int32)),
        IDS.tolist(),
        tuple(map(tuple, IDS)),
    ],
)
def test_a_label_map_comes_in_every_form_that_python_has_for_it(mask: Any) -> None:
    labels = as_label_map(mask)
    assert labels.dtype == np.uint8
    assert labels.flags.c_contiguous
    np.testing.assert_array_equal(labels, IDS)


@pytest.mark.parametrize(
    "mask",
    [
        np.array([[False, True]]),
        np.array([[[False, True]]]),
        torch.tensor([[False, True]]),
        [[False, True]],
        Image.fromarray(np.array([[False, True]])),
        ObjectMasks.from_label_map(with_values(0, 1)),
    ],
)
def test_a_bool_mask_in_every_form_is_object_1(mask: Any) -> None:
    np.testing.assert_array_equal(as_label_map(mask), [[0, 1]])


def test_the_fix_that_a_one_hot_mask_is_given_makes_a_label_map() -> None:
    masks = np.stack([IDS == 1, IDS == 5])
    with pytest.raises(MaskError) as raised:
        as_label_map(masks)
    fix = str(raised.value).split("`")[1]
    np.testing.assert_array_equal(eval(fix), [[0, 1, 2], [2, 0, 0]])


@pytest.mark.parametrize("value", [1, 7, 255])
def test_the_mask_of_one_object_may_hold_any_one_value(value: int) -> None:
    np.testing.assert_array_equal(as_binary_mask(with_values(0, value)), [[False, True]])


@pytest.mark.parametrize(("values", "message"), [((0, 0), "no object"), ((0, 1, 5), "mask == 1")])
def test_a_mask_of_no_object_or_of_two_is_not_that_of_one(values: tuple[int, ...], message: str) -> None:
    with pytest.raises(MaskError, match=message):
        as_binary_mask(with_values(*values))


def three_objects() -> ObjectMasks:
    return ObjectMasks((1, 5, 7), np.array([[[0.2, 0.6]], [[0.7, 0.1]], [[0, 0]]], np.float32))


def test_masks_are_asked_for_by_object_id() -> None:
    masks = three_objects()
    assert (len(masks), list(masks), 5 in masks, 2 in masks) == (3, [1, 5, 7], True, False)
    np.testing.assert_array_equal(masks[5], masks.probs[1])
    np.testing.assert_array_equal(masks[np.uint8(5)], masks.probs[1])
    assert masks.binary(5).tolist() == [[True, False]]
    assert masks.binary(7).dtype == np.bool_
    assert not masks.binary(7).any()


@pytest.mark.parametrize("ask", [ObjectMasks.__getitem__, ObjectMasks.binary])
def test_an_unknown_object_is_answered_with_the_known_ones(ask: Any) -> None:
    with pytest.raises(UnknownObjectError, match=r"no object 2; their objects are: 1, 5, 7\.") as raised:
        ask(three_objects(), 2)
    assert isinstance(raised.value, KeyError)


def test_masks_are_equal_if_their_ids_and_probabilities_are() -> None:
    masks, other = three_objects(), three_objects()
    assert (masks == other) is True
    assert (masks != other) is False
    assert (masks == ObjectMasks((1, 5, 8), masks.probs)) is False
    assert (masks == ObjectMasks((1, 5, 7), masks.probs / 2)) is False
    assert (masks == "masks") is False


def test_masks_show_themselves_in_a_line() -> None:
    assert repr(three_objects()) == "ObjectMasks(3 objects: 1, 5, 7; 1×2)"
    assert repr(ObjectMasks((), np.zeros((0, 3, 4), np.float32))) == "ObjectMasks(0 objects; 3×4)"
