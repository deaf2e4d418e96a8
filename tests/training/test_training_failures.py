"""Every single write or computation of a training that can fail, fails once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from accelerate.state import AcceleratorState
from bench_kit import load_benchmark
from failing_kit import DISK_CALLS, Target, every_failure, is_one_line
from safetensors.torch import load_file

from tinct.errors import TinctError
from tinct.training import loop, stage_run
from tinct.training.checkpoint import read_checkpoint
from tinct.training.options import LoopOptions

CALLS: dict[str, Target] = {
    **{name: DISK_CALLS[name] for name in ("replace", "fsync", "mkstemp", "mkdir", "chmod", "write_text")},
    "Path.open for writing": DISK_CALLS["Path.open for writing"],
    "torch save": (torch, "save"),
}


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    """A task of one convolution, and its stage."""
    return load_benchmark("fuzz_segmenter")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No TensorBoard, and a fresh accelerate."""
    monkeypatch.setattr(stage_run, "find_spec", lambda name: None)
    yield
    AcceleratorState._reset_state(True)


def train(tiny: ModuleType, out: Path, *, resume: bool = False) -> dict[str, torch.Tensor]:
    options = LoopOptions(
        out, "feelvos", "tiny", 0, "no", cpu=True, workers=0, save_every=1, log_every=1, resume=resume
    )
    loop.train(tiny.Brightness(), tiny.brightness_stages(), options)
    return load_file(out / "only.safetensors")


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", CALLS)
def test_a_disk_that_fails_once_costs_nothing_but_time(name: str, tiny: ModuleType, tmp_path: Path) -> None:
    undisturbed = train(tiny, tmp_path / "undisturbed")
    for failing in every_failure(CALLS[name]):
        out = tmp_path / str(failing.n)
        raised = failing.during(lambda: train(tiny, out))  # noqa: B023 - called at once
        if raised is None:
            assert not failing.failed
        else:
            assert "No space left on device" in str(raised)
            assert is_one_line(raised)
        read_checkpoint(out / "checkpoint.pt")  # whole, or not there
        assert same(train(tiny, out, resume=True), undisturbed)
        assert len((out / "curve.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3.2 GiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory\nat x"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
def test_an_allocator_that_fails_ends_with_a_line(error: Exception, tiny: ModuleType, tmp_path: Path) -> None:
    undisturbed = train(tiny, tmp_path / "undisturbed")
    for failing in every_failure((tiny.Brightness, "forward"), lambda: type(error)(*error.args)):
        out = tmp_path / str(failing.n)
        if failing.n <= 3:
            said = pytest.raises(TinctError, match=f"Step {failing.n} of stage 'only' failed")
            with failing.installed(), said as got:
                train(tiny, out)
            assert str(error).splitlines()[0].rstrip(".") in str(got.value)
            assert is_one_line(got.value)
        assert same(train(tiny, out, resume=True), undisturbed)
