"""Every single call that can fail, fails once: as SQLite tests itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drift_kit import Drift
from failing_kit import DISK_CALLS, Failing, Target, every_failure, is_one_line
from run_kit import run_json, run_to_folder

from tinct.errors import TinctError
from tinct.inference import state_files
from tinct.io.video import Video
from tinct.runs import segment_to_folder as runs
from tinct.runs.segment_to_folder import RunInterrupted

H, W, FRAMES = 9, 12, 7
CALLS: dict[str, Target] = {
    **{name: target for name, target in DISK_CALLS.items() if name != "mkdtemp"},
    "safetensors": (state_files, "_write"),
}
STEPS: dict[str, Target] = {"start": (Drift, "start"), "step": (Drift, "step")}


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


def check_what_is_left(out: Path, undisturbed: dict[str, bytes], *, complete: bool = False) -> None:
    for name, content in files_of(out).items():
        if ".part" not in name and name != "state.safetensors":
            assert content == undisturbed[name], name
    if (out / "run.json").exists():
        record = run_json(out)
        assert (record["status"] == "complete") == complete


@pytest.mark.parametrize("name", CALLS)
def test_a_disk_that_fails_once_costs_nothing_but_time(
    name: str, video: Video, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    for failing in every_failure(CALLS[name]):
        out = tmp_path / str(failing.n)
        raised = failing.during(lambda: run(video, out))  # noqa: B023 - called at once
        if raised is None:
            # Nothing failed, or nothing that the run's files depend on.
            assert not failing.failed or name in ("unlink",)
            assert files_of(out).keys() - {"state.safetensors", "run.jsonl", ".lock"} == undisturbed.keys()
        else:
            assert "No space left on device" in str(raised)
            assert is_one_line(raised)
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
) -> None:
    for failing in every_failure(STEPS[name], lambda: type(error)(*error.args)):
        n = failing.n
        out = tmp_path / str(n)
        if n <= (1 if name == "start" else FRAMES - 2):
            whole = n if name == "start" else n + 1
            whole_masks = pytest.raises(TinctError, match=f"{whole} of 7 masks are whole")
            with failing.installed(), whole_masks as got:
                run(video, out)
            assert str(error) in str(got.value)
            assert is_one_line(got.value)
            record = run_json(out)
            assert (record["status"], record["message"]) == ("failed", str(got.value))
            check_what_is_left(out, undisturbed)
            if name == "step":
                assert (out / "state.safetensors").exists()
        else:
            with failing.installed():
                run(video, out)
            assert not failing.failed
        run(video, out, resume=True)
        assert files_of(out) == undisturbed


@pytest.mark.parametrize("error", [AssertionError("ours"), TypeError("ours"), SystemExit(3)])
def test_a_bug_of_our_own_is_recorded_and_raised_as_it_is(
    error: BaseException, video: Video, tmp_path: Path
) -> None:
    with Failing(STEPS["step"], 3, error).installed(), pytest.raises(type(error)) as got:
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

    monkeypatch.setattr(runs, "FRAMES_BETWEEN_STATES", 100)
    monkeypatch.setattr(runs, "save_state", lost)
    failing = Failing(STEPS["step"], 1, RuntimeError("CUDA error: device-side assert"))
    with failing.installed(), pytest.raises(TinctError, match="device-side assert"):
        run(video, tmp_path)
    assert run_json(tmp_path)["status"] == "failed"


def test_an_interruption_while_a_file_is_moved_is_one(
    video: Video, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    for failing in every_failure(CALLS["replace"], KeyboardInterrupt):
        out = tmp_path / str(failing.n)
        try:
            with failing.installed():
                run(video, out)
            assert not failing.failed
        except RunInterrupted:
            check_what_is_left(out, undisturbed)
        except KeyboardInterrupt:
            # Before the run began there is nothing to go on with.
            assert not (out / "run.json").exists()
        run(video, out, resume=True)
        assert files_of(out) == undisturbed
