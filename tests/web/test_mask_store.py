from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.web.mask_store import ComputedMask, MaskStore, is_stale, ranges

LABELS = np.eye(4, dtype=np.uint8)


@given(index=st.integers(0, 10**6), run=st.integers(1, 10**4), thousandths=st.integers(0, 1000))
def test_a_name_tells_all(index: int, run: int, thousandths: int) -> None:
    mask = ComputedMask(index, run, thousandths / 1000)
    assert ComputedMask.from_name(mask.name) == mask


@pytest.mark.parametrize(
    "name", ["000001.r1.0931.png.part", ".000001.r1.abc.part.png", "x.png", "1.r.0001.png"]
)
def test_other_files_are_no_masks(name: str) -> None:
    assert ComputedMask.from_name(name) is None


def test_masks_are_found_again_and_halves_are_swept_away(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    store = MaskStore(folder)
    for mask in (ComputedMask(0, 1, 0.9), ComputedMask(3, 1, 0.5), ComputedMask(3, 2, 0.25)):
        mask.write(folder, LABELS)
        store.add(mask)
    (folder / ".000004.r2.0500.xy.part.png").write_bytes(b"half")
    again = MaskStore(folder)
    assert again.frames() == [0, 3]
    assert list(again.at(3)) == [ComputedMask(3, 1, 0.5), ComputedMask(3, 2, 0.25)]
    assert again.at(4) == ()
    assert len(list(folder.iterdir())) == 3


def test_the_oldest_masks_of_a_frame_go(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    store = MaskStore(folder)
    for run, confidence in ((1, 0.1), (2, 0.2), (3, 0.3), (3, 0.35)):
        mask = ComputedMask(7, run, confidence)
        mask.write(folder, LABELS)
        store.add(mask)
    assert [mask.run for mask in store.at(7)] == [2, 3]
    assert store.at(7)[-1].confidence == 0.35
    assert sorted(path.name for path in folder.iterdir()) == ["000007.r2.0200.png", "000007.r3.0350.png"]


@given(st.sets(st.integers(0, 60)))
def test_ranges_hold_the_same_frames(frames: set[int]) -> None:
    found = ranges(sorted(frames))
    assert {i for first, last in found for i in range(first, last + 1)} == frames
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))


@given(index=st.integers(0, 9), changed=st.sets(st.integers(0, 9)))
def test_a_mask_is_stale_if_a_prompt_that_it_depends_on_changed(index: int, changed: set[int]) -> None:
    in_order = sorted(changed)
    assert is_stale(index, "forward", in_order) == any(i <= index for i in changed)
    assert is_stale(index, "backward", in_order) == any(i >= index for i in changed)
    assert is_stale(index, "both", in_order) == bool(changed)
