from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinct.methods.dyenet.merging import merged, shared_out, with_product_background
from tinct.methods.dyenet.tracklets import RoiMask

probability = st.floats(0, 1, width=32)


@settings(max_examples=50)
@given(st.lists(st.lists(probability, min_size=4, max_size=4), min_size=1, max_size=4))
def test_the_background_is_what_no_object_claims(values: list[list[float]]) -> None:
    found = with_product_background(torch.tensor(values).view(-1, 2, 2)).flatten(1)
    for pixel in range(4):
        own = [row[pixel] for row in values]
        background = float(np.prod([1 - p for p in own]))
        total = background + sum(own)
        np.testing.assert_allclose(found[:, pixel], [p / max(total, 1e-6) for p in own], atol=1e-5)


def test_one_object_keeps_its_probability() -> None:
    probs = torch.rand(1, 3, 4)
    torch.testing.assert_close(with_product_background(probs), probs)


def test_sharing_out_leaves_the_winner_and_cuts_the_others() -> None:
    probs = torch.tensor([0.9, 0.6, 0.2, 0.5]).view(1, 2, 2), torch.tensor([0.7, 0.8, 0.1, 0.5]).view(1, 2, 2)
    found = shared_out(torch.cat(probs))
    torch.testing.assert_close(found[0].flatten(), torch.tensor([0.9, 0.2, 0.2, 0.5]))
    torch.testing.assert_close(found[1].flatten(), torch.tensor([0.1, 0.8, 0.1, 0.5]))
    alone = torch.rand(1, 2, 2)
    assert torch.equal(shared_out(alone), alone)


def test_masks_come_at_the_videos_own_size_and_absent_objects_are_empty(
    square: Callable[..., RoiMask],
) -> None:
    masks = merged({7: square(4, 2, 6)}, (3, 7), (20, 30), (40, 90))
    assert masks.object_ids == (3, 7)
    assert masks.probs.dtype == np.float32
    expected = np.zeros((40, 90), np.uint8)
    expected[4:16, 12:30] = 7
    np.testing.assert_array_equal(masks.label_map, expected)
    assert not merged({}, (3, 7), (20, 30), (40, 90)).label_map.any()
