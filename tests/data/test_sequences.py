from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinct.data.sequences import Sequence, SequenceDataset, select
from tinct.errors import DatasetError, OptionError


def sequence(layouts: Any, folder: Path, ids: list[tuple[int, ...] | None], **options: bool) -> Sequence:
    """Frames with these objects in their annotations; None is no annotation."""
    frames = tuple(layouts.frame(folder / f"{t}.jpg") for t in range(len(ids)))
    masks = tuple(None if i is None else layouts.mask(folder / f"{t}.png", i) for t, i in enumerate(ids))
    return Sequence("bear", frames, masks, **options)


def prompt_ids(given: dict[int, Any]) -> dict[int, list[int]]:
    return {index: np.unique(labels).tolist() for index, labels in given.items()}


def test_frames_and_labels_are_read(layouts: Any, tmp_path: Path) -> None:
    bear = sequence(layouts, tmp_path, [(1, 2), None, (2,)])
    assert len(bear) == 3
    assert bear.annotated == (0, 2)
    assert bear.read_frame(1).shape == (*layouts.size, 3)
    assert np.unique(bear.read_labels(2)).tolist() == [0, 2]
    with pytest.raises(DatasetError, match=r"Frame '1' of 'bear' is not annotated.*\(0, 2\)"):
        bear.read_labels(1)


def test_thinning_keeps_frames_with_their_labels_and_options(layouts: Any, tmp_path: Path) -> None:
    bear = sequence(layouts, tmp_path, [(1,), None, None, (2,), (3,)], merged=True, objects_start_later=True)
    thinned = bear.thinned(3)
    assert [p.stem for p in thinned.frames] == ["0", "3"]
    assert thinned.annotated == (0, 1)
    assert thinned.merged
    assert thinned.objects_start_later
    assert len(bear.thinned(2, 2)) == 2


def test_merged_objects_are_object_1_and_void_stays(layouts: Any, tmp_path: Path) -> None:
    bear = sequence(layouts, tmp_path, [(3, 255, 7)], merged=True)
    assert bear.read_labels(0)[5, :9].tolist() == [0, 1, 1, 0, 255, 255, 0, 1, 1]
    assert prompt_ids(bear.prompts()) == {0: [0, 1, 255]}


def test_the_first_frame_prompts_where_all_objects_are_in_it(layouts: Any, tmp_path: Path) -> None:
    bear = sequence(layouts, tmp_path, [(1, 5), (1, 5, 6)])
    assert prompt_ids(bear.prompts()) == {0: [0, 1, 5]}


def test_later_frames_prompt_with_new_objects_alone(layouts: Any, tmp_path: Path) -> None:
    bear = sequence(layouts, tmp_path, [None, (2,), (2, 255), (1, 2, 255), (4, 1)], objects_start_later=True)
    given = bear.prompts()
    assert prompt_ids(given) == {1: [0, 2], 3: [0, 1, 255], 4: [0, 4]}
    assert given[3][5, :9].tolist() == [0, 1, 1, 0, 0, 0, 0, 255, 255]


def test_no_object_to_begin_with(layouts: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'bear' show no object.*0\.png"):
        sequence(layouts, tmp_path, [(), (1,)]).prompts()
    with pytest.raises(DatasetError, match="its first frame"):
        sequence(layouts, tmp_path, [None]).prompts()


@given(
    st.lists(
        st.lists(st.integers(1, 5), max_size=4, unique=True).map(tuple) | st.none(), min_size=1, max_size=6
    )
)
def test_every_object_is_prompted_once_where_it_is_first_annotated(
    layouts: Any, tmp_path_factory: pytest.TempPathFactory, ids: list[tuple[int, ...] | None]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "prompted"
    first: dict[int, int] = {}
    for index, present in enumerate(ids):
        for object_id in present or ():
            first.setdefault(object_id, index)
    bear = sequence(layouts, folder, ids, objects_start_later=True)
    if not first:
        with pytest.raises(DatasetError):
            bear.prompts()
        return
    given = {i: t for t, labels in bear.prompts().items() for i in np.unique(labels).tolist() if i}
    assert given == first


def test_a_dataset_is_its_sequences(layouts: Any, tmp_path: Path) -> None:
    bear = sequence(layouts, tmp_path, [(1,)])
    dataset = SequenceDataset((bear,))
    assert (len(dataset), dataset[0], list(dataset)) == (1, bear, [bear])


def test_names_are_chosen_in_their_order() -> None:
    assert select(("b", "a", "c"), None, "a list") == ("b", "a", "c")
    assert select(("b", "a", "c"), ["c", "b"], "a list") == ("b", "c")
    with pytest.raises(OptionError, match=r"'swam' is not in a list. Did you mean 'swan'"):
        select(("swan",), ["swam"], "a list")
    with pytest.raises(OptionError, match="No sequence of a list"):
        select(("swan",), [], "a list")
