"""Every single call that can fail, fails once: as SQLite tests itself."""

from __future__ import annotations

import builtins
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drift_kit import Drift
from PIL import Image
from run_kit import run_json, run_to_folder

from tinct.errors import TinctError
from tinct.inference import state_files
from tinct.io.video import Video
from tinct.runs import segment_to_folder as runs
from tinct.runs.segment_to_folder import RunInterrupted

H, W, FRAMES = 9, 12, 7
MOST_CALLS = 300
"""More than any of the runs here makes."""


class Failing:
    """A function whose n-th call fails, and no other."""

    def __init__(
        self, function: Callable[..., Any], n: int, error: BaseException, reads: bool = False
    ) -> None:
        self.function, self.n, self.error, self.reads = function, n, error, reads
        self.calls = 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self.reads and not any(letter in str((*args[1:], options)) for letter in "wax+"):
            return self.function(*args, **options)
        self.calls += 1
        if self.calls == self.n:
            raise self.error
        return self.function(*args, **options)

    @property
    def failed(self) -> bool:
        return self.calls >= self.n

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else lambda *args, **options: self(instance, *args, **options)


CALLS: dict[str, tuple[Any, str]] = {
    "replace": (os, "replace"),
    "fsync": (os, "fsync"),
    "mkstemp": (tempfile, "mkstemp"),
    "mkdir": (Path, "mkdir"),
    "open for writing": (builtins, "open"),
    "Path.open for writing": (Path, "open"),
    "write_text": (Path, "write_text"),
    "chmod": (Path, "chmod"),
    "unlink": (Path, "unlink"),
    "PIL save": (Image.Image, "save"),
    "safetensors save_file": (state_files, "save_file"),
    "step": (Drift, "step"),
    "start": (Drift, "start"),
}
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def _frequent_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 2)


@pytest.fixture(scope="module")
def video() -> Video:
    draws = np.random.default_rng(0)
    return Video.from_arrays([draws.integers(0, 256, (H, W, 3), np.uint8) for _ in range(FRAMES)])


@pytest.fixture(scope="module")
def undisturbed(video: Video, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    run(video, out)
    return files_of(out)


def run(video: Video, out: Path, **options: Any) -> None:
    labels = np.zeros((H, W), np.uint8)
    labels[2:6, 2:6] = 1
    labels[6:8, 8:11] = 5
    run_to_folder(
        Drift(), video, {1: labels}, out, info={"video": "clip"}, overlay=False, soft=True, **options
    )


def files_of(out: Path) -> dict[str, bytes]:
    """All that a run leaves but its record, in which are times."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "run.json")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def failures(
    monkeypatch: pytest.MonkeyPatch, name: str, make_error: Callable[[], BaseException]
) -> Iterator[tuple[int, Failing]]:
    """A call that fails the first time, the second time, ..., until it is not made so often."""
    owner, attribute = CALLS[name]
    for n in range(1, MOST_CALLS):
        failing = Failing(getattr(owner, attribute), n, make_error(), reads="open" in name)
        monkeypatch.setattr(owner, attribute, failing)
        yield n, failing
        if not failing.failed:
            return
    raise AssertionError(f"{name} is called more than {MOST_CALLS} times")


def check_what_is_left(out: Path, undisturbed: dict[str, bytes], *, complete: bool = False) -> None:
    for name, content in files_of(out).items():
        if ".part" not in name and name != "state.safetensors":
            assert content == undisturbed[name], name
    if (out / "run.json").exists():
        record = run_json(out)
        assert (record["status"] == "complete") == complete


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("step", "start")])
def test_a_disk_that_fails_once_costs_nothing_but_time(
    name: str, video: Video, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, failing in failures(monkeypatch, name, lambda: OSError(*FULL.args)):
        out = tmp_path / str(n)
        raised = None
        try:
            run(video, out)
        except TinctError as error:
            raised = error
        monkeypatch.undo()
        monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 2)
        if raised is None:
            # Nothing failed, or nothing that the run's files depend on.
            assert not failing.failed or name in ("unlink",)
            assert files_of(out).keys() - {"state.safetensors", "run.jsonl", ".lock"} == undisturbed.keys()
        else:
            assert "No space left on device" in str(raised)
            check_what_is_left(out, undisturbed)
        run(video, out, resume=True)
        assert run_json(out)["status"] == "complete"
        assert {k: v for k, v in files_of(out).items() if k != "state.safetensors"} == undisturbed


@pytest.mark.parametrize("name", ["start", "step"])
@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3.2 GiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
def test_an_allocator_that_fails_ends_with_a_line(
    name: str,
    error: Exception,
    video: Video,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for n, failing in failures(monkeypatch, name, lambda: type(error)(*error.args)):
        out = tmp_path / str(n)
        if n <= (1 if name == "start" else FRAMES - 2):
            whole = n if name == "start" else n + 1
            with pytest.raises(TinctError, match=f"{whole} of 7 masks are whole") as got:
                run(video, out)
            assert str(error) in str(got.value)
            assert "\n" not in str(got.value)
            record = run_json(out)
            assert (record["status"], record["message"]) == ("failed", str(got.value))
            check_what_is_left(out, undisturbed)
            if name == "step":
                assert (out / "state.safetensors").exists()
        else:
            run(video, out)
            assert not failing.failed
        monkeypatch.undo()
        monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 2)
        run(video, out, resume=True)
        assert files_of(out) == undisturbed


@pytest.mark.parametrize("error", [AssertionError("ours"), TypeError("ours"), SystemExit(3)])
def test_a_bug_of_our_own_is_recorded_and_raised_as_it_is(
    error: BaseException, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drift, "step", Failing(Drift.step, 3, error))
    with pytest.raises(type(error)) as got:
        run(video, tmp_path)
    assert got.value is error
    record = run_json(tmp_path)
    assert record["status"] == "failed"
    assert type(error).__name__ in record["message"]
    assert "4 of 7 masks are whole" in record["message"]


def test_a_state_that_cannot_be_saved_leaves_a_true_record(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error of a graphics card nothing can be read from it any more."""

    def lost(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Drift, "step", Failing(Drift.step, 1, RuntimeError("CUDA error: device-side assert")))
    monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 100)
    monkeypatch.setattr(runs, "save_state", lost)
    with pytest.raises(TinctError, match="device-side assert"):
        run(video, tmp_path)
    assert run_json(tmp_path)["status"] == "failed"


def test_an_interruption_while_the_record_is_completed_is_one(
    video: Video, undisturbed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, failing in failures(monkeypatch, "replace", KeyboardInterrupt):
        out = tmp_path / str(n)
        try:
            run(video, out)
            assert not failing.failed
        except RunInterrupted:
            check_what_is_left(out, undisturbed)
        except KeyboardInterrupt:
            # Before the run began there is nothing to go on with.
            assert not (out / "run.json").exists()
        monkeypatch.undo()
        run(video, out, resume=True)
        assert files_of(out) == undisturbed
