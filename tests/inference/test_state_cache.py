from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tinct.inference.state_cache import DiskStateCache, MemoryStateCache, StateCache

TRUE = "ab" * 32
OLD = "cd" * 32


@dataclass(frozen=True)
class Seen:
    done: int
    pixels: torch.Tensor
    shared: np.ndarray


SHARED = np.zeros(500, np.uint8)


def seen(done: int) -> Seen:
    """A state of 1000 bytes of its own."""
    return Seen(done, torch.zeros(1000, dtype=torch.uint8), SHARED)


def true(done: int) -> str:
    return TRUE


def on_disk(folder: Path, max_bytes: int = 10**9) -> DiskStateCache:
    return DiskStateCache(folder, Seen, "cpu", max_bytes)


@pytest.fixture(params=["memory", "disk"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> StateCache:
    """Room for seven states or so."""
    if request.param == "memory":
        return MemoryStateCache(7_600)
    cache = on_disk(tmp_path / "states")
    cache.add(0, seen(0), true)
    cache.max_bytes = 7 * next(iter((tmp_path / "states").iterdir())).stat().st_size + 100
    cache._drop(cache.places()[0])
    return cache


def places(cache: StateCache) -> list[int]:
    return sorted(place.done for place in cache.places())


def test_the_last_true_state_before_a_place_is_found(cache: StateCache) -> None:
    for done in (10, 20, 30):
        cache.add(done, seen(done), true)
    for asked, expected in ((10, 10), (19, 10), (20, 20), (99, 30)):
        found = cache.nearest(asked, true)
        assert found is not None
        assert (found[0], found[1].done) == (expected, expected)
    assert cache.nearest(9, true) is None


def test_a_state_that_knows_something_else_is_never_handed_out(cache: StateCache) -> None:
    cache.add(10, seen(10), true)
    cache.add(20, seen(20), lambda done: OLD)
    assert cache.nearest(30, lambda done: TRUE if done == 10 else "ef" * 32)[0] == 10  # type: ignore[index]
    assert cache.nearest(30, lambda done: "ef" * 32) is None
    # What was true before is true again when a correction is taken back.
    assert cache.nearest(30, lambda done: OLD)[0] == 20  # type: ignore[index]


def test_beyond_the_bytes_places_are_thinned_evenly_and_the_newest_stays(cache: StateCache) -> None:
    for done in range(1, 101):
        cache.add(done, seen(done), true)
        assert places(cache)[-1] == done
        assert len(places(cache)) <= 7
    gaps = np.diff([0, *places(cache)])
    assert len(places(cache)) >= 6
    assert gaps.max() <= 40


def test_untrue_states_go_first_and_protected_ones_last(cache: StateCache) -> None:
    for done in (1, 2, 3):
        cache.add(done, seen(done), lambda done: OLD)
    for done in range(10, 60):
        cache.add(done, seen(done), true, protected=(11, 12))
    assert {place.fingerprint for place in cache.places()} == {TRUE}
    assert {11, 12} <= set(places(cache))


def test_two_states_are_kept_however_large() -> None:
    cache = MemoryStateCache(10)
    for done in range(5):
        cache.add(done, seen(done), true)
    assert len(places(cache)) == 2
    assert 4 in places(cache)


def test_what_states_share_counts_once() -> None:
    cache = MemoryStateCache(0)
    cache.max_bytes = 4_500
    for done in range(4):
        cache.add(done, seen(done), true)
    assert places(cache) == [0, 1, 2, 3]


def test_states_outlive_the_process(tmp_path: Path) -> None:
    on_disk(tmp_path / "a").add(25, seen(25), true)
    found = on_disk(tmp_path / "a").nearest(30, true)
    assert found is not None
    assert found[1].done == 25
    assert on_disk(tmp_path / "a").nearest(30, lambda done: OLD) is None


def test_a_broken_file_is_passed_over_and_goes(tmp_path: Path) -> None:
    cache = on_disk(tmp_path)
    for done in (10, 20):
        cache.add(done, seen(done), true)
    broken = max(tmp_path.glob("*.safetensors"))
    broken.write_bytes(broken.read_bytes()[:-100])
    found = on_disk(tmp_path).nearest(30, true)
    assert found is not None
    assert found[0] == 10
    assert not broken.exists()


def test_files_of_others_are_left_alone_and_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "notes.safetensors").write_bytes(b"mine")
    (tmp_path / ".000010-ab.x1.part.safetensors").write_bytes(b"half")
    assert on_disk(tmp_path).places() == []
    assert os.listdir(tmp_path) == ["notes.safetensors"]


def test_a_folder_that_cannot_be_written_costs_only_the_state(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = on_disk(tmp_path / "file" / "states")
    cache.add(10, seen(10), true)
    assert cache.places() == []
