from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.data.synthetic import Layer, Motion, affine, compose, cut_out, draw_motion, move_each
from tinct.shapes import VOID

STILL = Motion(
    scale=(1.0, 1.0), turn_degrees=0.0, shift=0.0,
    step_scale=0.0, step_turn_degrees=0.0, step_shift=0.0, bend=0.0, flip=False,
)  # fmt: skip
SIZE = (12, 20)


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.uint8)
    labels[2:6, 3:9], labels[8:11, 10:18], labels[0, 0] = 1, 2, VOID
    return random.integers(0, 256, (*SIZE, 3)).astype(np.uint8), labels


def layer(label_map: np.ndarray, alpha: np.ndarray, colour: int) -> Layer:
    """One frame."""
    images = np.full((1, *label_map.shape, 3), colour, np.uint8)
    return Layer(images, label_map[None].astype(np.uint8), alpha[None].astype(np.uint8))


def patch(rows: slice, columns: slice, value: int) -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    found[rows, columns] = value
    return found


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 50), width=st.integers(1, 50), covering=st.booleans())
def test_scale_1_of_equal_sizes_is_the_identity(height: int, width: int, covering: bool) -> None:
    size = (height, width)
    matrix = affine(size, size, scale=1.0, turn_degrees=0.0, shift=(0.0, 0.0), covering=covering)
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(2, 60)] * 4),
    turn=st.floats(-180, 180),
    scale=st.floats(0.2, 3),
    mirrored=st.booleans(),
    covering=st.booleans(),
)
def test_the_centre_stays_the_centre(
    sizes: tuple[int, int, int, int], turn: float, scale: float, mirrored: bool, covering: bool
) -> None:
    source_h, source_w, target_h, target_w = sizes
    matrix = affine(
        (source_h, source_w), (target_h, target_w),
        scale=scale, turn_degrees=turn, shift=(0.0, 0.0), mirrored=mirrored, covering=covering,
    )  # fmt: skip
    centre = matrix @ [(target_w - 1) / 2, (target_h - 1) / 2, 1]
    np.testing.assert_allclose(centre, [(source_w - 1) / 2, (source_h - 1) / 2], atol=1e-9)
    ratios = (target_h / source_h, target_w / source_w)
    zoom = scale * (max(ratios) if covering else min(ratios))
    assert np.linalg.det(matrix[:, :2]) == pytest.approx((-1 if mirrored else 1) / zoom**2)


def test_a_shift_moves_the_content_right_and_down() -> None:
    matrix = affine((10, 20), (10, 20), scale=1.0, turn_degrees=0.0, shift=(0.25, 0.5))
    # What is shown at (5 + x, 5 + y) comes from (x, y).
    np.testing.assert_allclose(matrix @ [5, 5, 1], [0, 0], atol=1e-12)


def test_a_picture_that_does_not_move_stays_as_it_is() -> None:
    image, labels = picture()
    maps = draw_motion(np.random.default_rng(0), [-2.0, 0.0, 1.0], STILL, SIZE, SIZE)
    moved = move_each([image] * 3, [labels] * 3, None, maps)
    np.testing.assert_array_equal(moved.images, [image] * 3)
    np.testing.assert_array_equal(moved.labels, [labels] * 3)
    assert (moved.alphas == 255).all()


def test_a_motion_depends_on_the_random_state_alone() -> None:
    times = [-3.0, 0.0, 1.0, 2.0]
    first, again, other = (
        np.stack(draw_motion(np.random.default_rng(seed), times, Motion(), (30, 40), SIZE))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape == (4, *SIZE, 2)
    assert np.abs(first - other).max() > 1


def test_neighbouring_frames_move_less_than_far_ones() -> None:
    near, far = [], []
    for seed in range(20):
        maps = draw_motion(np.random.default_rng(seed), [0.0, 1.0, 10.0], Motion(), (120, 160), (60, 80))
        near.append(np.abs(maps[1] - maps[0]).mean())
        far.append(np.abs(maps[2] - maps[0]).mean())
    assert np.median(near) < 0.5 * np.median(far)


def test_a_covering_background_leaves_no_hole() -> None:
    image = np.full((30, 40, 3), 200, np.uint8)
    labels = np.ones((30, 40), np.uint8)
    maps = draw_motion(np.random.default_rng(3), [0.0, 5.0], Motion(), (30, 40), SIZE)
    moved = move_each([image] * 2, [labels] * 2, None, maps)
    assert (moved.images == 200).all()
    assert (moved.labels == 1).all()


def test_beyond_a_cut_out_there_is_nothing() -> None:
    image, labels = picture()
    far = [np.full((*SIZE, 2), 1000, np.float32)]
    moved = move_each([image], [labels], [np.full(SIZE, 255, np.uint8)], far)
    assert not moved.alphas.any()
    assert not moved.labels.any()


def test_a_cut_out_is_soft_at_the_edge_and_lies_inside_the_object() -> None:
    _, labels = picture()
    mask, alpha = cut_out(labels, 2)
    np.testing.assert_array_equal(mask, labels == 2)
    assert alpha.max() > 127
    assert (alpha[labels != 2] < 128).all()
    assert len(np.unique(alpha)) > 2


def test_layers_lie_over_one_another_and_every_object_has_its_own_id() -> None:
    back = layer(patch(np.s_[:], np.s_[:10], 1), np.full(SIZE, 255), 10)
    middle = layer(patch(np.s_[2:8], np.s_[5:15], 1), patch(np.s_[2:8], np.s_[5:15], 255), 100)
    front = layer(patch(np.s_[4:6], np.s_[8:12], 1), patch(np.s_[4:6], np.s_[8:12], 255), 200)
    images, labels = compose([back, middle, front])
    assert images.shape == (1, *SIZE, 3)
    assert np.unique(labels).tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(labels[0] == 3, front.alphas[0] == 255)
    assert (images[labels == 3] == 200).all()
    assert (images[labels == 2] == 100).all()
    assert (images[labels == 1] == 10).all()
    # Swapped, the middle layer hides the front one but for nothing.
    _, swapped = compose([back, front, middle])
    assert np.unique(swapped).tolist() == [0, 1, 3]


def test_void_stays_void_unless_something_lies_over_it() -> None:
    labels = patch(np.s_[:6], np.s_[:], VOID)
    labels[6:, 0] = 4
    back = layer(labels, np.full(SIZE, 255), 0)
    front = layer(patch(np.s_[3:9], np.s_[5:10], 1), patch(np.s_[3:9], np.s_[5:10], 255), 9)
    _, composed = compose([back, front])
    assert (composed[0, :3] == VOID).all()
    # The id after the largest one below it; void is no id.
    assert (composed[0, 3:9, 5:10] == 5).all()
    assert (composed[0, 6:, 0] == 4).all()


def test_half_transparent_layers_mix_colours_but_not_labels() -> None:
    back = layer(np.zeros(SIZE), np.full(SIZE, 255), 0)
    images, labels = compose([back, layer(np.ones(SIZE), np.full(SIZE, 51), 100)])
    assert (images == 20).all()
    assert not labels.any()


def test_ids_that_differ_already_may_be_kept() -> None:
    back = layer(patch(np.s_[2:6], np.s_[3:9], 1), np.full(SIZE, 255, np.uint8), 10)
    front = layer(patch(np.s_[4:8], np.s_[5:12], 9), patch(np.s_[4:8], np.s_[5:12], 255), 200)
    assert np.unique(compose([back, front])[1]).tolist() == [0, 1, 10]
    kept = compose([back, front], renumber=False)[1]
    assert np.unique(kept).tolist() == [0, 1, 9]
    assert (kept[0, 4:8, 5:12] == 9).all()
