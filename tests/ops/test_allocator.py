from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tinct.ops import allocator


def test_the_allocator_is_asked_for_both_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, int] = {}

    def mallopt(option: int, size: int) -> int:
        asked[option] = size
        return 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert allocator.keep_freed_memory()
    assert set(asked) == {-1, -3}
    assert min(asked.values()) >= 1 << 30


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", absent)
    assert not allocator.keep_freed_memory()
