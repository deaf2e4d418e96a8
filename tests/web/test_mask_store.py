from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tinct.web.mask_store import ComputedMask, MaskStore, is_stale, ranges
from tinct.web.project_file import ProjectFile


def test_the_masks_of_every_run_are_found_again(tmp_path: Path) -> None:
    file = ProjectFile(tmp_path / "a.tinct", create=True)
    store = MaskStore(file)
    for run, confidence in ((1, 0.1), (3, 0.3), (2, 0.2), (3, 0.35)):
        store.add(ComputedMask(7, run, confidence, ((1, confidence),)), bytes([run]))
    for here in (store, MaskStore(file)):
        assert [(mask.run, mask.confidence) for mask in here.at(7)] == [(1, 0.1), (2, 0.2), (3, 0.35)]
        assert here.at(7)[2].objects == ((1, 0.35),)
        assert (here.frames(), here.at(4)) == ([7], ())
    assert file.mask(7, 2) == bytes([2])
    file.close()


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
