from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tinct.data.held_out import HELD_OUT_ONE_IN, held_out
from tinct.data.static_images import StaticImages, Still
from tinct.errors import DatasetError
from tinct.training.sources import Sources


def still(name: str, folder: str = "cats", root: str = "stills") -> Still:
    return Still(
        Path(root) / folder / "images" / f"{name}.jpg", Path(root) / folder / "masks" / f"{name}.png"
    )


def test_one_photo_in_ten_is_held_out_wherever_it_lies() -> None:
    names = [f"{i:06d}" for i in range(3000)]
    chosen = [name for name in names if held_out(still(name))]
    assert len(chosen) == pytest.approx(len(names) / HELD_OUT_ONE_IN, rel=0.2)
    for name in names[:200]:
        assert held_out(still(name)) == held_out(still(name, root="/elsewhere/deep"))
        expected = int(hashlib.sha256(f"cats/{name}".encode()).hexdigest(), 16) % 10 == 0
        assert held_out(still(name)) == expected
    assert chosen != [name for name in names if held_out(still(name, folder="dogs"))]


def test_the_benchmark_and_training_share_no_photo(masked_photos: Path) -> None:
    every = set(StaticImages(masked_photos))
    benchmark = set(StaticImages(masked_photos, only=held_out))
    training = set(StaticImages(masked_photos, without=held_out))
    assert len(benchmark) == len(training) == 10
    assert benchmark | training == every
    assert not benchmark & training


def test_a_recipe_can_leave_them_out(masked_photos: Path) -> None:
    assert len(Sources.of_folders(stills=masked_photos).photos()) == 20
    kept = replace(Sources.of_folders(stills=masked_photos), keep_held_out=False).photos()
    assert set(kept) == set(StaticImages(masked_photos, without=held_out))


def test_a_choice_of_nothing_is_refused(masked_photos: Path) -> None:
    with pytest.raises(DatasetError, match="None of the 20 photos"):
        StaticImages(masked_photos, only=lambda _: False)
