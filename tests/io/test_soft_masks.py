from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tinct.errors import MaskError, OutputError
from tinct.io.masks import ObjectMasks
from tinct.io.soft_masks import read_soft, read_soft_mask, write_soft, write_soft_mask


@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_probabilities_come_back_to_half_a_step(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: tuple[int, int]
) -> None:
    path = tmp_path_factory.mktemp("soft") / "0.png"
    draws = np.random.default_rng(seed)
    probabilities = draws.choice([0.0, 1.0, draws.random()], size).astype(np.float32)
    write_soft_mask(path, probabilities)
    read = read_soft_mask(path, size)
    np.testing.assert_allclose(read, probabilities, rtol=0, atol=0.505 / 65535)
    # Certainty is exact.
    certain = (probabilities == 0) | (probabilities == 1)
    np.testing.assert_array_equal(read[certain], probabilities[certain])


def test_what_lies_outside_is_clipped(tmp_path: Path) -> None:
    write_soft_mask(tmp_path / "a.png", np.array([[-0.1, 1.1]], np.float32))
    np.testing.assert_array_equal(read_soft_mask(tmp_path / "a.png", (1, 2)), [[0, 1]])


def test_an_object_without_a_file_is_nowhere(tmp_path: Path) -> None:
    probs = np.array([[[0.25, 0.5]]], np.float32)
    write_soft(tmp_path, "00003", ObjectMasks((4,), probs), (4,))
    masks = read_soft(tmp_path, "00003", (2, 4), (1, 2))
    assert masks.object_ids == (2, 4)
    np.testing.assert_allclose(masks.probs, [[[0, 0]], [[0.25, 0.5]]], atol=1e-5)


@pytest.mark.parametrize("what", ["missing", "eight bits", "size", "truncated"])
def test_a_wrong_file_is_explained(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.png"
    if what == "eight bits":
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(path)
    elif what != "missing":
        write_soft_mask(path, np.random.default_rng(0).random((3, 4), np.float32))
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    expected = {"missing": "--soft", "eight bits": "16-bit", "size": "4×3 pixels", "truncated": "--soft"}
    with pytest.raises(MaskError, match=expected[what]):
        read_soft_mask(path, (3, 5) if what == "size" else (3, 4))


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "4").write_text("")
    with pytest.raises(OutputError, match="cannot be"):
        write_soft(tmp_path, "0", ObjectMasks((4,), np.zeros((1, 1, 2), np.float32)), (4,))
