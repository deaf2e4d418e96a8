from __future__ import annotations

import numpy as np

from tinct.data.pasting import crossing, hidden_behind, pasted_layer
from tinct.data.synthetic import Layer
from tinct.shapes import VOID


def test_too_little_to_paste() -> None:
    random, times = np.random.default_rng(0), [0.0, 1.0]
    image, labels = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)
    assert pasted_layer(random, [image], [labels], times, (24, 40)) is None
    labels[:5, :5] = 1
    assert pasted_layer(random, [image], [labels], times, (24, 40)) is None
    labels[:30, :30] = 1
    layer = pasted_layer(random, [image], [labels], times, (24, 40))
    assert layer is not None
    assert layer.images.shape == (2, 24, 40, 3)


def test_hidden_behind_objects_but_not_behind_void() -> None:
    front_labels = np.zeros((1, 4, 6), np.uint8)
    front_labels[0, 0], front_labels[0, 1] = 2, VOID
    images, full = np.zeros((1, 4, 6, 3), np.uint8), np.full((1, 4, 6), 255, np.uint8)
    front = Layer(images, front_labels, full)
    hidden = hidden_behind(Layer(images, np.ones((1, 4, 6), np.uint8), full), front)
    assert not hidden.alphas[0, 0].any()
    assert (hidden.alphas[0, 1:] == 255).all()
    assert (full == 255).all()


def test_a_crossing_object_meets_the_other_and_passes() -> None:
    T, H, W = 5, 40, 60
    labels = np.zeros((T, H, W), np.uint8)
    labels[:, 15:25, 20:30] = 3
    back = Layer(np.zeros((T, H, W, 3), np.uint8), labels, np.full((T, H, W), 255, np.uint8))
    own = np.zeros((T, H, W), np.uint8)
    own[:, 0:6, 50:56] = 60
    layer = Layer(np.repeat(own[..., None], 3, -1), own, (own > 0).astype(np.uint8) * 255)
    for seed in range(10):
        moved = crossing(layer, back, np.random.default_rng(seed))
        np.testing.assert_array_equal(moved.labels[0], own[0])
        meets = [(moved.labels[t] > 0) & (labels[t] > 0) for t in range(1, T)]
        assert max(m.sum() for m in meets) == 36
        np.testing.assert_array_equal(moved.labels > 0, moved.alphas > 0)
        np.testing.assert_array_equal(moved.labels, moved.images[..., 0])
        assert len({tuple(np.argwhere(m)[0]) for m in (moved.labels[1:] > 0) if m.any()}) > 1


def test_nothing_to_cross_changes_nothing() -> None:
    empty = np.zeros((3, 8, 8), np.uint8)
    layer = Layer(np.zeros((3, 8, 8, 3), np.uint8), empty, empty)
    assert crossing(layer, layer, np.random.default_rng(0)) is layer
