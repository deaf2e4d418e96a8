"""`tinct train` as people start it: over data sets of all layouts, and by a launcher in two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from command_kit import tinct_command
from safetensors import safe_open

import tinct

WEIGHTS = Path(tinct.__file__).parent / "weights" / "osvos_mobilenetv2.safetensors"
TINY = ["--crop", "64x96", "--batch", "2", "--accumulate", "2", "--cpu", "--workers", "0", "--log-every", "1"]


def arguments(sets: dict[str, Path], out: Path, *more: str) -> list[str]:
    data = [f"--data={path}:{weight}" for weight, path in enumerate(sets.values(), start=1)]
    steps = ["--steps", "stills=1,video=2", "--mixed-precision", "no", "--init", str(WEIGHTS)]
    return ["train", "osvos", *data, "--out", str(out), *steps, *TINY, *more]


def curve(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]


def test_a_run_over_all_layouts(
    sets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    try:
        assert tinct_command(monkeypatch, *arguments(sets, tmp_path, "--threads", "1")) == 0
        AcceleratorState._reset_state(True)
        # The same folders again; then one with another weight.
        assert tinct_command(monkeypatch, *arguments(sets, tmp_path, "--resume")) == 0
        fewer = dict(list(sets.items())[1:])
        assert tinct_command(monkeypatch, *arguments(fewer, tmp_path, "--resume")) == 1
        assert "sources was 'davis-2016 (1 sequences of 5 frames" in " ".join(capsys.readouterr().err.split())
    finally:
        torch.set_num_threads(threads)
        AcceleratorState._reset_state(True)
    assert [row["step"] for row in curve(tmp_path)] == [1, 1, 2]
    with safe_open(tmp_path / "video.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["batch"], metadata["accumulate"], metadata["processes"]) == ("2", "2", "1")
    assert "youtube-vos (1 sequences of 3 frames" in metadata["sources"]


ACCELERATE = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "processes"),
    [
        (["torch.distributed.run", "--nproc_per_node", "2"], "2"),
        # It starts several processes on GPUs, and without MPI one on a processor, whatever is asked for.
        ([*ACCELERATE, "--mixed_precision", "no", "--dynamo_backend", "no"], "1"),
    ],
    ids=["torchrun", "accelerate"],
)
def test_a_launcher_starts_a_run(
    launcher: list[str], processes: str, sets: dict[str, Path], tmp_path: Path
) -> None:
    port = "--master_port" if processes == "2" else "--main_process_port"
    launch = [sys.executable, "-m", *launcher, port, str(29_500 + os.getpid() % 1000)]
    command = [*launch, "-m", "tinct", *arguments(sets, tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in curve(tmp_path / "run")] == [1, 1, 2]
    with safe_open(tmp_path / "run" / "video.safetensors", framework="pt") as file:
        assert file.metadata()["processes"] == processes
