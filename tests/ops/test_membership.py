"""Label maps on a network's grid, and sets of labelled pixels."""

from __future__ import annotations

import numpy as np
import torch

from tinct.ops.membership import label_membership, subsampled
from tinct.ops.pixel_sets import PixelSet, label_positions
from tinct.ops.resize import enlarged_probs, resize_area, resize_nearest
from tinct.ops.working_size import working_size


def test_ids_become_positions_and_strangers_void() -> None:
    labels = np.array([[0, 5, 7, 255, 9]], np.uint8)
    np.testing.assert_array_equal(label_positions(labels, (5, 7)), [[0, 1, 2, 255, 255]])


def test_soft_membership_is_the_share_of_the_cell_and_void_belongs_to_none() -> None:
    labels = torch.tensor([[0, 1, 1, 1], [1, 255, 1, 1]])
    membership = label_membership(labels, 1, (1, 2), soft=True)
    torch.testing.assert_close(membership[:, 0], torch.tensor([[0.25, 0.0], [0.5, 1.0]]))


def test_hard_membership_is_the_nearest_label() -> None:
    labels = torch.tensor([[0, 1, 2, 0], [1, 1, 2, 2]])
    membership = label_membership(labels, 2, (1, 2), soft=False)
    assert membership.sum(0).tolist() == [[1.0, 1.0]]
    assert membership.argmax(0).tolist() == [[0, 2]]


def test_pixels_keep_their_labels_when_objects_join() -> None:
    pixels = PixelSet(torch.rand(2, 3), torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.0, 1.0]]))
    wider = pixels.with_labels((3, 9), (1, 3, 9))
    torch.testing.assert_close(wider.membership, torch.tensor([[0.2, 0.0, 0.8, 0.0], [0.0, 0.0, 0.0, 1.0]]))


def test_subsampling_keeps_all_of_a_small_object_and_never_repeats() -> None:
    membership = torch.zeros(50, 2)
    membership[:3, 1] = 1
    membership[3:, 0] = 1
    pixels = subsampled(PixelSet(torch.arange(50.0).view(50, 1), membership), 10)
    assert len(pixels.embedding) == 13
    assert len(pixels.embedding.unique()) == 13
    assert pixels.membership[:, 1].sum() == 3
    # The ten of 47 stand for all of them.
    few = subsampled(PixelSet(torch.arange(50.0).view(50, 1), membership), 10, representative=True)
    torch.testing.assert_close(few.membership.sum(0), torch.tensor([47.0, 3.0]))


def test_pixels_take_the_labels_of_a_frame_with_other_objects() -> None:
    pixels = PixelSet(torch.zeros(4, 1), torch.eye(4)[[0, 1, 2, 3]])  # background and the objects 2, 5, 9
    fewer = pixels.relabelled((2, 5, 9), (5,))
    assert fewer.membership.tolist() == [[1, 0], [1, 0], [0, 1], [1, 0]]
    # Object 7 may be anywhere in this background: it is nobody's.
    other = pixels.relabelled((2, 5, 9), (5, 7))
    assert other.membership.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert torch.equal(pixels.relabelled((2, 5, 9), (2, 5, 9)).membership, pixels.membership)


def test_pixels_are_thinned_and_weighted() -> None:
    pixels = PixelSet(torch.arange(9.0).view(9, 1), torch.ones(9, 2))
    assert pixels.thinned(4).embedding[:, 0].tolist() == [0, 4, 8]
    assert pixels.thinned(4).weighted(0.5).membership.sum() == 3


def test_labels_can_be_weighted_one_by_one() -> None:
    pixels = PixelSet(torch.zeros(2, 1), torch.ones(2, 2))
    assert pixels.weighted((0.5, 2.0)).membership.tolist() == [[0.5, 2.0]] * 2


def test_joined_pixels_are_both() -> None:
    one = PixelSet.of_frame(torch.rand(4, 2, 3), torch.rand(2, 2, 3))
    both = one.joined(one)
    torch.testing.assert_close(both.embedding, torch.cat([one.embedding, one.embedding]))
    assert both.membership.shape == (12, 2)


def test_working_size_is_a_multiple_of_8_with_the_frames_shape() -> None:
    assert working_size((480, 854), 240) == (240, 424)
    assert working_size((854, 480), 240) == (424, 240)
    assert working_size((60, 100), 240) == (120, 200)  # at most twice the size
    assert working_size((3, 50), 240) == (8, 96)
    assert working_size((480, 854), None) == (480, 854)


def test_enlarged_probabilities_are_the_softmax_of_the_enlarged_scores() -> None:
    for labels in (2, 4):
        scores = torch.randn(labels, 5, 6)
        enlarged = torch.nn.functional.interpolate(scores[None], size=(11, 13), mode="bilinear")[0]
        torch.testing.assert_close(enlarged_probs(scores, (11, 13)), enlarged.softmax(0)[1:])


def test_area_and_nearest_resizing() -> None:
    maps = torch.arange(16.0).view(1, 4, 4)
    torch.testing.assert_close(resize_area(maps, (2, 2)), torch.tensor([[[2.5, 4.5], [10.5, 12.5]]]))
    assert resize_nearest(maps, (2, 2)).tolist() == [[[0.0, 2.0], [8.0, 10.0]]]


def test_labels_by_the_corners_of_the_grid_come_from_every_fourth_pixel() -> None:
    """TensorFlow's rule: pixel (i, j) of a grid of stride 4 sits on (4 i, 4 j), to the last row."""
    labels = torch.arange(465).remainder(200).repeat(465, 1)
    membership = label_membership(labels, 199, (117, 117), soft=False, align_corners=True)
    assert torch.equal(membership.argmax(0), labels[::4, ::4])
    assert not torch.equal(label_membership(labels, 199, (117, 117), soft=False).argmax(0), labels[::4, ::4])
